"""Hydra-joblib-launcher's jobs on processes of joblib's, among which the cpus are divided.

joblib.Parallel is not used: when it is interrupted it kills its processes before their runs can
say so.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Future, wait
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, configure_log, filter_overrides
from hydra_plugins.hydra_joblib_launcher._core import execute_job
from hydra_plugins.hydra_joblib_launcher.joblib_launcher import JoblibLauncher
from joblib.externals.loky import ProcessPoolExecutor

from mnist_exp.errors import UserError
from mnist_exp.process import Terminated, cpus, divided, raise_on_sigterm
from mnist_exp.runs import find_runs

log = logging.getLogger(__name__)

GRACE_SECONDS = 10
POLL_SECONDS = 0.2

_stopped = threading.Event()  # of one process of the pool


class Processes(JoblibLauncher):
    """Runs jobs on joblib's processes."""

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs; all of them are given up if one of the processes is killed."""
        assert self.config is not None  # noqa: S101  (setup has been called)
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        folder = Path(str(self.config.hydra.sweep.dir))
        folder.mkdir(parents=True, exist_ok=True)
        n_processes = min(len(job_overrides), self.joblib["n_jobs"] or cpus())
        with divided(n_processes):
            pool = ProcessPoolExecutor(n_processes)
            context, state = (
                (self.hydra_context, self.config, self.task_function),
                Singleton.get_state(),
            )
            for number, overrides in enumerate(job_overrides, initial_job_idx):
                log.info("#%d %s", number, " ".join(filter_overrides(overrides)))
            jobs = [
                pool.submit(_job, number, overrides, *context, state)
                for number, overrides in enumerate(job_overrides, initial_job_idx)
            ]
            try:
                return [job.result() for job in jobs]
            except BrokenExecutor as error:
                raise UserError(
                    "a process of the grid was killed (too little memory?), and joblib gave up the "
                    "jobs that were not yet done; they are stale above"
                ) from error
            except KeyboardInterrupt:
                _stop(jobs, folder)
                raise
            finally:  # no process outlives this: what becomes of its run is settled
                pool.shutdown(wait=True, kill_workers=True)


def _job(*arguments: Any) -> JobReturn:
    """What a process of the pool does, job by job; once it was told to stop, it begins no other."""
    if _stopped.is_set():
        raise Terminated
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # a terminal's Ctrl-C comes as SIGTERM from the command, once
    raise_on_sigterm()
    try:
        result: JobReturn = execute_job(*arguments)
    except KeyboardInterrupt:
        _stopped.set()
        raise
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a process that ends has all others killed
    return result


def _stop(jobs: "Sequence[Future[JobReturn]]", folder: Path) -> None:
    """Have the jobs at work close their runs; only a process in a job understands SIGTERM."""
    for job in jobs:
        job.cancel()
    signalled = set()
    deadline = time.monotonic() + GRACE_SECONDS
    while wait(jobs, POLL_SECONDS).not_done and time.monotonic() < deadline:
        for run in find_runs(folder):
            if run.path not in signalled and run.state == "running":
                signalled.add(run.path)
                with suppress(ProcessLookupError):
                    os.kill(run.status.pid, signal.SIGTERM)
