"""The walk of the data, as one plain function of plain objects: augment, extract features, fit, evaluate."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from joblib import Memory
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from mnist_exp import models
from mnist_exp.data import Dataset, Split
from mnist_exp.errors import UserError
from mnist_exp.metrics import Predictions, compute_metrics, confusion_matrix, image_log_loss, precision_recall_f1
from mnist_exp.progress import Stages
from mnist_exp.statistics import Interval, bootstrap_confusion, mean_interval, wilson


class Augmentation(Protocol):
    """Training images in, the originals and their altered copies out, copy after copy."""

    def __call__(self, images: NDArray[np.uint8], rng: np.random.Generator, *, n_jobs: int) -> NDArray[np.uint8]:
        """Return uint8 (m * n, h, w)."""


@dataclass(frozen=True)
class Outcome:
    """What an experiment leaves: the fitted pipeline and what it said of each split."""

    pipeline: Pipeline
    predictions: dict[str, Predictions]
    metrics: dict[str, dict[str, float]]
    intervals: dict[str, Interval]


@dataclass(frozen=True)
class Prepared:
    """The training data as the estimator wants it, with the fitted features that made it so."""

    X: NDArray[np.float32]
    y: NDArray[np.int64]
    features: BaseEstimator
    seconds: dict[str, float]  # what it took, also where it comes from a cache: a fit is as long as it is


def run_experiment(
    dataset: Dataset,
    augment: Augmentation,
    features: BaseEstimator,
    estimator: BaseEstimator,
    *,
    seed: int,
    n_jobs: int,
    stages: Stages | None = None,
    memory: Memory | None = None,
) -> Outcome:
    """Fit on the training split, augmented, and evaluate on every other split there is.

    With `memory`, jobs that share data, augmentation, features and seed compute those once.
    """
    stages = stages or Stages()
    with threadpool_limits(n_jobs):
        pipeline, n_augmented = _fit(
            dataset.train, augment, features, estimator, seed, n_jobs, stages, memory or Memory(None, verbose=0)
        )
        with stages("evaluate"):
            splits = {name: split for name, split in (("val", dataset.val), ("test", dataset.test)) if split}
            evaluated = {name: evaluate(pipeline, split, n_jobs) for name, split in splits.items()}
    k = len(dataset.classes)
    metrics: dict[str, dict[str, float]] = {name: _numbers(found, k) for name, found in evaluated.items()}
    metrics["data"] = {
        "n_train": len(dataset.train),
        "n_augmented": n_augmented,
        "n_val": len(dataset.val) if dataset.val else 0,
        "n_test": len(dataset.test) if dataset.test else 0,
    }
    intervals = {
        f"{name}.{metric}": interval
        for name, found in evaluated.items()
        for metric, interval in compute_intervals(found, k, seed).items()
    }
    return Outcome(pipeline, evaluated, metrics, intervals)


def prepare(
    sha256: str, augment: Augmentation, features: BaseEstimator, seed: int, train: Split, n_jobs: int, stages: Stages
) -> Prepared:
    """Augment and extract features; `sha256` stands for `train` where a cache names the result."""
    with stages("augment"):
        images = augment(train.images, np.random.default_rng(seed), n_jobs=n_jobs)
    y = np.tile(train.labels, len(images) // len(train))
    with stages("features", f"{len(images):,} images"), _refusals_named("features"):
        X = features.fit_transform(images, y)
    return Prepared(X, y, features, stages.seconds)


def _fit(
    train: Split,
    augment: Augmentation,
    features: BaseEstimator,
    estimator: BaseEstimator,
    seed: int,
    n_jobs: int,
    stages: Stages,
    memory: Memory,
) -> tuple[Pipeline, int]:
    """A function of its own so that the training matrix is gone before the model is written."""
    remembered = memory.cache(prepare, ignore=["train", "n_jobs", "stages"])
    prepared = remembered(train.sha256, augment, features, seed, train, n_jobs, Stages())
    stages.seconds |= prepared.seconds
    with stages("fit", "{:,} x {:,}".format(*prepared.X.shape)) as advance, _refusals_named("model"):
        models.fit(estimator, prepared.X, prepared.y, advance)
    return models.assemble(prepared.features, estimator), len(prepared.y)


@contextmanager
def _refusals_named(group: str) -> Iterator[None]:
    """A parameter that only the data can refute (more components than columns, say) is the user's to mend."""
    try:
        yield
    except ValueError as error:
        raise UserError(f"{group}: {error}") from error


def evaluate(pipeline: Any, split: Split, n_jobs: int) -> Predictions:
    """What the pipeline says of each image of a split."""
    prediction, probability, score = models.predict(pipeline, split.images, n_jobs)
    return Predictions(split.index, split.labels, prediction, probability, score, split.sha256)


def _numbers(predictions: Predictions, n_classes: int) -> dict[str, float]:
    return {name: value for name, value in asdict(compute_metrics(predictions, n_classes)).items() if value is not None}


def compute_intervals(predictions: Predictions, n_classes: int, seed: int) -> dict[str, Interval]:
    """The interval of each metric that has a sound one (calibration error does not: it is biased at any finite n)."""
    metrics = _numbers(predictions, n_classes)
    n = len(predictions.label)
    found: dict[str, Interval] = {
        name: wilson(round(metrics[name] * n), n) for name in ("accuracy", "top2_accuracy") if name in metrics
    }
    confusion = confusion_matrix(predictions.label, predictions.prediction, n_classes)
    rng = np.random.default_rng(seed)
    found["macro_f1"] = bootstrap_confusion(confusion, lambda draws: precision_recall_f1(draws)[2].mean(axis=-1), rng)
    if predictions.probability is not None:
        found["log_loss"] = mean_interval(image_log_loss(predictions.label, predictions.probability))
    return found
