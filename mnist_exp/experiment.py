"""The walk of the data, as one plain function of plain objects: augment, extract features, fit,
evaluate.
"""

import time
from collections.abc import Callable, Iterator
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
from mnist_exp.evaluation import (
    Interval,
    Predictions,
    bootstrap_confusion,
    compute_metrics,
    confusion_matrix,
    image_log_loss,
    mean_interval,
    precision_recall_f1,
    wilson,
)
from mnist_exp.process import Stages, computed_once


class Augmentation(Protocol):
    """Training images in, the originals and their altered copies out, copy after copy."""

    def __call__(
        self, images: NDArray[np.uint8], rng: np.random.Generator, *, n_jobs: int
    ) -> NDArray[np.uint8]:
        """Return uint8 (m * n, h, w)."""


@dataclass(frozen=True)
class Interim:
    """What a half-fitted model says of the validation split."""

    stage: int  # epochs, or tens of trees
    share: float  # of the whole fit
    seconds: float  # of fitting so far
    metrics: dict[str, float]


Report = Callable[[Interim], None]


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
    seconds: dict[
        str, float
    ]  # what it took, also where it comes from a cache: a fit is as long as it is


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
    report: Report | None = None,
) -> Outcome:
    """Fit on the training split, augmented, and evaluate on every other split there is.

    With `memory`, jobs that share data, augmentation, features and seed compute those once. With
    `report`, the metrics on the validation split are told while the estimator is fitted, if it can
    be fitted in stages.
    """
    stages = stages or Stages()
    memory = memory or Memory(None, verbose=0)
    with threadpool_limits(n_jobs):
        pipeline, n_augmented = _fit(
            dataset, augment, features, estimator, seed, n_jobs, stages, memory, report
        )
        with stages("evaluate"), _refusals_named("model"):
            evaluated = {}
            if dataset.val:
                evaluated["val"] = _evaluate_val(pipeline, dataset.val, memory, n_jobs)
            if dataset.test:
                evaluated["test"] = evaluate(pipeline, dataset.test, n_jobs)
    return summarize(pipeline, dataset, evaluated, n_augmented, seed)


def summarize(
    pipeline: Pipeline,
    dataset: Dataset,
    evaluated: dict[str, Predictions],
    n_augmented: int,
    seed: int,
) -> Outcome:
    """Compute metrics and intervals from what a pipeline said of each split."""
    k = len(dataset.classes)
    metrics: dict[str, dict[str, float]] = {
        name: _numbers(found, k) for name, found in evaluated.items()
    }
    metrics["data"] = {
        "n_train": len(dataset.train),
        "n_augmented": n_augmented,
        **{
            f"n_{name}": len(evaluated[name].label) if name in evaluated else 0
            for name in ("val", "test")
        },
    }
    intervals = {
        f"{name}.{metric}": interval
        for name, found in evaluated.items()
        for metric, interval in compute_intervals(found, k, seed).items()
    }
    return Outcome(pipeline, evaluated, metrics, intervals)


def prepare(
    sha256: str,
    augment: Augmentation,
    features: BaseEstimator,
    seed: int,
    train: Split,
    n_jobs: int,
    stages: Stages,
) -> Prepared:
    """Augment and extract features; `sha256` stands for `train` where a cache names the result."""
    with stages("augment"):
        images = augment(train.images, np.random.default_rng(seed), n_jobs=n_jobs)
    y = np.tile(train.labels, len(images) // len(train))
    with stages("features", f"{len(images):,} images"), _refusals_named("features"):
        X = features.fit_transform(images, y)
    return Prepared(X, y, features, stages.seconds)


def _fit(
    dataset: Dataset,
    augment: Augmentation,
    features: BaseEstimator,
    estimator: BaseEstimator,
    seed: int,
    n_jobs: int,
    stages: Stages,
    memory: Memory,
    report: Report | None,
) -> tuple[Pipeline, int]:
    """A function of its own so that the training matrix is gone before the model is written."""
    train, val = dataset.train, dataset.val
    prepared = computed_once(memory, prepare, ["train", "n_jobs", "stages"])(
        train.sha256, augment, features, seed, train, n_jobs, Stages()
    )
    stages.seconds |= prepared.seconds
    told = None
    if report is not None and val is not None:
        X = _val_features(memory, prepared.features, val, n_jobs)
        told = _Teller(report, estimator, X, val, len(dataset.classes), n_jobs)
    with (
        stages("fit", "{:,} x {:,}".format(*prepared.X.shape)) as advance,
        _refusals_named("model"),
    ):
        models.fit(estimator, prepared.X, prepared.y, advance, told)
    return models.assemble(prepared.features, estimator), len(prepared.y)


def _val_features(
    memory: Memory, features: BaseEstimator, val: Split, n_jobs: int
) -> NDArray[np.float32]:
    found: NDArray[np.float32] = computed_once(memory, extract, ["images", "n_jobs"])(
        val.sha256, features, val.images, n_jobs
    )
    return found


def extract(
    sha256: str, features: BaseEstimator, images: NDArray[np.uint8], n_jobs: int
) -> NDArray[np.float32]:
    """Features (n, d) of images, in the blocks in which a pipeline computes them; `sha256` stands
    for the images.
    """
    return models.in_blocks(features.transform, images, n_jobs)


def _evaluate_val(pipeline: Pipeline, val: Split, memory: Memory, n_jobs: int) -> Predictions:
    if memory.location is None:
        return evaluate(pipeline, val, n_jobs)
    return _predictions(pipeline[-1], _val_features(memory, pipeline[0], val, n_jobs), val, n_jobs)


class _Teller:
    """Evaluates a half-fitted estimator on validation data."""

    def __init__(
        self,
        report: Report,
        estimator: Any,
        X: NDArray[np.float32],
        val: Split,
        n_classes: int,
        n_jobs: int,
    ) -> None:
        self._report, self._estimator, self._X, self._val = report, estimator, X, val
        self._n_classes, self._n_jobs = n_classes, n_jobs
        self._began = time.perf_counter()

    def __call__(self, stage: int, share: float) -> None:
        jobs = getattr(self._estimator, "n_jobs", None)
        if jobs is not None:
            self._estimator.set_params(
                n_jobs=1
            )  # threads share out images instead, as in `assemble`
        predictions = _predictions(self._estimator, self._X, self._val, self._n_jobs)
        if jobs is not None:
            self._estimator.set_params(n_jobs=jobs)
        seconds = time.perf_counter() - self._began
        self._report(Interim(stage, share, seconds, _numbers(predictions, self._n_classes)))


@contextmanager
def _refusals_named(group: str) -> Iterator[None]:
    """A parameter that only the data can refute (more components than columns, say) is the user's
    to mend.
    """
    try:
        yield
    except ValueError as error:
        raise UserError(f"{group}: {error}") from error


def evaluate(pipeline: Any, split: Split, n_jobs: int) -> Predictions:
    """What the pipeline says of each image of a split."""
    return _predictions(pipeline, split.images, split, n_jobs)


def _predictions(model: Any, inputs: NDArray[Any], split: Split, n_jobs: int) -> Predictions:
    prediction, probability, score = models.predict(model, inputs, n_jobs)
    return Predictions(split.index, split.labels, prediction, probability, score, split.sha256)


def _numbers(predictions: Predictions, n_classes: int) -> dict[str, float]:
    return {
        name: value
        for name, value in asdict(compute_metrics(predictions, n_classes)).items()
        if value is not None
    }


def compute_intervals(predictions: Predictions, n_classes: int, seed: int) -> dict[str, Interval]:
    """The interval of each metric that has a sound one (calibration error does not: it is biased at
    any finite n).
    """
    metrics = _numbers(predictions, n_classes)
    n = len(predictions.label)
    found: dict[str, Interval] = {
        name: wilson(round(metrics[name] * n), n)
        for name in ("accuracy", "top2_accuracy")
        if name in metrics
    }
    confusion = confusion_matrix(predictions.label, predictions.prediction, n_classes)
    rng = np.random.default_rng(seed)
    found["macro_f1"] = bootstrap_confusion(
        confusion, lambda draws: precision_recall_f1(draws)[2].mean(axis=-1), rng
    )
    if predictions.probability is not None:
        found["log_loss"] = mean_interval(
            image_log_loss(predictions.label, predictions.probability)
        )
    return found
