"""Two runs on the same images: what B fixed and broke of A's predictions, and what that proves."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np

from mnist_exp.comparison._predictions import MOST_CLASSES, RunPredictions
from mnist_exp.evaluation import (
    LEVEL,
    Interval,
    detectable_difference,
    difference_interval,
    holm,
    mcnemar,
    seeds_needed,
)

ALPHA = 1 - LEVEL
MOST_CONFUSIONS = 3

Verdict = Literal["better", "worse", "not distinguishable", "identical"]
Confusion = tuple[int, int, int, int]  # true class, predicted class, count in A, count in B


@dataclass(frozen=True)
class Difference:
    """Run B against run A; accuracies differ by `delta`, in points, with its interval likewise."""

    delta: float
    delta_interval: Interval
    fixed: int  # wrong in A, right in B
    broke: int  # right in A, wrong in B
    identical: bool  # not one prediction differs
    p: float
    p_holm: float
    detectable: float  # the smallest difference, in points, that these images could have shown
    # If seeds scatter as these two runs disagree; None without a difference to settle.
    seeds_to_settle: int | None
    confusions: list[Confusion]  # the largest change first

    @property
    def verdict(self) -> Verdict:
        """What the test says after Holm's adjustment."""
        if self.identical:
            return "identical"
        if self.p_holm >= ALPHA:
            return "not distinguishable"
        return "better" if self.delta > 0 else "worse"


def differences(pairs: Sequence[tuple[RunPredictions, RunPredictions]]) -> list[Difference]:
    """Compare B with A in each pair (A, B); p-values are adjusted for all of them together."""
    fixed = np.array([int(np.bitwise_count(~a.correct & b.correct).sum()) for a, b in pairs])
    broke = np.array([int(np.bitwise_count(a.correct & ~b.correct).sum()) for a, b in pairs])
    p = mcnemar(fixed, broke)
    tests = zip(pairs, fixed.tolist(), broke.tolist(), p.tolist(), holm(p).tolist(), strict=True)
    return [_difference(a, b, *figures, alpha=ALPHA / len(pairs)) for (a, b), *figures in tests]


def _difference(
    a: RunPredictions,
    b: RunPredictions,
    fixed: int,
    broke: int,
    p: float,
    p_holm: float,
    *,
    alpha: float,
) -> Difference:
    n = a.n
    delta, interval = (fixed - broke) / n, difference_interval(fixed, broke, n)
    return Difference(
        delta=100 * (fixed - broke) / n,
        delta_interval=Interval(
            100 * interval.low, 100 * interval.high, interval.level, interval.method
        ),
        fixed=fixed,
        broke=broke,
        identical=a.prediction_digest == b.prediction_digest,
        p=p,
        p_holm=p_holm,
        detectable=100 * detectable_difference(fixed + broke, n, alpha),
        seeds_to_settle=seeds_needed(delta, sqrt(fixed + broke) / n),
        confusions=_confusions(a, b),
    )


def _confusions(a: RunPredictions, b: RunPredictions) -> list[Confusion]:
    kinds = np.union1d(a.mistakes, b.mistakes)
    counts = np.zeros((2, len(kinds)), np.int64)
    for row, run in zip(counts, (a, b), strict=True):
        row[np.searchsorted(kinds, run.mistakes)] = run.counts
    order = np.argsort(-np.abs(counts[1] - counts[0]), kind="stable")[:MOST_CONFUSIONS]
    return [
        (*divmod(int(kinds[i]), MOST_CLASSES), int(counts[0, i]), int(counts[1, i]))
        for i in order
        if counts[0, i] != counts[1, i]
    ]
