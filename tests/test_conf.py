"""Every YAML of a group composes, fits, predicts and is stored on the bundled digits."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mnist_exp import models
from mnist_exp.config import CONF, build, load_recorded
from mnist_exp.errors import UserError
from mnist_exp.experiment import run_experiment
from mnist_exp.runs import Run

SMALL = ["dataset=digits", "dataset.train_size=300", "dataset.test_size=100", "n_jobs=1"]


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


# What keeps a choice from taking seconds, and is no other code than its own sizes.
DICTIONARY = ["features.base.atoms=24", "features.base.sample=4000", "features.n_components=100"]
SMALLER = {
    "features=dictionary": DICTIONARY,
    "model=random_features": ["model.n_components=400", "model.alpha=1e-5", *DICTIONARY],
    "experiment=balanced": ["model.n_components=400", "model.alpha=1e-5", *DICTIONARY],
    "experiment=best": ["model.n_components=400", "model.alpha=1e-5", *DICTIONARY],
    "experiment=fast": ["model.n_components=400", "model.alpha=1e-5"],
    "experiment=seed_rf": ["model.n_estimators=20"],
    "model=rf": ["model.n_estimators=20"],
    "model=extra_trees": ["model.n_estimators=20"],
    "model=mlp": ["model.hidden_layer_sizes=[32]"],
    "model=hist_gb": ["model.max_iter=10"],
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_trains_and_comes_back_from_its_file_with_the_same_answers(
    composed, tmp_path, choice
):
    words = [choice, *SMALLER.get(choice, [])]
    if choice.startswith(("augment", "features")):
        words = ["model=rf", *words, "model.n_estimators=20"]
    experiment = build(composed(*words))
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
        outcome = run_experiment(
            experiment.load(),
            experiment.augment,
            experiment.features,
            experiment.estimator,
            seed=3,
            n_jobs=n_jobs,
        )
        return outcome.predictions["test"].probability

    np.testing.assert_array_equal(probabilities(1), probabilities(2))


@pytest.fixture
def local(tmp_path, monkeypatch):
    """A conf/ in which a user has defaults of their own."""
    shutil.copytree(CONF, tmp_path / "conf", ignore=shutil.ignore_patterns("local"))
    path = tmp_path / "conf" / "local" / "default.yaml"
    path.parent.mkdir()
    path.write_text(
        "defaults:\n  - override /launcher: joblib\n\n"
        "outputs: mine\ncache_dir: here\ndataset:\n  val_size: 50\n"
    )
    monkeypatch.setattr("mnist_exp.config.CONF", tmp_path / "conf")
    monkeypatch.setattr("mnist_exp.config.LOCAL", path)
    return path


def test_defaults_of_a_user_count_more_than_the_projects_and_less_than_the_command_line(local):
    with initialize_config_dir(str(local.parents[1]), version_base="1.3"):
        cfg = compose("train", ["outputs=elsewhere"], return_hydra_config=True)
    assert (cfg.outputs, cfg.cache_dir, cfg.dataset.val_size) == ("elsewhere", "here", 50)
    assert cfg.hydra.runtime.choices["hydra/launcher"] == "mnist_joblib"
    assert cfg.dataset.train_size is None  # what the user says nothing of


def test_recorded_data_are_looked_for_where_the_user_keeps_them(local, composed, tmp_path):
    config = tmp_path / "config.yaml"
    OmegaConf.save(composed(), config)
    local.write_text("cache_dir: ${oc.env:NO_SUCH_VARIABLE}\n")
    with pytest.raises(UserError, match="NO_SUCH_VARIABLE"):
        load_recorded(config)


def test_help_does_not_wait_for_numpy():
    loaded = "import sys, mnist_exp.train; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], timeout=60).returncode == 0
