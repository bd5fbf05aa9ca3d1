"""Successive halving as Optuna has it, but fair to searches in which trials fail."""

from copy import copy

from optuna.pruners import SuccessiveHalvingPruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState


class FairHalving(SuccessiveHalvingPruner):
    """Leaves failed trials out: of a good one that failed at its end, or was killed and is
    repeated, all would lose.
    """

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the trial is not among the best of those that came as far."""
        others = copy(study)
        living = [state for state in TrialState if state != TrialState.FAIL]
        others.get_trials = lambda deepcopy=True, states=None: study.get_trials(
            deepcopy, states or living
        )  # type: ignore[method-assign]
        return super().prune(others, trial)
