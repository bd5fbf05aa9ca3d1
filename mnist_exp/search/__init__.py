"""Hyperparameter search: `report(share, value)` lets any job tell how far it is and be stopped
early.
"""

from mnist_exp.search.reporting import report

__all__ = ["report"]
