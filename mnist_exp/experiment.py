"""The walk of the data, as one plain function of plain objects.

Augment, extract features, fit, calibrate, evaluate: no Hydra and no configuration.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import asdict, dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from joblib import Memory
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from mnist_exp import models
from mnist_exp.data import Dataset, Source, Split, doubts, load
from mnist_exp.errors import UserError
from mnist_exp.evaluation import (
    Confidence,
    Interval,
    Predictions,
    bootstrap_confusion,
    choose_threshold,
    compute_metrics,
    confusion_matrix,
    coverage_at,
    image_log_loss,
    mean_interval,
    precision_recall_f1,
    wilson,
)
from mnist_exp.features import Pixels
from mnist_exp.process import Stages, cache_errors_named, computed_once

log = logging.getLogger(__name__)

SAMPLE = 5_000  # training images that are asked how well they were learned


class Augmentation(Protocol):
    """Training images in, the originals and their altered copies out, copy after copy."""

    def __call__(
        self, images: NDArray[np.uint8], rng: np.random.Generator, *, n_jobs: int
    ) -> NDArray[np.uint8]:
        """Return uint8 (m * n, h, w)."""


@dataclass(frozen=True)
class Interim:
    """How well a half-fitted model does on the validation split.

    Attributes
    ----------
    stage
        Epochs, or tens of trees.
    share
        Of the whole fit (0..1).
    seconds
        Of fitting so far.
    metrics
        On the validation split, by name: `accuracy`, `macro_f1` ...
    """

    stage: int
    share: float
    seconds: float
    metrics: dict[str, float]


OnInterim = Callable[[Interim], None]


@dataclass(frozen=True)
class Outcome:
    """What an experiment leaves.

    Attributes
    ----------
    pipeline
        The fitted pipeline, from raw uint8 images to classes.
    predictions
        For `val` and `test`, where there are such splits.
    metrics
        For each of these the metrics by name, and under `data` the number of images.
    intervals
        `test.accuracy` and so on, for the metrics that have a sound interval.
    fitted_by
        As `mnist_exp.models.fit` returns it.
    confidence
        From which probability on the model is right as often as is wanted; None where it has none.
    """

    pipeline: Pipeline
    predictions: dict[str, Predictions]
    metrics: dict[str, dict[str, float]]
    intervals: dict[str, Interval]
    fitted_by: str = "scikit-learn"
    confidence: Confidence | None = None


@dataclass(frozen=True)
class Experiment:
    """What a configuration describes, as objects that know nothing of it.

    Attributes
    ----------
    source
        The dataset, not loaded yet.
    sizes
        `train_size`, `val_size`, `test_size` and `split_seed`, as `mnist_exp.data.load` takes them.
    augment, features, estimator, calibrator
        As `run_experiment` takes them; `run` fits clones.
    seed, n_jobs
        Of models and augmentation, and the number of threads.
    cache_dir, cache_bytes
        Where decoded data and features are kept, and how much the latter may take.
    """

    source: Source
    sizes: dict[str, Any]
    augment: Augmentation
    features: BaseEstimator
    estimator: BaseEstimator
    calibrator: models.Calibrator | None
    seed: int
    n_jobs: int
    cache_dir: Path
    cache_bytes: int

    def load(self, with_test: bool = True) -> Dataset:
        """Read the data and cut the splits; the log tells what looks wrong in somebody's own."""
        dataset = load(self.source, **self.sizes, with_test=with_test)
        for doubt in doubts(dataset) if self.source.doubtful and with_test else ():
            log.warning("dataset %s: %s", dataset.name, doubt)
        return dataset

    def memory(self) -> Memory:
        """Return where experiments find features that another has extracted, trimmed to size."""
        folder = self.cache_dir / "features"
        with cache_errors_named(folder):
            memory = Memory(folder, mmap_mode="r", verbose=0)
            memory.reduce_size(bytes_limit=self.cache_bytes)
        return memory

    def run(
        self,
        dataset: Dataset,
        stages: Stages | None = None,
        memory: Memory | None = None,
        on_interim: OnInterim | None = None,
    ) -> Outcome:
        """Fit and evaluate; see `run_experiment`."""
        return run_experiment(
            dataset,
            self.augment,
            clone(self.features),
            clone(self.estimator),
            clone(self.calibrator) if self.calibrator else None,
            seed=self.seed,
            n_jobs=self.n_jobs,
            stages=stages,
            memory=memory,
            on_interim=on_interim,
        )


def run_experiment(
    dataset: Dataset,
    augment: Augmentation,
    features: BaseEstimator,
    estimator: BaseEstimator,
    calibrator: models.Calibrator | None = None,
    *,
    seed: int,
    n_jobs: int,
    stages: Stages | None = None,
    memory: Memory | None = None,
    on_interim: OnInterim | None = None,
) -> Outcome:
    """Fit on the training split, augmented, and evaluate on every other split there is.

    Parameters
    ----------
    dataset
        Its training split, and a validation or a test split.
    augment
        Applied to the training images only.
    features, estimator
        A transformer of images and a classifier; both are fitted in place.
    calibrator
        Gives the classifier probabilities, fitted in place on what it says of images that it was
        not fitted on; None leaves what it says as it is.
    seed
        Of the augmentation and of the bootstrap; features and estimator have their own.
    n_jobs
        Number of threads.
    stages
        Times the stages and shows their progress.
    memory
        Where experiments that share data, augmentation, features and seed find what another one
        has computed.
    on_interim
        Called with the metrics on the validation split while the estimator is fitted, if it can
        be fitted in stages; may raise to end the experiment.

    Returns
    -------
    Outcome
        The fitted pipeline, its predictions, metrics and intervals.

    Raises
    ------
    UserError
        If features or estimator do not fit the data.

    Examples
    --------
    >>> from mnist_exp import augment
    >>> from mnist_exp.data import digits, load
    >>> from mnist_exp.features import Pixels
    >>> from sklearn.naive_bayes import BernoulliNB
    >>> dataset = load(digits(), train_size=300, test_size=100)
    >>> model = BernoulliNB(binarize=0.5)
    >>> outcome = run_experiment(dataset, augment.none, Pixels(), model, seed=0, n_jobs=1)
    >>> outcome.metrics["test"]["accuracy"] > 0.8
    True
    """
    stages = stages or Stages()
    memory = memory or Memory(None, verbose=0)
    with threadpool_limits(n_jobs):
        fitted = _fit(
            dataset,
            augment,
            features,
            estimator,
            calibrator,
            seed,
            n_jobs,
            stages,
            memory,
            on_interim,
        )
        pipeline = fitted.pipeline
        predictions = {}
        with stages("evaluate"), _refusals_named("model"):
            if dataset.val:
                X = _val_features(dataset.val, pipeline[0], memory, n_jobs)
                predictions["val"] = _predict(pipeline[-1], X, dataset.val, n_jobs)
            if dataset.test:
                predictions["test"] = _predict(pipeline, dataset.test.images, dataset.test, n_jobs)
        guesses, *_ = models.predict(pipeline[-1], fitted.X_sample, n_jobs)
        outcome = summarize(pipeline, dataset, predictions, fitted.n_augmented, seed)
        outcome.metrics.update(_calibration_figures(pipeline, fitted.unseen, dataset, n_jobs))
    n, hits = len(guesses), int((guesses == fitted.y_sample).sum())
    outcome.metrics["train"] = {"accuracy": hits / n, "n": n}
    outcome.intervals["train.accuracy"] = wilson(hits, n)
    confidence = _choose_threshold(predictions, fitted.unseen)
    if confidence and confidence.threshold is not None and "test" in predictions:
        test = predictions["test"]
        right = test.label == test.prediction
        coverage = coverage_at(test.confidence, right, confidence.threshold)
        outcome.metrics["test"]["coverage"] = coverage.share
        outcome.intervals["test.coverage"] = coverage.share_interval
        if coverage.accuracy is not None and coverage.accuracy_interval is not None:
            outcome.metrics["test"]["selective_accuracy"] = coverage.accuracy
            outcome.intervals["test.selective_accuracy"] = coverage.accuracy_interval
    return replace(outcome, fitted_by=fitted.by, confidence=confidence)


def _choose_threshold(
    predictions: dict[str, Predictions], unseen: models.Unseen | None
) -> Confidence | None:
    """Choose on the validation split if there is one, else on what calibration held out."""
    val = predictions.get("val")
    if val is not None and val.probability is not None:
        return choose_threshold(val.confidence, val.label == val.prediction)
    return choose_threshold(unseen.confidence, unseen.right) if unseen else None


def _calibration_figures(
    pipeline: Pipeline, unseen: models.Unseen | None, dataset: Dataset, n_jobs: int
) -> dict[str, dict[str, float]]:
    """What the calibrator learned, from how many images, and how many test answers it changed."""
    if unseen is None:
        return {}
    calibrator = pipeline[-1].calibrator
    figures = {"temperature": calibrator.temperature_, "n": len(unseen.right)}
    if not calibrator.keeps_order and dataset.test:
        images = dataset.test.images
        before, *_ = models.predict(models.uncalibrated(pipeline), images, n_jobs)
        after, *_ = models.predict(pipeline, images, n_jobs)
        figures["changed"] = int((before != after).sum())
    return {"calibration": figures}


def summarize(
    pipeline: Pipeline,
    dataset: Dataset,
    predictions: dict[str, Predictions],
    n_augmented: int,
    seed: int,
) -> Outcome:
    """Compute metrics and intervals from the predictions for each split."""
    k = len(dataset.classes)
    metrics = {name: _metrics(split, k) for name, split in predictions.items()}
    metrics["data"] = {"n_train": len(dataset.train), "n_augmented": n_augmented}
    for name in ("val", "test"):
        metrics["data"][f"n_{name}"] = len(predictions[name].label) if name in predictions else 0
    intervals = {
        f"{name}.{metric}": interval
        for name, split in predictions.items()
        for metric, interval in compute_intervals(split, k, seed).items()
    }
    return Outcome(pipeline, predictions, metrics, intervals)


def prepare(
    sha256: str,
    augment: Augmentation,
    features: BaseEstimator,
    seed: int,
    train: Split,
    n_jobs: int,
    stages: Stages,
    coded: bool,
) -> tuple[NDArray[np.float32] | models.Coded, NDArray[np.int64], BaseEstimator, dict[str, float]]:
    """Augment and extract features; `sha256` stands for `train` where a cache names the result.

    Of pixels that are wanted `coded` no float32 copy is made, which is four times as large.

    Returns the training matrix, its labels, the fitted features and the seconds of the stages: a
    run takes as long as its work does, also where the result comes from a cache.
    """
    with stages("augment"):
        images = augment(train.images, np.random.default_rng(seed), n_jobs=n_jobs)
    y = np.tile(train.labels, len(images) // len(train))
    with stages("features", f"{len(images):,} images"), _refusals_named("features"):
        if coded:
            features.fit(images[:1])
            values = Pixels().fit_transform(np.arange(256, dtype=np.uint8)[:, None, None])
            X = models.Coded(images.reshape(len(images), -1), np.ascontiguousarray(values.T))
        else:
            models.bound(features, images)
            X = features.fit_transform(images, y)
    return X, y, features, stages.seconds


def extract(
    sha256: str, features: BaseEstimator, images: NDArray[np.uint8], n_jobs: int
) -> NDArray[np.float32]:
    """Features (n, d), in blocks as a pipeline computes them; `sha256` stands for the images."""
    return models.in_blocks(features.transform, images, n_jobs)


def _val_features(val: Split, features: BaseEstimator, memory: Memory, n_jobs: int) -> Any:
    return computed_once(memory, extract, ["images", "n_jobs"])(
        val.sha256, features, val.images, n_jobs
    )


@dataclass(frozen=True)
class _Fitted:
    """The fitted pipeline, how it came about, and a sample of what it was fitted on."""

    pipeline: Pipeline
    by: str
    n_augmented: int
    unseen: models.Unseen | None
    X_sample: NDArray[np.float32]
    y_sample: NDArray[np.int64]


def _fit(
    dataset: Dataset,
    augment: Augmentation,
    features: BaseEstimator,
    estimator: BaseEstimator,
    calibrator: models.Calibrator | None,
    seed: int,
    n_jobs: int,
    stages: Stages,
    memory: Memory,
    on_interim: OnInterim | None,
) -> _Fitted:
    """A function of its own so that the training matrix is gone before the model is written."""
    train, val = dataset.train, dataset.val
    coded = type(features) is Pixels and models.grows_faster(estimator, len(dataset.classes))
    X, y, features, seconds = computed_once(memory, prepare, ["train", "n_jobs", "stages"])(
        train.sha256,
        augment,
        features,
        seed,
        train,
        n_jobs,
        Stages(watcher=stages.watcher),
        coded,
    )
    stages.seconds |= seconds
    on_stage = None
    if on_interim is not None and val is not None:
        X_val = _val_features(val, features, memory, n_jobs)
        on_stage = _judging(
            on_interim,
            estimator,
            calibrator is not None,
            X_val,
            val,
            len(dataset.classes),
            n_jobs,
            stages,
        )
    held = None if calibrator is None else models.hold_out(y, len(train), seed)
    with stages("fit", "{:,} x {:,}".format(*X.shape)) as advance, _refusals_named("model"):
        fitted_by = models.fit(estimator, X, y, advance, on_stage, held)
    model, unseen = estimator, None
    if calibrator is not None and held is not None:
        with stages("calibrate"), _refusals_named("calibration"):
            training = models.Training(X, y, held, len(train), n_jobs)
            model, unseen = models.calibrate(calibrator, estimator, training)
    sample = np.arange(0, len(train), ceil(len(train) / SAMPLE))
    X_sample, y_sample = models.dense(X, sample), y[sample]
    pipeline = models.assemble(features, model)
    return _Fitted(pipeline, fitted_by, len(y), unseen, X_sample, y_sample)


def _judging(
    on_interim: OnInterim,
    estimator: BaseEstimator,
    calibrated: bool,
    X: NDArray[np.float32],
    val: Split,
    n_classes: int,
    n_jobs: int,
    stages: Stages,
) -> models.OnStage:
    """Return a function that evaluates the half-fitted estimator on the validation split.

    What is going to be calibrated has a temperature of that split here: one number of so many
    images flatters nobody.
    """
    began = time.perf_counter()

    def judge(stage: int, share: float) -> None:
        half_fitted = copy(estimator)  # with one thread of its own, as in `models.assemble`
        if hasattr(half_fitted, "n_jobs"):
            half_fitted.set_params(n_jobs=1)
        predictions = _predict(half_fitted, X, val, n_jobs)
        if calibrated:
            predictions = _rescaled(half_fitted, predictions)
        metrics = _metrics(predictions, n_classes)
        if stages.watcher:
            stages.watcher("fit", share, metrics)
        on_interim(Interim(stage, share, time.perf_counter() - began, metrics))

    return judge


def _rescaled(model: Any, predictions: Predictions) -> Predictions:
    answer = predictions.score if predictions.probability is None else predictions.probability
    if answer is None:
        return predictions
    logits, known = models.as_logits(model, answer), np.isin(predictions.label, model.classes_)
    columns = np.searchsorted(model.classes_, predictions.label[known])
    probability = models.Temperature().fit(logits[known], columns).predict_proba(logits)
    return replace(predictions, probability=probability, score=None)


@contextmanager
def _refusals_named(group: str) -> Iterator[None]:
    """Name the group of a parameter that only the data refute, as too many components."""
    try:
        yield
    except ValueError as error:
        raise UserError(f"{group}: {error}") from error


def _predict(model: Any, inputs: NDArray[Any], split: Split, n_jobs: int) -> Predictions:
    prediction, probability, score = models.predict(model, inputs, n_jobs)
    return Predictions(split.index, split.labels, prediction, probability, score, split.sha256)


def _metrics(predictions: Predictions, n_classes: int) -> dict[str, float]:
    return {
        name: value
        for name, value in asdict(compute_metrics(predictions, n_classes)).items()
        if value is not None
    }


def compute_intervals(predictions: Predictions, n_classes: int, seed: int) -> dict[str, Interval]:
    """Compute the interval of each metric that has a sound one.

    The calibration error has none: it is biased at any finite number of images.
    """
    label, n, metrics = predictions.label, len(predictions.label), _metrics(predictions, n_classes)
    intervals: dict[str, Interval] = {
        name: wilson(round(metrics[name] * n), n)
        for name in ("accuracy", "top2_accuracy")
        if name in metrics
    }
    intervals["macro_f1"] = bootstrap_confusion(
        confusion_matrix(label, predictions.prediction, n_classes),
        lambda draws: precision_recall_f1(draws)[2].mean(axis=-1),
        np.random.default_rng(seed),
    )
    if predictions.probability is not None:
        intervals["log_loss"] = mean_interval(image_log_loss(label, predictions.probability))
    return intervals
