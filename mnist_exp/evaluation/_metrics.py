"""What is computed from labels, predictions and probabilities."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Predictions:
    """A model's predictions on a split, in evaluation order (n images, k classes).

    Attributes
    ----------
    index : array of int (n,)
        Each image's place in the part of the dataset that the split was cut from.
    label, prediction : arrays of int (n,)
        True and predicted classes.
    probability : array (n, k) or None
        Where the model has probabilities.
    score : array (n, k) or None
        Else, where it has decision scores.
    split_sha256 : str
        Of the split's images and labels: equal ones mean the same test.

    Examples
    --------
    >>> probability = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]])
    >>> label, prediction = np.array([0, 0, 1]), probability.argmax(axis=1)
    >>> predictions = Predictions(np.arange(3), label, prediction, probability, None, "")
    >>> predictions.confidence
    array([0.9, 0.6, 0.7])
    """

    index: NDArray[np.int64]
    label: NDArray[np.int64]
    prediction: NDArray[np.int64]
    probability: NDArray[np.floating] | None
    score: NDArray[np.floating] | None
    split_sha256: str

    @cached_property
    def confidence(self) -> NDArray[np.float64]:
        """The probability of the prediction (n,), or its lead over the runner-up in score."""
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
    ece: float | None  # expected calibration error over bins of equal width (Guo et al. 2017)
    ece_mass: float | None  # the same over bins of equally many images


def confusion_matrix(
    label: NDArray[np.int64], prediction: NDArray[np.int64], n_classes: int
) -> NDArray[np.int64]:
    """How often each class was predicted as which.

    Parameters
    ----------
    label, prediction : arrays of int (n,)
        True and predicted classes, from 0 to k - 1.
    n_classes : int
        How many classes k there are.

    Returns
    -------
    array of int (k, k)
        Counts; rows are true classes, columns predicted ones.

    Examples
    --------
    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    array([[1, 1],
           [0, 1]])
    """
    return np.bincount(label * n_classes + prediction, minlength=n_classes**2).reshape(
        n_classes, n_classes
    )


def precision_recall_f1(confusion: NDArray[np.integer]) -> tuple[NDArray[np.float64], ...]:
    """Precision, recall and F1 of each class.

    Parameters
    ----------
    confusion : array of int (..., k, k)
        One confusion matrix, or many; rows are true classes.

    Returns
    -------
    tuple of three arrays (..., k)
        Precision, recall and F1; 0 where undefined, as in scikit-learn.

    Examples
    --------
    >>> precision, recall, f1 = precision_recall_f1(np.array([[1, 1], [0, 2]]))
    >>> recall
    array([0.5, 1. ])
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    predicted, actual = confusion.sum(axis=-2), confusion.sum(axis=-1)
    return (
        hits / np.maximum(predicted, 1),
        hits / np.maximum(actual, 1),
        2 * hits / np.maximum(predicted + actual, 1),
    )


def compute_metrics(predictions: Predictions, n_classes: int) -> Metrics:
    """All figures of one split, from the full-precision probabilities or scores.

    Parameters
    ----------
    predictions : Predictions
        Of n images, at least one.
    n_classes : int
        How many classes k there are.

    Returns
    -------
    Metrics
        Shares from 0 to 1; the log loss in nats.

    Examples
    --------
    >>> probability = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]])
    >>> label, prediction = np.array([0, 0, 1]), probability.argmax(axis=1)
    >>> metrics = compute_metrics(
    ...     Predictions(np.arange(3), label, prediction, probability, None, ""), 2
    ... )
    >>> print(f"{metrics.accuracy:.3f} {metrics.log_loss:.3f}")
    0.667 0.459
    """
    label, prediction = predictions.label, predictions.prediction
    probability = predictions.probability
    order = predictions.score if probability is None else probability
    confusion = confusion_matrix(label, prediction, n_classes)
    log_loss = None if probability is None else image_log_loss(label, probability).mean()
    ece = None if probability is None else _calibration_error(calibration_bins(predictions))
    return Metrics(
        accuracy=float(np.mean(label == prediction)),
        macro_f1=float(precision_recall_f1(confusion)[2].mean()),
        top2_accuracy=None if order is None else float(np.mean(_within_top2(label, order))),
        log_loss=None if log_loss is None else float(log_loss),
        ece=ece,
        ece_mass=None if probability is None else _equal_mass_error(predictions),
    )


def _calibration_error(bins: "list[CalibrationBin]") -> float:
    return sum(abs(b.hits - b.n * b.confidence) for b in bins) / sum(b.n for b in bins)


def _equal_mass_error(predictions: Predictions, bins: int = 15) -> float:
    order = np.argsort(predictions.confidence, kind="stable")
    lead = predictions.confidence - (predictions.label == predictions.prediction)
    parts = np.array_split(lead[order], bins)
    return float(sum(abs(part.sum()) for part in parts) / len(order))


def _within_top2(label: NDArray[np.int64], order: NDArray[np.floating]) -> NDArray[np.bool_]:
    above = (order > np.take_along_axis(order, label[:, None], axis=1)).sum(axis=1)
    return np.asarray(above < 2)


def image_log_loss(
    label: NDArray[np.int64], probability: NDArray[np.floating]
) -> NDArray[np.float64]:
    """-ln of the probability given to the true class of each image.

    Parameters
    ----------
    label : array of int (n,)
        True classes.
    probability : array (n, k)
        Clipped at float64's precision, as scikit-learn does.

    Returns
    -------
    array (n,)
        In nats.

    Examples
    --------
    >>> image_log_loss(np.array([0, 1]), np.array([[1.0, 0.0], [0.5, 0.5]])).round(3) + 0
    array([0.   , 0.693])
    """
    truth = np.take_along_axis(probability, label[:, None], axis=1)[:, 0].astype(np.float64)
    return -np.log(np.clip(truth, np.finfo(np.float64).eps, 1.0))


@dataclass(frozen=True)
class CalibrationBin:
    """The images of which the model was about equally sure."""

    n: int
    confidence: float  # mean over the images
    hits: int  # how many it was right about


def calibration_bins(predictions: Predictions, bins: int = 15) -> list[CalibrationBin]:
    """How often a model is right where it is about equally sure.

    Parameters
    ----------
    predictions : Predictions
        With probabilities.
    bins : int
        How many bins of equal width divide the confidence from 0 to 1.

    Returns
    -------
    list of CalibrationBin
        In rising confidence, without the empty ones.

    Examples
    --------
    >>> probability = np.tile([0.8, 0.2], (4, 1))
    >>> label, prediction = np.array([0, 0, 0, 1]), np.zeros(4, int)
    >>> calibration_bins(Predictions(np.arange(4), label, prediction, probability, None, ""))
    [CalibrationBin(n=4, confidence=0.8, hits=3)]
    """
    confidence = predictions.confidence
    correct = predictions.label == predictions.prediction
    bin_number = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    n, total, hits = (
        np.bincount(bin_number, weights, bins) for weights in (None, confidence, correct)
    )
    return [
        CalibrationBin(int(n[b]), float(total[b] / n[b]), int(hits[b])) for b in np.flatnonzero(n)
    ]
