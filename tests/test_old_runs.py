"""Runs of earlier versions still load, verify, compare and read pictures.

`old_runs/0.1.0` was made by commit 4fc822f: a run with a dictionary and random features, without
its pictures and its page; three pictures, and what `predict --json` said of them.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnist_exp.comparison import compare_runs, to_json
from mnist_exp.config import load_recorded
from mnist_exp.models import predict
from mnist_exp.recognition import Reader
from mnist_exp.runs import Run

OLD = Path(__file__).parent / "old_runs" / "0.1.0"
MOVED = {"Reduced": "mnist_exp.features", "RandomFeatures": "mnist_exp.models"}


@pytest.fixture
def old(tmp_path):
    """The run in a folder that may be written to."""
    shutil.copytree(OLD / "run", tmp_path / "old")
    return Run(tmp_path / "old")


def test_its_figures_and_answers_are_read(old):
    predictions = old.predictions("test")
    assert old.state == "completed"
    assert old.metrics["test"]["accuracy"] == 0.82
    assert np.mean(predictions.label == predictions.prediction) == 0.82
    assert old.intervals["test.accuracy"]["low"] < 0.82 < old.intervals["test.accuracy"]["high"]
    assert old.environment["packages"]["mnist-exp"] == "0.1.0"
    assert old.config["features"]["base"]["_target_"] == "mnist_exp.features.Dictionary"
    assert old.choices["model"] == "random_features"


def test_its_model_gives_the_recorded_answers(old):
    test, recorded = load_recorded(old.config_path).test, old.predictions("test")
    assert test.sha256 == recorded.split_sha256
    model = old.load_model()
    answers, _, score = predict(model, test.images)
    np.testing.assert_array_equal(answers, recorded.prediction)
    np.testing.assert_allclose(score, recorded.score, atol=2e-3)  # recorded in 16 bits
    steps = {type(step).__name__: type(step).__module__ for _, step in model.steps}
    assert all(steps[name].startswith(room) for name, room in MOVED.items())


def test_it_verifies(finish, old):
    done = finish(old.path, module="verify")
    assert done.returncode == 0, done.stdout
    assert done.stdout == "same data, same predictions, same metrics\n"


def test_the_same_words_today_give_the_same_answers_calibrated(finish, old):
    words = [word for word in old.overrides if not word.startswith("hydra.")]
    done = finish(*words, "hydra.run.dir=new")
    assert done.returncode == 0, done.stderr
    comparison = to_json(compare_runs([str(old.path), str(finish.home / "new")]))
    assert comparison["skipped"] == []
    before, now = comparison["runs"]
    assert (now["delta"], now["fixed"], now["broke"]) == (0, 0, 0)
    assert before["config"] == {}
    assert set(now["config"]) == {"calibration._target_"}  # which changes no answer


def test_it_reads_pictures_as_before_by_the_index_that_it_kept(old):
    index = old.path / "neighbours.npz"
    with np.load(index) as arrays:
        assert "strangers" in arrays
    kept = index.read_bytes()
    reader = Reader(old)
    for expected in json.loads((OLD / "answers.json").read_text()):
        name = expected["image"]
        with Image.open(OLD / name) as picture:
            assert_same(reader.read(picture).as_json(name), expected)
    assert index.read_bytes() == kept  # it was not built anew


def assert_same(answer, expected):
    """All that was said before is said still; ink is found better since, which moves scores."""
    assert answer.get("scores") == pytest.approx(expected["scores"], abs=0.25)
    assert {key: answer[key] for key in ("image", "label", "reason", "probabilities")} == {
        key: expected[key] for key in ("image", "label", "reason", "probabilities")
    }
    for part, expected_part in zip(
        answer.get("digits", []), expected.get("digits", []), strict=True
    ):
        assert_same(part, expected_part)
