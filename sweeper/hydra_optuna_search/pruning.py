"""How a job tells the search that started it how far it is, and learns that it need not go on."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mnist_exp.errors import Pruned

if TYPE_CHECKING:
    from optuna.trial import Trial

SAVED = "saved_s"  # a pruned trial's note of the seconds it would have taken on
STEPS = 10  # a job that tells shares of its work is compared with others at tenths


class Reporter:
    """Hands a trial's intermediate values to the study's pruner."""

    def __init__(self, trial: "Trial", paired: bool) -> None:
        self._trial, self._paired, self._step = trial, paired, 0
        self._began = time.perf_counter()

    def progress(self, share: float, value: float) -> None:
        """Report the value reached after a share (0..1) of the work; raises Pruned if that is not
        promising.
        """
        step = int(share * STEPS + 1e-9)
        if self._step < step < STEPS:
            self._step = step
            self.stage(step, share, value, time.perf_counter() - self._began)

    def stage(self, stage: int, share: float, value: float, seconds: float) -> None:
        """Report the value reached after a number of stages, and the seconds they took, likewise.

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


_current: Reporter | None = None


def current_reporter() -> Reporter | None:
    """The reporter of the trial that this process runs, if it is one that may be pruned."""
    return _current


@contextmanager
def reporting(reporter: Reporter | None) -> Iterator[None]:
    """Make this the current reporter while the body runs."""
    global _current
    _current = reporter
    try:
        yield
    finally:
        _current = None


def report(share: float, value: float) -> None:
    """Tell the search, if there is one, the value that this job has reached after a share (0..1) of
    its work.

    Works in any Hydra application under `hydra/sweeper=mnist_optuna`; raises Pruned if the trial
    should end here.
    """
    if _current is not None:
        _current.progress(share, value)
