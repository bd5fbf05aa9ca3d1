"""Whether a loaded model is safe to ask: what compiled code takes on trust in it.

Type checks do not help here. Trees hold raw indices of nodes and features, support vector machines
and neighbours hold counts and labels, all of which scikit-learn's C code follows without looking:
out of range, as a crafted file may have them, they crash the process.
"""

from collections.abc import Iterator
from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.neighbors import BallTree, KDTree
from sklearn.neighbors._base import NeighborsBase
from sklearn.pipeline import Pipeline
from sklearn.svm._base import BaseLibSVM
from sklearn.tree._tree import Tree

_ANY_WIDTH = 2**31  # at the top the number of columns is not known yet


class ModelFileError(ValueError):
    """A part of a model that cannot have come from a fit."""


def check_model(model: Any) -> None:
    """Raise ModelFileError if a part of a model would lead compiled code out of its arrays."""
    for part, width in _parts(model, _ANY_WIDTH, set()):
        _check(part, width)


def _parts(part: Any, width: int, seen: set[int]) -> Iterator[tuple[Any, int]]:
    """Everything inside a model, with the fewest columns that an estimator around it promises.

    The steps of a pipeline stand for themselves: the width of its input is that of the first.
    """
    if id(part) in seen:
        return
    seen.add(id(part))
    if isinstance(part, Pipeline):
        width = _ANY_WIDTH
    elif isinstance(part, BaseEstimator) and "n_features_in_" in vars(part):
        width = min(width, int(part.n_features_in_))
    yield part, width
    if isinstance(part, np.ndarray):
        inner = part.ravel().tolist() if part.dtype == object else []
    elif isinstance(part, list | tuple | set):
        inner = list(part)
    else:
        inner = list((part if isinstance(part, dict) else getattr(part, "__dict__", {})).values())
    for value in inner:
        yield from _parts(value, width, seen)


@singledispatch
def _check(part: Any, width: int) -> None:
    """Check a part of a model; most hold nothing that compiled code follows blindly."""


def _require(truth: Any, otherwise: str) -> None:
    if not np.all(truth):
        raise ModelFileError(otherwise)


def _check_nodes(inner: Any, left: Any, right: Any, feature: Any, width: int) -> None:
    """Check the inner nodes of a tree: they lead on, and ask for columns that there are."""
    for children in (left, right):
        leads_on = (children > np.arange(len(inner))) & (children < len(inner))
        _require(leads_on[inner], "a tree whose nodes lead out of it or in circles")
    _require(
        ((feature >= 0) & (feature < width))[inner],
        "a tree that asks for columns that are not there",
    )


@_check.register(Tree)
def _check_tree(tree: Tree, width: int) -> None:
    _require(
        tree.node_count == tree.capacity > 0, "a tree with another number of nodes than it says"
    )
    _require(tree.n_outputs == 1, "a tree with several outputs")
    left, right = tree.children_left, tree.children_right
    _check_nodes(left != -1, left, right, tree.feature, min(tree.n_features, width))


@_check.register(TreePredictor)
def _check_boosted_tree(tree: TreePredictor, width: int) -> None:
    nodes: NDArray[Any] = tree.nodes
    _require(
        nodes.dtype == PREDICTOR_RECORD_DTYPE and nodes.ndim == 1 and nodes.size,
        "a tree of unknown make",
    )
    inner = nodes["is_leaf"] == 0
    _check_nodes(inner, nodes["left"], nodes["right"], nodes["feature_idx"], width)
    _require(
        nodes["is_categorical"] == 0, "a tree that asks for categories, where features are numbers"
    )


@_check.register(BaseLibSVM)
def _check_support_vectors(machine: BaseLibSVM, width: int) -> None:
    _require(not machine._sparse, "support vectors in a sparse matrix")
    counts, vectors = np.array(machine._n_support), machine.support_vectors_
    k, n = len(counts), len(vectors)
    pairs = max(1, k * (k - 1) // 2)
    _require(counts >= 0, "a negative number of support vectors")
    _require(
        counts.sum() == n == len(machine.support_), "another number of support vectors than it says"
    )
    _require(
        vectors.shape == (n, machine.n_features_in_),
        "support vectors of another width than its input",
    )
    _require(
        machine._dual_coef_.shape == (max(1, k - 1), n),
        "coefficients that do not fit the support vectors",
    )
    _require(machine._intercept_.shape == (pairs,), "intercepts that do not fit the classes")
    _require(
        np.isin([machine._probA.size, machine._probB.size], (0, pairs)),
        "calibration that does not fit the classes",
    )


@_check.register(NeighborsBase)
def _check_neighbours(model: NeighborsBase, width: int) -> None:
    """Check rows and labels; a search tree hides its inner indices and is built afresh."""
    rows = model._fit_X
    _require(
        isinstance(rows, np.ndarray) and rows.ndim == 2, "neighbours that are no rows of numbers"
    )
    _require(
        rows.shape == (model.n_samples_fit_, model.n_features_in_),
        "neighbours that do not fit the input",
    )
    if hasattr(model, "classes_"):
        labels = model._y
        _require(len(labels) == len(rows), "neighbours without labels")
        _require(
            (labels >= 0) & (labels < len(model.classes_)),
            "neighbours of a class that is not there",
        )
    if isinstance(model._tree, KDTree | BallTree):
        metric = {"metric": model.effective_metric_, **model.effective_metric_params_}
        model._tree = type(model._tree)(rows, model.leaf_size, **metric)
