"""The promises about real MNIST, on all of it; minutes, so only CI and `make slow` run them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from scipy.stats import binomtest

from mnist_exp.runs import Run

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def train(mnist_dir, tmp_path_factory):
    """Run a command once per module and return its run."""
    folder = tmp_path_factory.mktemp("mnist")
    environment = os.environ | {
        "MNIST_EXP_DATA": str(mnist_dir),
        "MNIST_EXP_CACHE": str(folder / "cache"),
        "PYTHONPATH": str(ROOT),
    }
    known = {}

    def run(*words):
        if words not in known:
            command = [sys.executable, "-m", "mnist_exp.train", "dataset=mnist", *words]
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            known[words] = Run(folder / done.stdout.strip())
        return known[words]

    return run


@pytest.mark.parametrize(
    ("words", "floor"),
    [
        (["model=rf"], 0.967),
        (["model=sgd"], 0.985),
        (["model=rf", "features=hog"], 0.984),
        (["model=svm"], 0.993),
        (["experiment=seed_sgd_deskew"], 0.945),
    ],
)
def test_accuracy_on_all_of_mnist(train, words, floor):
    run = train(*words)
    assert run.metrics["data"]["n_test"] == 10_000
    assert run.metrics["test"]["accuracy"] >= floor


def test_the_original_forest_is_reproduced(train):
    assert train("experiment=seed_rf").metrics["test"]["accuracy"] == pytest.approx(
        0.9705, abs=0.002
    )


def test_shift_augmentation_helps_the_forest_beyond_chance(train):
    plain, shifted = (
        train("model=rf").predictions("test"),
        train("model=rf", "augment=shift").predictions("test"),
    )
    assert plain.split_sha256 == shifted.split_sha256
    before, after = plain.prediction == plain.label, shifted.prediction == shifted.label
    fixed, broke = int((~before & after).sum()), int((before & ~after).sum())
    assert fixed > broke
    assert binomtest(fixed, fixed + broke).pvalue < 0.01
