"""Defaults that fit small data: what asks for more than there is gets what there is."""

import logging
from typing import Any

from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

# A value beyond all those that conf/ and its searches hold was typed: an error, not a default.
_USUAL = {"n_components": 400, "n_neighbors": 15}

log = logging.getLogger(__name__)


def bound(estimator: BaseEstimator, X: NDArray[Any]) -> None:
    """Lower parameters that the data are too few or too small for, in place, and say so.

    Parameters
    ----------
    estimator
        A classifier, a transformer, or a pipeline of transformers, not fitted yet.
    X
        What it will be fitted on: images (n, h, w) or rows (n, d).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.decomposition import PCA
    >>> pca = PCA(50)
    >>> bound(pca, np.zeros((30, 784)))
    >>> pca.n_components
    30
    """
    steps = estimator.named_steps if isinstance(estimator, Pipeline) else {"": estimator}
    sample = X[:2]  # goes through the steps, so that each one's width is known
    for i, (name, step) in enumerate(steps.items()):
        for key, limit in _limits(step, len(X), sample.shape[1:]).items():
            value = getattr(step, key)
            if type(value) is int and limit < value <= _USUAL.get(key, value):
                label = f"{name}.{key}" if name else key
                log.warning("%s=%d is more than the data have: %d is taken", label, value, limit)
                step.set_params(**{key: limit})
        if i + 1 < len(steps) and not hasattr(step, "svd_solver"):
            sample = clone(step).fit_transform(sample)


def _limits(step: BaseEstimator, n: int, shape: tuple[int, ...]) -> dict[str, int]:
    """The highest value of each parameter that n images or rows of that shape allow."""
    if hasattr(step, "n_neighbors"):
        return {"n_neighbors": n}
    if hasattr(step, "cell") and hasattr(step, "block") and len(shape) == 2:
        block = min(step.block, *shape)
        return {"block": block, "cell": min(shape) // block}
    if hasattr(step, "svd_solver"):  # principal components; random features may be any number
        return {"n_components": min(n, *shape)}
    return {}
