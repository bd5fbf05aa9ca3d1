"""The classes that Hydra finds; the launchers behind them come with extras, imported when used."""

import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from shutil import which
from typing import Any, ClassVar

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from hydra.utils import get_class
from omegaconf import DictConfig

from mnist_exp.errors import UserError


class _ExtraLauncher(Launcher):
    """Hands everything to a launcher that an extra brings."""

    name: ClassVar[str]  # of the extra, and in conf/launcher
    needs: ClassVar[str]  # the plugin that the extra brings
    behind: ClassVar[str]  # the launcher that does the work

    def __init__(self, **parameters: Any) -> None:
        self._parameters = parameters

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Make the launcher behind this one."""
        self._launcher: Launcher = get_class(self.behind)(**self._parameters)
        self._launcher.setup(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs; what one raised, or why it ended, is in its result."""
        return self._launcher.launch(job_overrides, initial_job_idx)

    @classmethod
    def check(cls, launcher: DictConfig, search: DictConfig | None) -> None:
        """UserError if the extra is not installed."""
        if find_spec(f"hydra_plugins.{cls.needs}") is None:
            raise UserError(f'launcher={cls.name} is an extra: pip install "mnist-exp[{cls.name}]"')


class MnistJoblibLauncher(_ExtraLauncher):
    """Runs the jobs of a grid on processes of this machine."""

    name, needs = "joblib", "hydra_joblib_launcher"
    behind = "hydra_plugins.mnist_exp_launch._joblib.Processes"

    @classmethod
    def check(cls, launcher: DictConfig, search: DictConfig | None) -> None:
        """UserError for what it cannot do, before a folder is claimed."""
        super().check(launcher, search)
        if search is not None:
            raise UserError(
                "launcher=joblib is for grids; a search has its own processes: leave it out, "
                "set search.n_jobs"
            )
        if launcher.n_jobs is not None and launcher.n_jobs < 1:
            raise UserError(
                f"hydra.launcher.n_jobs={launcher.n_jobs}: must be null or a whole number, "
                "1 or more"
            )


class MnistSlurmLauncher(_ExtraLauncher):
    """Runs each job as a job of Slurm."""

    name, needs = "slurm", "hydra_submitit_launcher"
    behind = "hydra_plugins.mnist_exp_launch._slurm.Jobs"

    @classmethod
    def check(cls, launcher: DictConfig, search: DictConfig | None) -> None:
        """UserError for what it cannot do, before a folder is claimed.

        The end of a job that leaves no result is known from accounting alone: without it, it would
        be waited for.
        """
        super().check(launcher, search)
        if which("sbatch") is None:
            raise UserError(
                "launcher=slurm: sbatch is not found here; start this on a machine that submits "
                "to Slurm"
            )
        needs, sacct = "launcher=slurm needs Slurm's accounting (slurmdbd)", ["sacct", "-n", "-X"]
        try:
            answer = subprocess.run(sacct, capture_output=True, text=True, check=False, timeout=60)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UserError(f"{needs}, and sacct does not run: {error}") from error
        if answer.returncode:
            raise UserError(f"{needs}: sacct says {answer.stderr.strip()!r}")
        if search is not None and search.pruner != "none":
            raise UserError(
                f"search.pruner={search.pruner}: a trial that is a job of Slurm cannot be pruned; "
                "set search.pruner=none, or make jobs of whole workers instead (docs/scale.md)"
            )
