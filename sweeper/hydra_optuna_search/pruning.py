"""How a job reports to the search that started it how well it does, and learns that it may stop."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hydra_optuna_search.errors import Pruned, SearchError

if TYPE_CHECKING:
    from optuna.trial import Trial

SAVED = "saved_s"  # a pruned trial's note of the seconds that it would have gone on for
RESERVED = {
    *("worker", "error", "rejected", "lost", "attempt", "repeats", "folder", "log", "same_as"),
    SAVED,
}
STEPS = 10  # a job that reports shares of its work is compared with others at tenths


class Reporter:
    """Hands a trial's intermediate values to the study's pruner."""

    def __init__(self, trial: "Trial", pruner: str) -> None:
        self._trial, self._paired, self._step = trial, pruner == "wilcoxon", 0
        self.prunes, self._began = pruner != "none", time.perf_counter()

    def note(self, attributes: Mapping[str, Any]) -> None:
        """Record attributes of the trial in the study."""
        if taken := RESERVED & set(attributes):
            raise SearchError(f"{min(taken)}: the search has such an attribute; name it otherwise")
        for key, value in attributes.items():
            self._trial.set_user_attr(key, value)

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
    return _Running.reporter if _Running.reporter and _Running.reporter.prunes else None


@contextmanager
def reporting(reporter: Reporter | None) -> Iterator[None]:
    """Make this the current reporter while the body runs."""
    _Running.reporter = reporter
    try:
        yield
    finally:
        _Running.reporter = None


def report(share: float, value: float, **user_attrs: Any) -> None:
    """Report to the search, if there is one, how good this job is so far.

    Parameters
    ----------
    share : float
        How much of its work the job has done, from 0 to 1.
    value : float
        What the search's objective would be if the job ended here.
    **user_attrs : Any
        Anything that JSON holds, recorded with the trial: `study.trials[0].user_attrs`.

    Raises
    ------
    Pruned
        If the trial is not promising; let it pass, and the trial is recorded as pruned.
    SearchError
        If the share is not one, such as the number of an epoch.

    Examples
    --------
    Outside a search nothing happens, so that a job need not know whether it is part of one:

    >>> from hydra_optuna_search import report
    >>> for epoch in range(3):
    ...     report((epoch + 1) / 3, 0.9, epoch=epoch)
    """
    if not 0 <= share <= 1:
        raise SearchError(
            f"report({share}, ...): the first argument is the share of the work that is done, "
            "from 0 to 1, such as (epoch + 1) / epochs"
        )
    reporter = _Running.reporter
    if reporter is not None:
        reporter.note(user_attrs)
        if reporter.prunes:
            reporter.progress(share, value)


def set_user_attrs(**user_attrs: Any) -> None:
    """Record attributes with the trial that this job is, if it is one.

    Parameters
    ----------
    **user_attrs : Any
        Anything that JSON holds: `study.trials[0].user_attrs`.

    Examples
    --------
    >>> from hydra_optuna_search import set_user_attrs
    >>> set_user_attrs(n_parameters=1024)
    """
    if _Running.reporter is not None:
        _Running.reporter.note(user_attrs)
