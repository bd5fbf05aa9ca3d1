"""The classes that Hydra finds; the launchers behind them come with an extra, and are imported when
one is used.
"""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class MnistJoblibLauncher(Launcher):
    """Runs the jobs of a grid on processes of this machine."""

    def __init__(self, **parameters: Any) -> None:
        self._parameters = parameters

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Make the launcher behind this one."""
        from hydra_plugins.mnist_exp_launch._joblib import Processes

        self._launcher = Processes(**self._parameters)
        self._launcher.setup(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs; what one raised is in its result."""
        return self._launcher.launch(job_overrides, initial_job_idx)


class MnistSlurmLauncher(Launcher):
    """Runs each job as a job of Slurm."""

    def __init__(self, **parameters: Any) -> None:
        self._parameters = parameters

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Make the launcher behind this one."""
        from hydra_plugins.mnist_exp_launch._slurm import Jobs

        self._launcher = Jobs(**self._parameters)
        self._launcher.setup(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs; what one raised, or what Slurm says of its end, is in its result."""
        return self._launcher.launch(job_overrides, initial_job_idx)
