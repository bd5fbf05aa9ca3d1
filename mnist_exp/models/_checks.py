"""Whether a loaded model is safe to ask: what compiled code takes on trust, and a crafted file
could get wrong.

Type checks do not help here. Trees hold raw indices of nodes and features, support vector machines
and neighbours counts and labels, that scikit-learn's C code follows without looking: out of range,
they crash the process.
"""

from collections.abc import Iterator
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

_ANY_WIDTH = 2**31  # at the top nobody has said yet how many columns there are


class UnsoundError(ValueError):
    """A part of a model that cannot have come from a fit."""


def check_sound(model: Any) -> None:
    """Raise UnsoundError if any part of a loaded model would lead compiled code out of its
    arrays.
    """
    for part, width in _parts(model, _ANY_WIDTH, set()):
        if isinstance(part, Tree):
            _check_tree(part, width)
        elif isinstance(part, TreePredictor):
            _check_boosted_tree(part, width)
        elif isinstance(part, BaseLibSVM):
            _check_support_vectors(part)
        elif isinstance(part, NeighborsBase):
            _check_neighbours(part)


def _parts(part: Any, width: int, seen: set[int]) -> Iterator[tuple[Any, int]]:
    """Everything inside a model, with the fewest columns that an estimator around it promises.

    The steps of a pipeline stand for themselves: what the first one is fed says nothing of the second.
    """
    if id(part) in seen:
        return
    seen.add(id(part))
    if isinstance(part, Pipeline):
        width = _ANY_WIDTH
    elif isinstance(part, BaseEstimator) and "n_features_in_" in vars(part):
        width = min(width, int(part.n_features_in_))
    yield part, width
    if isinstance(part, dict):
        inner = list(part.values())
    elif isinstance(part, list | tuple | set):
        inner = list(part)
    elif isinstance(part, np.ndarray):
        inner = part.ravel().tolist() if part.dtype == object else []
    else:
        inner = list(getattr(part, "__dict__", {}).values())
    for value in inner:
        yield from _parts(value, width, seen)


def _require(truth: Any, what: str) -> None:
    if not np.all(truth):
        raise UnsoundError(what)


def _check_tree(tree: Tree, width: int) -> None:
    _require(
        tree.node_count == tree.capacity > 0, "a tree with another number of nodes than it says"
    )
    _require(tree.n_outputs == 1, "a tree with several outputs")
    inner = tree.children_left != -1
    here = np.arange(tree.node_count)[inner]
    for children in (tree.children_left[inner], tree.children_right[inner]):
        _require(
            (children > here) & (children < tree.node_count),
            "a tree whose nodes lead out of it or in circles",
        )
    feature = tree.feature[inner]
    _require(
        (feature >= 0) & (feature < min(tree.n_features, width)),
        "a tree that asks for columns that are not there",
    )


def _check_boosted_tree(tree: TreePredictor, width: int) -> None:
    nodes: NDArray[Any] = tree.nodes
    _require(
        nodes.dtype == PREDICTOR_RECORD_DTYPE and nodes.ndim == 1 and nodes.size,
        "a tree of unknown make",
    )
    inner = nodes["is_leaf"] == 0
    here = np.arange(len(nodes))[inner]
    for side in ("left", "right"):
        children = nodes[side][inner]
        _require(
            (children > here) & (children < len(nodes)),
            "a tree whose nodes lead out of it or in circles",
        )
    feature = nodes["feature_idx"][inner]
    _require((feature >= 0) & (feature < width), "a tree that asks for columns that are not there")
    _require(
        nodes["is_categorical"] == 0, "a tree that asks for categories, where features are numbers"
    )


def _check_support_vectors(machine: BaseLibSVM) -> None:
    _require(not machine._sparse, "support vectors in a sparse matrix")
    counts, vectors = machine._n_support, machine.support_vectors_
    k, n = len(counts), len(vectors)
    pairs = max(1, k * (k - 1) // 2)
    _require(np.array(counts) >= 0, "a negative number of support vectors")
    _require(
        np.sum(counts) == n == len(machine.support_),
        "another number of support vectors than it says",
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
    for name in ("_probA", "_probB"):
        _require(
            getattr(machine, name).size in (0, pairs), "calibration that does not fit the classes"
        )


def _check_neighbours(model: NeighborsBase) -> None:
    """Judge the rows and their labels, and build a search tree afresh: its inner indices are
    nobody's to check.
    """
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
