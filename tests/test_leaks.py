"""Who sees which images, and what a seed changes: told by the images themselves, not by counts."""

import numpy as np
import pytest
from omegaconf import OmegaConf
from sklearn.base import BaseEstimator, ClassifierMixin

from mnist_exp import augment
from mnist_exp.config import CONF, build, compose
from mnist_exp.data import Dataset, Split, digits, load
from mnist_exp.experiment import run_experiment
from mnist_exp.features import Pixels
from mnist_exp.trial import split_folds

N = 120


class Spy(ClassifierMixin, BaseEstimator):
    """Notes the numbers that are written into the images it is fitted on, and those it predicts."""

    def __init__(self, fitted=None, asked=None):
        self.fitted, self.asked = fitted, asked

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.fitted.append(numbers(X))
        np.testing.assert_array_equal(y, numbers(X) % 3)  # each image with its own label
        return self

    def predict(self, X):
        self.asked.append(numbers(X))
        return np.zeros(len(X), int)


def numbers(X):
    """What `numbered` wrote into the first two pixels."""
    first, second = np.rint(255 * np.asarray(X).reshape(len(X), -1)[:, :2]).astype(int).T
    return 256 * first + second


def numbered(rows):
    images = np.zeros((len(rows), 8, 8), np.uint8)
    images[:, 0, 0], images[:, 0, 1] = np.divmod(rows, 256)
    return Split(images, np.asarray(rows) % 3, np.asarray(rows))


@pytest.fixture
def dataset():
    rows = np.random.default_rng(0).permutation(N) + 200
    parts = numbered(rows[:60]), numbered(rows[60:90]), numbered(rows[90:])
    return Dataset("numbered", ("a", "b", "c"), *parts)


def watch(dataset, augmentation=augment.none):
    """The numbers of the images that the spy was fitted on, and of those it was asked about."""
    fitted, asked = [], []
    spy = Spy(fitted, asked)
    run_experiment(dataset, augmentation, Pixels(), spy, seed=0, n_jobs=1)
    return np.concatenate(fitted), np.concatenate(asked)


def test_a_model_is_fitted_on_the_training_images_alone_and_on_all_of_them(dataset):
    fitted, asked = watch(dataset)
    assert sorted(fitted) == sorted(dataset.train.index)
    assert set(asked) == {*dataset.val.index, *dataset.test.index, *dataset.train.index}


def test_only_training_images_are_augmented(dataset):
    seen = []

    def twice(images, rng, *, n_jobs=1):
        seen.append(numbers(images / 255))
        return np.concatenate([images, images])

    fitted, asked = watch(dataset, twice)
    assert sorted(np.concatenate(seen)) == sorted(dataset.train.index)
    assert sorted(fitted) == sorted([*dataset.train.index] * 2)
    assert len(asked) == len(dataset.val) + len(dataset.test) + len(dataset.train)


def test_a_fold_is_scored_by_a_model_that_has_seen_all_the_others_and_nothing_else(dataset):
    train = dataset.train.index
    scored = []
    for fold in split_folds(dataset, 3, 0):
        fitted, asked = watch(fold)
        assert sorted([*fitted, *fold.val.index]) == sorted(train)
        assert set(asked) == {*fold.val.index, *fold.train.index}  # train.accuracy
        assert np.ptp(np.bincount(fold.val.labels)) <= 1  # stratified
        scored += fold.val.index.tolist()
    assert sorted(scored) == sorted(train)


def test_the_parts_of_a_dataset_share_no_image():
    dataset = load(digits(), train_size=300, val_size=100, test_size=200)
    assert not set(dataset.train.index) & set(dataset.val.index)  # both from the training part
    images = [{image.tobytes() for image in part.images} for part in (dataset.train, dataset.val)]
    assert not images[0] & images[1]


@pytest.mark.parametrize("group", ["model", "features"])
def test_the_seed_reaches_every_random_state_of_every_choice(group):
    choices = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
    random = {
        choice: states(compose(["dataset=digits", f"{group}={choice}", "seed=7"]), group)
        for choice in choices
    }
    assert sum(bool(found) for found in random.values()) >= (6 if group == "model" else 1)
    assert {state for found in random.values() for state in found} == {7}


def states(cfg, group):
    """All values under keys called `random_state`."""

    def walk(value):
        if isinstance(value, dict):
            for key, part in value.items():
                if key == "random_state":
                    yield part
                yield from walk(part)
        elif isinstance(value, list):
            for part in value:
                yield from walk(part)

    return list(walk(OmegaConf.to_container(cfg[group], resolve=True)))


@pytest.mark.parametrize(
    "choice", sorted(path.stem for path in (CONF / "augment").glob("*.yaml") if path.stem != "none")
)
def test_the_seed_alone_decides_what_an_augmentation_makes(choice):
    images = load(digits(), train_size=30, test_size=10).train.images

    def altered(seed):
        experiment = build(compose(["dataset=digits", "model=sgd", f"augment={choice}"]))
        return experiment.augment(images, np.random.default_rng(seed), n_jobs=1)

    first, again, other = altered(0), altered(0), altered(1)
    np.testing.assert_array_equal(first, again)
    assert first.shape == other.shape
    np.testing.assert_array_equal(first[:30], images)  # the images themselves come first
    if choice not in DETERMINISTIC:
        assert (first != other).any()


DETERMINISTIC = {"shift"}  # every image in each direction


def test_a_seed_changes_the_model_and_not_the_data(tmp_path):
    def outcome(*words):
        small = ["dataset=digits", "dataset.train_size=100", "dataset.test_size=50", "n_jobs=1"]
        forest = ["model=rf", "model.n_estimators=5", f"cache_dir='{tmp_path.as_posix()}'"]
        experiment = build(compose([*small, *forest, *words]))
        return experiment.run(experiment.load()).predictions["test"]

    first, again, seeded, split = (
        outcome("seed=0"),
        outcome("seed=0"),
        outcome("seed=1"),
        outcome("dataset.split_seed=1"),
    )
    np.testing.assert_array_equal(first.probability, again.probability)
    assert (first.probability != seeded.probability).any()
    assert first.split_sha256 == seeded.split_sha256 != split.split_sha256
