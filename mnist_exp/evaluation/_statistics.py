"""Intervals and tests for what a finite test set, or a few seeds, can tell."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, log2, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
RESAMPLES = 2_000
FEW_DISCORDANT = (
    10  # fewer images than that on which two models disagree make the bootstrap interval too short
)
POWER = 0.8  # how surely a real difference should be found, where a design is judged
MOST_SEEDS = 1_000


@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval and how it was made."""

    low: float
    high: float
    level: float
    method: str


def wilson(hits: int, n: int, level: float = LEVEL) -> Interval:
    """Score interval of a proportion (Wilson 1927): right near 0 and 1, where the textbook interval
    is not.
    """
    from scipy.special import ndtri

    z = float(ndtri((1 + level) / 2))
    share = hits / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(max(0.0, centre - half), min(1.0, centre + half), level, "wilson")


def mean_interval(
    values: NDArray[np.floating], level: float = LEVEL, *, step: float = 0.0, overlap: float = 0.0
) -> Interval:
    """T interval of a mean over images, seeds or splits; `step` and `overlap` as in
    `standard_error`.
    """
    from scipy.special import stdtrit

    half = float(stdtrit(len(values) - 1, (1 + level) / 2)) * standard_error(values, step, overlap)
    mean = float(values.mean())
    return Interval(mean - half, mean + half, level, "t")


def standard_error(values: NDArray[np.floating], step: float, overlap: float) -> float:
    """Standard error of a mean of values that come in steps, over splits whose training parts
    overlap.

    Two values that happen to agree are no proof that nothing scatters: the spread is never taken for less than that of
    rounding to a `step`. `overlap` is n_test / n_train over resampled splits, which are not independent (Nadeau and
    Bengio 2003), and 0 over seeds.
    """
    spread = max(float(values.std(ddof=1)), step / sqrt(12))
    return spread * sqrt(1 / len(values) + overlap)


def bootstrap_confusion(
    confusion: NDArray[np.integer],
    statistic: Callable[[NDArray[np.integer]], NDArray[np.floating]],
    rng: np.random.Generator,
    level: float = LEVEL,
) -> Interval:
    """Percentile bootstrap over images, drawn as multinomial counts of the confusion's cells: the
    same, far cheaper.

    `statistic` maps confusions (resamples, k, k) to numbers (resamples,).
    """
    n = int(confusion.sum())
    draws = rng.multinomial(n, confusion.ravel() / n, size=RESAMPLES).reshape(
        RESAMPLES, *confusion.shape
    )
    low, high = np.quantile(statistic(draws), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level, "bootstrap")


def mcnemar(fixed: ArrayLike, broke: ArrayLike) -> NDArray[np.float64]:
    """Exact two-sided p-values of McNemar's test (Dietterich 1998) from the discordant pairs; 1
    where there are none.

    `fixed` counts images wrong in A and right in B, `broke` the reverse. Under no difference either
    is as likely, so the smaller one is binomial with share 1/2.
    """
    from scipy.special import bdtr

    fixed, broke = np.asarray(fixed), np.asarray(broke)
    tail = bdtr(np.minimum(fixed, broke).astype(np.float64), fixed + broke, 0.5)
    return np.asarray(np.minimum(1.0, 2 * tail))


def holm(p: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """P-values adjusted for several tests (Holm 1979): the smallest times m, the next times m - 1, never falling."""
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, stepped)
    return adjusted


def difference_interval(fixed: int, broke: int, n: int, level: float = LEVEL) -> Interval:
    """Interval of the difference of two accuracies on the same n images, (fixed - broke) / n, as shares.

    The paired bootstrap; but with few discordant pairs, where that is too short, Agresti and Min's interval.
    """
    paired = _agresti_min if fixed + broke < FEW_DISCORDANT else _paired_bootstrap
    return paired(fixed, broke, n, level)


def _agresti_min(fixed: int, broke: int, n: int, level: float) -> Interval:
    """Wald's interval after half an image is added to each cell of the 2x2 table (Agresti and Min
    2005).
    """
    from scipy.special import ndtri

    total = n + 2
    centre = (fixed - broke) / total
    half = (
        float(ndtri((1 + level) / 2))
        * sqrt((fixed + broke + 1) / total - centre * centre)
        / sqrt(total)
    )
    return Interval(max(-1.0, centre - half), min(1.0, centre + half), level, "agresti-min")


def _paired_bootstrap(fixed: int, broke: int, n: int, level: float) -> Interval:
    """Percentile bootstrap over images, exact: what infinitely many resamples would give, without
    drawing any.

    Each of n images drawn adds +1, -1 or 0, so the sum's characteristic function is the n-th power
    of one image's, and a Fourier transform turns it into probabilities.
    """
    centre = fixed - broke
    spread = (
        12 * sqrt(fixed + broke) + 40
    )  # what lies further out on either side is lost in float64's rounding
    size = 64 * ceil(2 * spread / 64)  # small factors make the transform fast
    angle = (
        2j * np.pi / size * np.arange(size // 2 + 1)
    )  # the other half of the circle mirrors this one
    one_image = 1 + (fixed * np.expm1(angle) + broke * np.expm1(-angle)) / n
    cumulative = (
        np.cumsum(np.fft.fftshift(np.fft.hfft(one_image**n * np.exp(-centre * angle), size))) / size
    )
    low, high = np.searchsorted(cumulative, [(1 - level) / 2, (1 + level) / 2]) - size // 2 + centre
    return Interval(float(low) / n, float(high) / n, level, "paired bootstrap")


def bootstrap_differences(
    label: NDArray[np.int64],
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    n_classes: int,
    statistic: Callable[[NDArray[np.integer]], NDArray[np.floating]],
    rng: np.random.Generator,
    level: float = LEVEL,
) -> Interval:
    """Paired percentile bootstrap of statistic(confusion of B) - statistic(confusion of A) on the same images.

    Images are drawn as multinomial counts of the (label, A, B) cells that occur, so both models see the same resample.
    `statistic` maps confusions (resamples, k, k) to numbers (resamples,).
    """
    cells, counts = np.unique((label * n_classes + a) * n_classes + b, return_counts=True)
    draws = rng.multinomial(len(label), counts / len(label), size=RESAMPLES)
    truth, said_a, said_b = cells // n_classes**2, cells // n_classes % n_classes, cells % n_classes
    values = [
        statistic(_confusions(draws, truth * n_classes + said, n_classes))
        for said in (said_a, said_b)
    ]
    low, high = np.quantile(values[1] - values[0], [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level, "paired bootstrap")


def _confusions(
    draws: NDArray[np.int64], places: NDArray[np.int64], n_classes: int
) -> NDArray[np.integer]:
    """Add up counts (resamples, cells) into the places of confusions (resamples, k, k)."""
    order = np.argsort(places, kind="stable")
    found, starts = np.unique(places[order], return_index=True)
    result = np.zeros((len(draws), n_classes**2), np.int64)
    result[:, found] = np.add.reduceat(draws[:, order], starts, axis=1)
    return result.reshape(-1, n_classes, n_classes)


def detectable_difference(
    discordant: int, n: int, alpha: float = 1 - LEVEL, power: float = POWER
) -> float:
    """The smallest difference of two accuracies, as a share, that n images would have shown as
    significant.

    For two models that disagree on as many images as these, with probability `power` (Connor 1987,
    solved for the difference); never less than the fewest one-sided disagreements whose exact
    p-value falls below alpha.
    """
    from scipy.special import ndtri

    z_alpha, z_power = float(ndtri(1 - alpha / 2)), float(ndtri(power))
    root = sqrt(max(0.0, n + z_power**2 - z_alpha**2))
    difference = sqrt(discordant / n) * (z_alpha * sqrt(n) + z_power * root) / (n + z_power**2)
    fewest = ceil(log2(2 / alpha))
    return min(1.0, max(difference, fewest / n))


def seeds_needed(
    mean: float, std: float, alpha: float = 1 - LEVEL, power: float = POWER, overlap: float = 0.0
) -> int | None:
    """How many seeds would tell a mean paired difference from 0, given the spread over seeds; None
    if over 1,000.

    The t interval must be short enough with probability `power`: (t_alpha + t_power) std sqrt(1/k +
    overlap) <= |mean|.
    """
    enough = np.flatnonzero(_effect_found(alpha, power, overlap) * std <= abs(mean))
    return int(enough[0]) + 2 if mean and enough.size else None


@cache
def _effect_found(alpha: float, power: float, overlap: float) -> NDArray[np.float64]:
    """The mean, in standard deviations, that 2, 3, 4 ...

    seeds would find.
    """
    from scipy.special import stdtrit

    seeds = np.arange(2, MOST_SEEDS + 1)
    return np.asarray(
        (stdtrit(seeds - 1, 1 - alpha / 2) + stdtrit(seeds - 1, power))
        * np.sqrt(1 / seeds + overlap)
    )


def paired_t(
    differences: NDArray[np.floating], *, step: float = 0.0, overlap: float = 0.0
) -> float:
    """Two-sided p-value of Student's paired t test; differences without any spread speak for
    themselves (0 or 1).
    """
    from scipy.special import stdtr

    mean, error = float(differences.mean()), standard_error(differences, step, overlap)
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * stdtr(len(differences) - 1, -abs(mean) / error))
