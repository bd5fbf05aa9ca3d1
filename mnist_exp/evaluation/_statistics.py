"""Intervals and tests for what a finite test set, or a few seeds, can tell."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, log2, sqrt

import numpy as np
import scipy  # it imports scipy.special on first use
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
RESAMPLES = 2_000
FEW_DISCORDANT = 10  # with fewer discordant images the bootstrap interval is too short
POWER = 0.8  # how surely a real difference should be found, where a design is judged
MOST_SEEDS = 1_000

Statistic = Callable[[NDArray[np.integer]], NDArray[np.floating]]


@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval and how it was made."""

    low: float
    high: float
    level: float
    method: str


def wilson(hits: int, n: int, level: float = LEVEL) -> Interval:
    """Score interval of a proportion, which is right near 0 and 1 as well.

    Parameters
    ----------
    hits, n : int
        Successes and trials.
    level : float
        Confidence level.

    Returns
    -------
    Interval
        As shares from 0 to 1.

    References
    ----------
    Wilson, "Probable inference, the law of succession, and statistical inference", 1927.

    Examples
    --------
    >>> interval = wilson(9_700, 10_000)
    >>> print(f"{interval.low:.4f} to {interval.high:.4f}")
    0.9665 to 0.9732
    """
    z = float(scipy.special.ndtri((1 + level) / 2))
    share = hits / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(max(0.0, centre - half), min(1.0, centre + half), level, "wilson")


def mean_interval(
    values: NDArray[np.floating], level: float = LEVEL, *, step: float = 0.0, overlap: float = 0.0
) -> Interval:
    """Student's t interval of a mean over images, seeds or splits.

    Parameters
    ----------
    values : array (k,)
        At least two.
    level : float
        Confidence level.
    step : float
        What the values are rounded to, 1/n for an accuracy. Two values that happen to agree are
        no proof that nothing scatters: the spread is never taken for less than that of rounding.
    overlap : float
        n_test / n_train for resampled splits, which are not independent (Nadeau and Bengio 2003);
        0 for seeds.

    Returns
    -------
    Interval
        In the unit of the values.

    Examples
    --------
    >>> interval = mean_interval(np.array([0.970, 0.972, 0.974]))
    >>> print(f"{interval.low:.3f} to {interval.high:.3f}")
    0.967 to 0.977
    """
    t = float(scipy.special.stdtrit(len(values) - 1, (1 + level) / 2))
    mean, half = float(values.mean()), t * _standard_error(values, step, overlap)
    return Interval(mean - half, mean + half, level, "t")


def _standard_error(values: NDArray[np.floating], step: float, overlap: float) -> float:
    return max(float(values.std(ddof=1)), step / sqrt(12)) * sqrt(1 / len(values) + overlap)


def bootstrap_confusion(
    confusion: NDArray[np.integer],
    statistic: Statistic,
    rng: np.random.Generator,
    level: float = LEVEL,
) -> Interval:
    """Percentile bootstrap over the images behind a confusion matrix.

    Resampling images is drawing multinomial counts of the matrix's cells, which is far cheaper.

    Parameters
    ----------
    confusion : array (k, k)
        Counts; rows are true classes.
    statistic : callable
        Maps confusions (resamples, k, k) to numbers (resamples,).
    rng : numpy.random.Generator
        Draws the resamples.
    level : float
        Confidence level.

    Returns
    -------
    Interval
        In the unit of the statistic.

    Examples
    --------
    >>> confusion = np.array([[94, 6], [3, 97]])
    >>> accuracy = lambda counts: np.trace(counts, axis1=1, axis2=2) / 200
    >>> interval = bootstrap_confusion(confusion, accuracy, np.random.default_rng(0))
    >>> print(f"{interval.low:.2f} to {interval.high:.2f}")
    0.93 to 0.98
    """
    n = int(confusion.sum())
    draws = rng.multinomial(n, confusion.ravel() / n, size=RESAMPLES)
    values = statistic(draws.reshape(RESAMPLES, *confusion.shape))
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level, "bootstrap")


def mcnemar(fixed: ArrayLike, broke: ArrayLike) -> NDArray[np.float64]:
    """Exact two-sided p-values of McNemar's test of two models on the same images.

    Under no difference a discordant image is as likely to be fixed as broken, so the smaller count
    is binomial with share 1/2.

    Parameters
    ----------
    fixed, broke : int or array of int
        Images wrong in A and right in B, and the reverse.

    Returns
    -------
    array of float
        One p-value for each pair of counts; 1 where there are no discordant images.

    References
    ----------
    Dietterich, "Approximate statistical tests for comparing supervised classification learning
    algorithms", 1998.

    Examples
    --------
    >>> mcnemar([80, 5], [40, 5]).round(5)
    array([3.3e-04, 1.0e+00])
    """
    fixed, broke = np.asarray(fixed), np.asarray(broke)
    tail = scipy.special.bdtr(np.minimum(fixed, broke).astype(np.float64), fixed + broke, 0.5)
    return np.asarray(np.minimum(1.0, 2 * tail))


def holm(p: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """P-values adjusted for several tests (Holm 1979).

    The smallest is multiplied by their number m, the next by m - 1, and so on; none falls below
    the one before it.

    Parameters
    ----------
    p : sequence of float (m,)
        P-values of the single tests.

    Returns
    -------
    array (m,)
        Adjusted p-values, in the order given.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    adjusted = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    return np.asarray(np.minimum(1.0, adjusted)[np.argsort(order)])


def difference_interval(fixed: int, broke: int, n: int, level: float = LEVEL) -> Interval:
    """Interval of the difference of two accuracies on the same n images, (fixed - broke) / n.

    The paired bootstrap; but with few discordant images, where that is too short, the interval of
    Agresti and Min (2005).

    Parameters
    ----------
    fixed, broke : int
        Images wrong in A and right in B, and the reverse.
    n : int
        All images.
    level : float
        Confidence level.

    Returns
    -------
    Interval
        Of accuracy of B minus accuracy of A, as shares.

    Examples
    --------
    >>> interval = difference_interval(80, 40, 10_000)
    >>> print(interval.method, interval.low, interval.high)
    paired bootstrap 0.0019 0.0062
    >>> difference_interval(6, 1, 100).method
    'agresti-min'
    """
    paired = _agresti_min if fixed + broke < FEW_DISCORDANT else _paired_bootstrap
    return paired(fixed, broke, n, level)


def _agresti_min(fixed: int, broke: int, n: int, level: float) -> Interval:
    """Wald's interval after half an image is added to each cell of the 2x2 table."""
    total = n + 2
    centre = (fixed - broke) / total
    spread = sqrt((fixed + broke + 1) / total - centre * centre)
    half = float(scipy.special.ndtri((1 + level) / 2)) * spread / sqrt(total)
    return Interval(max(-1.0, centre - half), min(1.0, centre + half), level, "agresti-min")


def _paired_bootstrap(fixed: int, broke: int, n: int, level: float) -> Interval:
    """Percentile bootstrap over images, exact: the limit of infinitely many resamples.

    A resample draws n images, and each adds +1 (fixed), -1 (broke) or 0 to the difference. The
    distribution of the sum is therefore that of one image convolved n times with itself, which a
    discrete Fourier transform turns into an n-th power. The transform is circular; it is as long as
    twelve standard deviations to either side, beyond which lies less than float64 resolves.
    """
    half = 32 * ceil((12 * sqrt(fixed + broke) + 40) / 32)  # small factors make a transform fast
    one_image = np.zeros(2 * half)
    one_image[[0, 1, -1]] = 1 - (fixed + broke) / n, fixed / n, broke / n
    resample = np.fft.irfft(np.fft.rfft(one_image) ** n, 2 * half)
    lowest = fixed - broke - half
    cumulative = np.cumsum(np.roll(resample, -lowest))  # of `lowest`, `lowest` + 1, ...
    low, high = np.searchsorted(cumulative, [(1 - level) / 2, (1 + level) / 2]) + lowest
    return Interval(float(low) / n, float(high) / n, level, "paired bootstrap")


def bootstrap_differences(
    label: NDArray[np.int64],
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    n_classes: int,
    statistic: Statistic,
    rng: np.random.Generator,
    level: float = LEVEL,
) -> Interval:
    """Paired percentile bootstrap of what two models' confusions differ in.

    Images are drawn as multinomial counts of the (label, A, B) cells that occur, so that both
    models see the same resample.

    Parameters
    ----------
    label, a, b : arrays (n,)
        True classes, and the predictions of A and B.
    n_classes : int
        How many classes k there are.
    statistic : callable
        Maps confusions (resamples, k, k) to numbers (resamples,).
    rng : numpy.random.Generator
        Draws the resamples.
    level : float
        Confidence level.

    Returns
    -------
    Interval
        Of statistic(B) - statistic(A).

    Examples
    --------
    >>> label = np.arange(100) % 2
    >>> a, b = np.where(np.arange(100) < 30, 0, label), label
    >>> accuracy = lambda counts: np.trace(counts, axis1=1, axis2=2) / 100
    >>> interval = bootstrap_differences(label, a, b, 2, accuracy, np.random.default_rng(0))
    >>> print(f"{interval.low:.2f} to {interval.high:.2f}")
    0.08 to 0.22
    """
    cells, counts = np.unique((label * n_classes + a) * n_classes + b, return_counts=True)
    draws = rng.multinomial(len(label), counts / len(label), size=RESAMPLES)
    truth, of_a, of_b = cells // n_classes**2, cells // n_classes % n_classes, cells % n_classes
    values_a, values_b = (
        statistic(_confusions(draws, truth * n_classes + predicted, n_classes))
        for predicted in (of_a, of_b)
    )
    low, high = np.quantile(values_b - values_a, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level, "paired bootstrap")


def _confusions(
    draws: NDArray[np.int64], places: NDArray[np.int64], n_classes: int
) -> NDArray[np.integer]:
    """Add up counts (resamples, cells) into the places of confusions (resamples, k, k)."""
    counts = np.zeros((n_classes**2, len(draws)), np.int64)
    np.add.at(counts, places, draws.T)
    return counts.T.reshape(-1, n_classes, n_classes)


def detectable_difference(
    discordant: int, n: int, alpha: float = 1 - LEVEL, power: float = POWER
) -> float:
    """The smallest difference of two accuracies that n images would have shown as significant.

    Never less than the fewest one-sided disagreements whose exact p-value falls below alpha.

    Parameters
    ----------
    discordant, n : int
        Images on which the two models disagree, and all images.
    alpha : float
        Significance level of the test.
    power : float
        The probability with which the difference would be found.

    Returns
    -------
    float
        A share from 0 to 1.

    References
    ----------
    Connor, "Sample size for testing differences in proportions for the paired-sample design", 1987;
    his formula solved for the difference.

    Examples
    --------
    >>> round(detectable_difference(120, 10_000), 4)
    0.0031
    """
    z_alpha, z_power = map(float, scipy.special.ndtri([1 - alpha / 2, power]))
    root = sqrt(max(0.0, n + z_power**2 - z_alpha**2))
    difference = sqrt(discordant / n) * (z_alpha * sqrt(n) + z_power * root) / (n + z_power**2)
    return min(1.0, max(difference, ceil(log2(2 / alpha)) / n))


def seeds_needed(
    mean: float, std: float, alpha: float = 1 - LEVEL, power: float = POWER, overlap: float = 0.0
) -> int | None:
    """How many seeds k would tell a mean paired difference from 0, given the spread over seeds.

    The t interval must be short enough with probability `power`:
    (t_alpha + t_power) std sqrt(1/k + overlap) <= abs(mean).

    Parameters
    ----------
    mean, std : float
        Mean and standard deviation of the differences over seeds.
    alpha : float
        Significance level of the test.
    power : float
        The probability with which the difference would be found.
    overlap : float
        As in `mean_interval`.

    Returns
    -------
    int or None
        None where more than 1,000 would be needed.

    Examples
    --------
    >>> seeds_needed(0.1, 0.1), seeds_needed(0.0, 0.1)
    (10, None)
    """
    enough = np.flatnonzero(_effects_found(alpha, power, overlap) * std <= abs(mean))
    return int(enough[0]) + 2 if mean and enough.size else None


@cache
def _effects_found(alpha: float, power: float, overlap: float) -> NDArray[np.float64]:
    """The mean, in standard deviations, that 2, 3, 4 ... seeds would find."""
    seeds = np.arange(2, MOST_SEEDS + 1)
    quantiles = scipy.special.stdtrit(seeds - 1, [[1 - alpha / 2], [power]]).sum(axis=0)
    return np.asarray(quantiles * np.sqrt(1 / seeds + overlap))


def paired_t(
    differences: NDArray[np.floating], *, step: float = 0.0, overlap: float = 0.0
) -> float:
    """Two-sided p-value of Student's paired t test.

    Parameters
    ----------
    differences : array (k,)
        B minus A for each seed or split; without any spread they speak for themselves (p 0 or 1).
    step, overlap : float
        As in `mean_interval`.

    Returns
    -------
    float
        The p-value that the mean difference is 0.

    Examples
    --------
    >>> round(paired_t(np.array([0.2, 0.3, 0.4])), 4)
    0.0351
    """
    mean, error = float(differences.mean()), _standard_error(differences, step, overlap)
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * scipy.special.stdtr(len(differences) - 1, -abs(mean) / error))
