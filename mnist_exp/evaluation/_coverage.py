"""Risk and coverage: how many images a model may answer if it is to be right about them.

It answers where its probability is at least a threshold; the share of images that it answers is its
coverage, and the accuracy among them its selective accuracy (El-Yaniv & Wiener 2010).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_exp.evaluation._statistics import Interval, wilson

TARGET = 0.999
POINTS = 200  # of a curve


@dataclass(frozen=True)
class Confidence:
    """The threshold from which a model is right as often as is wanted.

    Attributes
    ----------
    threshold : float or None
        The least probability that is answered; None where no threshold reaches the target.
    target : float
        The accuracy that is wanted of the answers.
    share : float
        The share of images that is answered.
    """

    threshold: float | None
    target: float
    share: float


@dataclass(frozen=True)
class Coverage:
    """What a threshold leads to on test images; intervals are of these images alone.

    Attributes
    ----------
    share : float
        Of the images that are answered.
    share_interval : Interval
        Wilson's: the number answered is binomial, since the threshold was chosen on other images.
    accuracy : float or None
        Of the answers, if there are any.
    accuracy_interval : Interval or None
        Wilson's, among the answers.
    """

    share: float
    share_interval: Interval
    accuracy: float | None
    accuracy_interval: Interval | None


def choose_threshold(
    confidence: NDArray[np.floating], right: NDArray[np.bool_], target: float = TARGET
) -> Confidence:
    """Find the lowest threshold whose answers are right as often as is wanted.

    One mistake more than there are must be allowed, (mistakes + 1) / (answers + 1) <= 1 - target,
    as in conformal risk control: so the risk on new images is on average no higher than wanted.

    Parameters
    ----------
    confidence : array (n,)
        Probabilities of the predictions, for images that the model has not learned from.
    right : array of bool (n,)
        Whether each prediction is right.
    target : float
        The accuracy that is wanted.

    Returns
    -------
    Confidence
        Without a threshold where even the surest predictions are too few or too often wrong.

    References
    ----------
    Angelopoulos et al. 2024, "Conformal risk control".

    Examples
    --------
    >>> confidence = np.linspace(0.5, 1.0, 3001)
    >>> choose_threshold(confidence, confidence >= 0.75).threshold
    0.75
    """
    order = np.argsort(-confidence, kind="stable")
    ranked, answers = confidence[order], np.arange(1, len(order) + 1)
    risk = (np.cumsum(~right[order]) + 1) / (answers + 1)
    whole = np.append(ranked[1:] < ranked[:-1], True)  # equal ones are answered together
    enough = np.flatnonzero(whole & (risk <= (1 - target) * (1 + 1e-12)))
    if not enough.size:
        return Confidence(None, target, 0.0)
    last = int(enough[-1])
    return Confidence(float(ranked[last]), target, (last + 1) / len(order))


def coverage_at(
    confidence: NDArray[np.floating], right: NDArray[np.bool_], threshold: float
) -> Coverage:
    """Return what a threshold that was chosen on other images leads to on these.

    Parameters
    ----------
    confidence : array (n,)
        Probabilities of the predictions.
    right : array of bool (n,)
        Whether each prediction is right.
    threshold : float
        The least probability that is answered.

    Returns
    -------
    Coverage
        Shares from 0 to 1, with 95 % intervals.

    Examples
    --------
    >>> confidence = np.array([0.6, 0.7, 0.9, 0.99])
    >>> coverage = coverage_at(confidence, np.array([False, True, True, True]), 0.65)
    >>> coverage.share, coverage.accuracy
    (0.75, 1.0)
    """
    answered = confidence >= threshold
    n_answers, n_right = int(answered.sum()), int(right[answered].sum())
    return Coverage(
        share=n_answers / len(right),
        share_interval=wilson(n_answers, len(right)),
        accuracy=n_right / n_answers if n_answers else None,
        accuracy_interval=wilson(n_right, n_answers) if n_answers else None,
    )


def coverage_curve(
    confidence: NDArray[np.floating], right: NDArray[np.bool_]
) -> list[tuple[float, float]]:
    """Return shares answered, the surest first, and the accuracy among them.

    Parameters
    ----------
    confidence : array (n,)
        Probabilities of the predictions.
    right : array of bool (n,)
        Whether each prediction is right.

    Returns
    -------
    list of pairs
        At most 200, up to the share 1.

    Examples
    --------
    >>> coverage_curve(np.array([0.6, 0.9]), np.array([False, True]))
    [(0.5, 1.0), (1.0, 0.5)]
    """
    order, n = np.argsort(-confidence, kind="stable"), len(right)
    accuracy = np.cumsum(right[order]) / np.arange(1, n + 1)
    places = np.unique(np.linspace(n / min(n, POINTS), n, min(n, POINTS)).astype(np.int64))
    return [(int(place) / n, float(accuracy[place - 1])) for place in places]
