"""Intervals for what a finite test set can tell."""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
RESAMPLES = 2_000


@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval and how it was made."""

    low: float
    high: float
    level: float
    method: str


def wilson(hits: int, n: int, level: float = LEVEL) -> Interval:
    """Score interval of a proportion (Wilson 1927): right near 0 and 1, where the textbook interval is not."""
    from scipy.special import ndtri

    z = float(ndtri((1 + level) / 2))
    share = hits / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(max(0.0, centre - half), min(1.0, centre + half), level, "wilson")


def mean_interval(values: NDArray[np.floating], level: float = LEVEL) -> Interval:
    """t interval of a mean over images."""
    from scipy.special import stdtrit

    half = float(stdtrit(len(values) - 1, (1 + level) / 2) * values.std(ddof=1) / sqrt(len(values)))
    mean = float(values.mean())
    return Interval(mean - half, mean + half, level, "t")


def bootstrap_confusion(
    confusion: NDArray[np.integer],
    statistic: Callable[[NDArray[np.integer]], NDArray[np.floating]],
    rng: np.random.Generator,
    level: float = LEVEL,
) -> Interval:
    """Percentile bootstrap over images, drawn as multinomial counts of the confusion's cells: the same, far cheaper.

    `statistic` maps confusions (resamples, k, k) to numbers (resamples,).
    """
    n = int(confusion.sum())
    draws = rng.multinomial(n, confusion.ravel() / n, size=RESAMPLES).reshape(RESAMPLES, *confusion.shape)
    low, high = np.quantile(statistic(draws), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level, "bootstrap")
