"""Hyperparameter search: `report(share, value)` lets any job tell how far it is and be stopped
early.
"""

from hydra_optuna_search.pruning import report

__all__ = ["report"]
