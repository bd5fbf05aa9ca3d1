"""How many cpus this process may use: what the system, its Slurm job or the pool that it works in
leaves it.
"""

import contextlib
import os
from collections.abc import Iterator

_LIMIT = "LOKY_MAX_CPU_COUNT"  # joblib's, so that whatever asks joblib sees the same number


def cpus() -> int:
    """Affinity and cgroup as joblib reads them; not every Slurm binds a job to its cpus, so its
    word counts too.
    """
    from joblib import cpu_count

    given = os.environ.get("SLURM_CPUS_PER_TASK") or os.environ.get("SLURM_CPUS_ON_NODE")
    return min(int(cpu_count()), int(given)) if given else int(cpu_count())


@contextlib.contextmanager
def divided(n_processes: int) -> Iterator[None]:
    """Let each process started here see its share of the cpus."""
    before = os.environ.get(_LIMIT)
    os.environ[_LIMIT] = str(max(1, cpus() // n_processes))
    try:
        yield
    finally:
        forget_share()
        if before is not None:
            os.environ[_LIMIT] = before


def forget_share() -> None:
    """See all cpus again: a process on another machine inherits the environment, but not the
    share.
    """
    os.environ.pop(_LIMIT, None)
