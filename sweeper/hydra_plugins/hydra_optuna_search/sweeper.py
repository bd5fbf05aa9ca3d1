"""The class that Hydra finds; it hands everything to hydra_optuna_search, imported only when a search
runs.
"""

import sys
from typing import Any

from hydra.errors import CompactHydraException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from mnist_exp.errors import UserError


class MnistOptunaSweeper(Sweeper):
    """Runs an Optuna study; see config.py for the keys."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what a trial needs."""
        from hydra_optuna_search.search import Application, which_configuration

        which = which_configuration(sys.argv[1:])
        self.application = Application(hydra_context, task_function, config, which)

    def sweep(self, arguments: list[str]) -> None:
        """Search until the budget is spent; a user's mistake leaves as a message without a
        traceback.
        """
        from hydra_optuna_search.settings import Settings
        from hydra_optuna_search.search import search

        try:
            search(self.application, Settings.checked(self.settings), arguments)
        except UserError as error:
            raise CompactHydraException(str(error)) from error
