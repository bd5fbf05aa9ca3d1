"""What is computed from labels, predictions and probabilities."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Predictions:
    """What a model said of each image of a split, in evaluation order (n images, k classes).

    `probability` (n, k) where the model has probabilities, else `score` (n, k) where it has
    decision scores.
    """

    index: NDArray[np.int64]
    label: NDArray[np.int64]
    prediction: NDArray[np.int64]
    probability: NDArray[np.floating] | None
    score: NDArray[np.floating] | None
    split_sha256: str

    @cached_property
    def confidence(self) -> NDArray[np.float64]:
        """How sure the model was of what it said (n,): its probability, or its lead over the
        runner-up in score.
        """
        if self.probability is not None:
            return np.asarray(self.probability.max(axis=1), dtype=np.float64)
        if self.score is None:
            return np.zeros(len(self.label))
        top = np.sort(self.score.astype(np.float64), axis=1)[:, -2:]
        return np.asarray(top[:, 1] - top[:, 0])


@dataclass(frozen=True)
class Metrics:
    """The figures of one split; None where the model gives nothing to compute it from."""

    accuracy: float
    macro_f1: float
    top2_accuracy: float | None
    log_loss: float | None
    ece: float | None


def confusion_matrix(
    label: NDArray[np.int64], prediction: NDArray[np.int64], n_classes: int
) -> NDArray[np.int64]:
    """Counts (k, k); rows are true classes, columns what they were taken for."""
    return np.bincount(label * n_classes + prediction, minlength=n_classes**2).reshape(
        n_classes, n_classes
    )


def precision_recall_f1(confusion: NDArray[np.integer]) -> tuple[NDArray[np.float64], ...]:
    """Precision, recall and F1 of each class from confusions (..., k, k); 0 where undefined, as in
    scikit-learn.
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    predicted, actual = confusion.sum(axis=-2), confusion.sum(axis=-1)
    precision = hits / np.maximum(predicted, 1)
    recall = hits / np.maximum(actual, 1)
    f1 = 2 * hits / np.maximum(predicted + actual, 1)
    return precision, recall, f1


def compute_metrics(predictions: Predictions, n_classes: int) -> Metrics:
    """All figures of one split, from the full-precision probabilities or scores."""
    label, prediction = predictions.label, predictions.prediction
    confusion = confusion_matrix(label, prediction, n_classes)
    order = predictions.probability if predictions.probability is not None else predictions.score
    probability = predictions.probability
    return Metrics(
        accuracy=float(np.mean(label == prediction)),
        macro_f1=float(precision_recall_f1(confusion)[2].mean()),
        top2_accuracy=None if order is None else float(np.mean(_within_top2(label, order))),
        log_loss=None
        if probability is None
        else float(np.mean(image_log_loss(label, probability))),
        ece=None if probability is None else calibration_error(predictions),
    )


def _within_top2(label: NDArray[np.int64], order: NDArray[np.floating]) -> NDArray[np.bool_]:
    above = (order > np.take_along_axis(order, label[:, None], axis=1)).sum(axis=1)
    return np.asarray(above < 2)


def image_log_loss(
    label: NDArray[np.int64], probability: NDArray[np.floating]
) -> NDArray[np.float64]:
    """-ln of the probability given to the truth (n,), clipped at float64 precision as scikit-learn does."""
    truth = np.take_along_axis(probability, label[:, None], axis=1)[:, 0].astype(np.float64)
    return -np.log(np.clip(truth, np.finfo(np.float64).eps, 1.0))


def calibration_error(predictions: Predictions, bins: int = 15) -> float:
    """Expected calibration error over equal-width confidence bins (Guo et al.

    2017).
    """
    gaps = (
        abs(found.hits - found.n * found.confidence)
        for found in calibration_bins(predictions, bins)
    )
    return float(sum(gaps) / len(predictions.label))


@dataclass(frozen=True)
class CalibrationBin:
    """The images of which the model was about equally sure."""

    n: int
    confidence: float  # mean over the images
    hits: int  # how many it was right about


def calibration_bins(predictions: Predictions, bins: int = 15) -> list[CalibrationBin]:
    """Equal-width bins of confidence from 0 to 1, without the empty ones."""
    confidence = predictions.confidence
    correct = predictions.label == predictions.prediction
    bin_number = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    n, total, hits = (
        np.bincount(bin_number, weights, bins) for weights in (None, confidence, correct)
    )
    return [
        CalibrationBin(int(n[b]), float(total[b] / n[b]), int(hits[b])) for b in np.flatnonzero(n)
    ]
