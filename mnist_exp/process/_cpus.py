"""How many cpus this process may use: what the system, Slurm or its pool of workers allows."""

import contextlib
import os
from collections.abc import Iterator

_LIMIT = "LOKY_MAX_CPU_COUNT"  # joblib's, so that whatever asks joblib sees the same number


def cpus() -> int:
    """Affinity and cgroup as joblib reads them, and no more than Slurm gives the job.

    Not every Slurm binds a job to its cpus.
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
    """See all cpus again: on another machine the environment is inherited, the share is not."""
    os.environ.pop(_LIMIT, None)
