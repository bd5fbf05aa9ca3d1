"""Hyperparameter search for any Hydra application; a job may call `report(share, value)`."""

from hydra_optuna_search.errors import JobLost, LaunchRefused, Pruned, SearchError
from hydra_optuna_search.pruning import report, set_user_attrs

__all__ = ["JobLost", "LaunchRefused", "Pruned", "SearchError", "report", "set_user_attrs"]
