"""Exceptions that are answers rather than defects: a mistake that the user can mend, a trial that
need not go on.
"""


class UserError(Exception):
    """Bad input, named together with the way out; entry points show it as one short message."""


class Pruned(Exception):  # noqa: N818  (an answer, not an error)
    """A search has seen enough of this run: others did better at the same stage."""


class JobLost(UserError):  # noqa: N818  (what happened to it)
    """What ran a job was taken away from it (cancelled, its process killed, its node gone): it may
    be run again.
    """


class LaunchRefused(UserError):  # noqa: N818  (what happened to it)
    """The launcher would not even begin: no fault of the trial's, and the next one would fare no
    better.
    """
