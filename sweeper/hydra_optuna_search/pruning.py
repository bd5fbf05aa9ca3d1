"""How a job reports to the search that started it how well it does, and learns that it may stop."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hydra_optuna_search.errors import Pruned

if TYPE_CHECKING:
    from optuna.trial import Trial

SAVED = "saved_s"  # a pruned trial's note of the seconds that it would have gone on for
STEPS = 10  # a job that reports shares of its work is compared with others at tenths


class Reporter:
    """Hands a trial's intermediate values to the study's pruner."""

    def __init__(self, trial: "Trial", paired: bool) -> None:
        self._trial, self._paired, self._step = trial, paired, 0
        self._began = time.perf_counter()

    def progress(self, share: float, value: float) -> None:
        """Report the value after a share (0..1) of the work; Pruned if that is not promising."""
        step = int(share * STEPS + 1e-9)
        if self._step < step < STEPS:
            self._step = step
            self.stage(step, share, value, time.perf_counter() - self._began)

    def stage(self, stage: int, share: float, value: float, seconds: float) -> None:
        """Report the value after a number of stages, and the seconds they took, likewise.

        Ten trees are compared with ten trees, however many each trial would grow: else small
        forests, which are worse after a tenth of their trees, would be pruned in favour of large
        ones.
        """
        self._trial.report(value, stage)
        if share < 1 and self._trial.should_prune():
            self._trial.set_user_attr(SAVED, seconds * (1 / share - 1))
            raise Pruned(f"pruned after {share:.0%}")

    def fold(self, scores: Sequence[float], folds: int) -> None:
        """Report the scores of the folds evaluated so far, likewise.

        The Wilcoxon test compares fold with fold; the other pruners compare the means at shares of
        the folds.
        """
        share = len(scores) / folds
        if self._paired:
            self.stage(len(scores), share, scores[-1], time.perf_counter() - self._began)
        else:
            self.progress(share, sum(scores) / len(scores))


class _Running:
    """The trial that this process runs: one at a time, and a job may report from any thread."""

    reporter: Reporter | None = None


def current_reporter() -> Reporter | None:
    """The reporter of the trial that this process runs, if it is one that may be pruned."""
    return _Running.reporter


@contextmanager
def reporting(reporter: Reporter | None) -> Iterator[None]:
    """Make this the current reporter while the body runs."""
    _Running.reporter = reporter
    try:
        yield
    finally:
        _Running.reporter = None


def report(share: float, value: float) -> None:
    """Report to the search, if there is one, how good this job is so far.

    Parameters
    ----------
    share : float
        How much of its work the job has done, from 0 to 1.
    value : float
        What the search's objective would be if the job ended here.

    Raises
    ------
    Pruned
        If the trial is not promising; let it pass, and the trial is recorded as pruned.

    Examples
    --------
    Outside a search nothing happens, so that a job need not know whether it is part of one:

    >>> from hydra_optuna_search import report
    >>> for epoch in range(3):
    ...     report((epoch + 1) / 3, 0.9)
    """
    if _Running.reporter is not None:
        _Running.reporter.progress(share, value)
