"""The class that Hydra finds; what does the work is imported only when a search runs."""

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class OptunaSearchSweeper(Sweeper):
    """Runs an Optuna study; see config.py for the keys."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what a trial needs."""
        from hydra_optuna_search.task import Application

        self.application = Application(hydra_context, task_function, config)

    def sweep(self, arguments: list[str]) -> None:
        """Search until the budget is spent."""
        from hydra_optuna_search.search import search
        from hydra_optuna_search.settings import Settings

        search(self.application, Settings.checked(self.settings), arguments)
