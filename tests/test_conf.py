"""Every YAML of a group composes, fits, predicts and is stored on the bundled digits: the file is
the registration.
"""

import subprocess
import sys

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from mnist_exp import models
from mnist_exp.config import CONF, build
from mnist_exp.errors import UserError
from mnist_exp.experiment import run_experiment
from mnist_exp.runs import Run

SMALL = ["dataset=digits", "dataset.train_size=300", "dataset.test_size=100", "n_jobs=2"]


def options(group):
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.fixture
def composed(tmp_path):
    def compose_words(*words):
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose("train", [*SMALL, f"cache_dir='{tmp_path.as_posix()}'", *words])

    return compose_words


CHOICES = [
    f"{group}={name}"
    for group in ("augment", "features", "model", "experiment")
    for name in options(group)
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_trains_and_comes_back_from_its_file_with_the_same_answers(
    composed, tmp_path, choice
):
    small = {
        "model=mlp": ["model.hidden_layer_sizes=[32]"],
        "model=hist_gb": ["model.max_iter=10"],
    }.get(choice, [])
    if choice.startswith(("augment", "features")):
        small = ["model=rf", choice, "model.n_estimators=20"]
    experiment = build(composed(choice, *small))
    dataset = experiment.load()
    outcome = experiment.run(dataset)
    assert outcome.metrics["test"]["accuracy"] > 0.8
    run = Run(tmp_path)
    run.save_model(outcome.pipeline, {"classes": []})
    answers = [
        models.predict(model, dataset.test.images) for model in (outcome.pipeline, run.load_model())
    ]
    for before, after in zip(*answers, strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_model_brings_its_features_and_the_command_line_wins(composed):
    assert composed("model=sgd").features["_target_"].endswith("Hog")
    assert composed("model=sgd", "features=pixels").features["_target_"].endswith("Pixels")
    assert composed("features=pixels", "model=sgd").features["_target_"].endswith("Pixels")
    assert composed("experiment=seed_sgd").features["_target_"].endswith("Pixels")
    assert (
        composed("experiment=seed_sgd", "features=deskew").features["_target_"].endswith("Deskew")
    )


@pytest.mark.parametrize(
    "word", ["seed=banana", "seed=-1", "seed=1.5", "n_jobs=0", "cache_gb=many"]
)
def test_a_wrong_type_is_refused_before_any_work(composed, word):
    with pytest.raises(UserError, match=word):
        build(composed(word))


def test_the_same_seed_gives_the_same_bits_and_threads_do_not_matter(composed):
    def probabilities(n_jobs):
        experiment = build(composed("augment=affine", "model.n_estimators=20", f"n_jobs={n_jobs}"))
        found = run_experiment(
            experiment.load(),
            experiment.augment,
            experiment.features,
            experiment.estimator,
            seed=3,
            n_jobs=n_jobs,
        )
        return found.predictions["test"].probability

    np.testing.assert_array_equal(probabilities(1), probabilities(2))


def test_help_does_not_wait_for_numpy():
    loaded = "import sys, mnist_exp.train; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], timeout=60).returncode == 0
