"""Hydra-submitit-launcher where each job comes back, with its result or with Slurm's reason."""

import logging
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import submitit
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher
from omegaconf import OmegaConf, open_dict
from submitit.core.utils import FailedJobError, UncompletedJobError
from submitit.slurm.slurm import SlurmInfoWatcher

from hydra_optuna_search import JobLost, LaunchRefused
from mnist_exp.errors import UserError
from mnist_exp.process import forget_share, raise_on_sigterm
from mnist_exp.runs import Run, redact

log = logging.getLogger(__name__)

POLL_SECONDS = 60  # at most, between two looks at how the jobs are
OWN_FAULT = (
    "TIMEOUT",
    "OUT_OF_MEMORY",
    "DEADLINE",
)  # to run such a job again would end in the same way


class _Job(submitit.SlurmJob[JobReturn]):
    """A job whose end is noticed within a minute instead of ten."""

    watcher = SlurmInfoWatcher(delay_s=POLL_SECONDS)


class Jobs(SlurmLauncher):
    """Runs jobs as an array of Slurm's, or as several."""

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self._argv = [redact(word) for word in sys.argv]

    def __call__(self, *arguments: Any) -> JobReturn:
        """Run a job, on its node; scancel, a requeue and a time limit end it in order."""
        sys.argv[:] = self._argv
        forget_share()
        raise_on_sigterm()
        result: JobReturn = super().__call__(*arguments)
        return result

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Submit the jobs and wait for all of them; what interrupts that cancels them."""
        jobs = self._submit(job_overrides, initial_job_idx)
        try:
            return [
                self._outcome(job, list(overrides), number)
                for number, (job, overrides) in enumerate(
                    zip(jobs, job_overrides, strict=True), initial_job_idx
                )
            ]
        except BaseException:
            for job in jobs:
                job.cancel(check=False)
            raise

    def _submit(
        self, job_overrides: Sequence[Sequence[str]], first: int
    ) -> "Sequence[submitit.Job[JobReturn]]":
        parameters = dict(self.params)
        folder = Path(parameters.pop("submitit_folder")).absolute()
        retries = parameters.pop("max_num_timeout")
        executor = submitit.AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=retries)
        common = OmegaConf.structured(BaseQueueConf)  # submitit's own names; the rest is Slurm's
        executor.update_parameters(
            **{key if key in common else f"slurm_{key}": value for key, value in parameters.items()}
        )
        executor._executor.job_class = _Job
        state = Singleton.get_state()
        calls = [
            (list(overrides), "hydra.sweep.dir", number, f"job_{number}", state)
            for number, overrides in enumerate(job_overrides, first)
        ]
        jobs: list[submitit.Job[JobReturn]] = []
        size = _max_array_size() if len(calls) > 1 else 1
        try:
            for start in range(0, len(calls), size):
                jobs += executor.map_array(self, *zip(*calls[start : start + size], strict=True))
        except FailedJobError as error:
            for job in jobs:
                job.cancel(check=False)
            raise LaunchRefused(f"Slurm refused the job: {error}") from error
        for job, call in zip(jobs, calls, strict=True):
            log.info(
                "Slurm job %s: #%d %s", job.job_id, call[2], " ".join(filter_overrides(call[0]))
            )
        return jobs

    def _outcome(
        self, job: "submitit.Job[JobReturn]", overrides: list[str], number: int
    ) -> JobReturn:
        job.wait()
        error = job.exception()
        if error is None:
            result: JobReturn = job.result()
            returned: object = result._return_value
            if not isinstance(returned, UncompletedJobError):
                return result
            failure: Exception = UserError(
                f"Slurm job {job.job_id}: the time limit is near; {_way_out('TIMEOUT')}"
            )
        elif isinstance(error, FailedJobError):
            failure = UserError(f"Slurm job {job.job_id}: {error}")
        else:
            failure = _failure(job.job_id)
        self._mark(overrides, number, str(failure))
        log.error("#%d %s: %s", number, " ".join(filter_overrides(overrides)), failure)
        return JobReturn(overrides=overrides, status=JobStatus.FAILED, _return_value=failure)

    def _mark(self, overrides: list[str], number: int, reason: str) -> None:
        """Have the run folder say what Slurm says: whoever wrote there is gone."""
        assert self.hydra_context is not None  # noqa: S101  (setup has been called)
        config = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(config):
            config.hydra.job.num = number
        run = Run(Path(str(config.hydra.sweep.dir)) / str(config.hydra.sweep.subdir))
        if run.exists and (state := run.status.state) != "completed":
            run.finish("interrupted" if state == "interrupted" else "failed", reason)


def _max_array_size() -> int:
    """How many jobs this Slurm takes as one array; a longer grid is several."""
    size = re.search(r"MaxArraySize\s*=\s*(\d+)", _output("scontrol", "show", "config"))
    return max(1, int(size[1])) if size else 1001  # Slurm's own default


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _failure(job_id: str) -> Exception:
    """What became of a job that left no result."""
    answer = _output("sacct", "-X", "-n", "-P", "-o", "State,ExitCode", "-j", job_id)
    state, _, code = answer.strip().partition("|")
    reason = f"Slurm job {job_id}: {state or 'gone, and sacct knows nothing of it'}" + (
        f" ({code})" if code else ""
    )
    return UserError(f"{reason}; {_way_out(state)}") if state in OWN_FAULT else JobLost(reason)


def _way_out(state: str) -> str:
    return (
        "raise hydra.launcher.mem_gb"
        if state == "OUT_OF_MEMORY"
        else "raise hydra.launcher.timeout_min"
    )
