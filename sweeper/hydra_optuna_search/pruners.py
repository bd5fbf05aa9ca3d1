"""Which trials end before their time: Optuna's pruners, and one that is fair where trials fail."""

from collections.abc import Sequence
from typing import Any, cast

from optuna.pruners import (
    BasePruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
    WilcoxonPruner,
)
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

FIRST_JUDGED = 4  # stages: forests of 10 or 20 trees rank by chance, and searches lost their best


class _WithoutFailures:
    """A study that shows no failed trials."""

    def __init__(self, study: Study) -> None:
        self._study = study

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def get_trials(
        self, deepcopy: bool = True, states: Sequence[TrialState] | None = None
    ) -> list[FrozenTrial]:
        trials = self._study.get_trials(deepcopy, states)
        return [trial for trial in trials if trial.state != TrialState.FAIL]


class FairHalving(SuccessiveHalvingPruner):
    """Leaves failed trials out: all others would lose to a good one that failed at its end."""

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the trial is not among the best of those that came as far."""
        return super().prune(cast("Study", _WithoutFailures(study)), trial)


def make_pruner(name: str) -> BasePruner:
    """Make the pruner that the settings name.

    `hyperband` is Hyperband's first bracket alone, so that every trial is compared with all others:
    of those that reach stage 4 a third go on, and so after stages 12 and 36 (or the next ones that
    are reported).
    """
    match name:
        case "median":
            return MedianPruner(n_startup_trials=4, n_warmup_steps=FIRST_JUDGED)
        case "hyperband":
            return FairHalving(min_resource=FIRST_JUDGED, reduction_factor=3)
        case "wilcoxon":
            return WilcoxonPruner(p_threshold=0.1)
        case _:
            return NopPruner()
