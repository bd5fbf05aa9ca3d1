"""What ends a search or a trial: a mistake, a lost job, a refused launch, a pruner's decision."""

from hydra.errors import CompactHydraException


class SearchError(CompactHydraException):
    """A mistake that the user can mend; Hydra shows its message without a traceback."""


class JobLost(SearchError):  # noqa: N818  (what happened to it)
    """A job's process was taken away (cancelled, killed, its node gone): it may be run again."""


class ValueRejected(SearchError):  # noqa: N818  (what happened to it)
    """NaN, or too many or few values: the trial failed, but the job did not."""


class LaunchRefused(SearchError):  # noqa: N818  (what happened to it)
    """The launcher did not even begin: not the trial's fault, and the next would fare no better."""


class Pruned(Exception):  # noqa: N818  (an answer, not an error)
    """The search has seen enough of this trial: others did better at the same stage."""
