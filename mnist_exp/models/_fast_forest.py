"""scikit-learn's own forests, tree for tree and bit for bit, grown several times sooner on uint8.

What comes out is an ordinary forest of ordinary decision trees: files, predictions and explanations
do not know the difference. It needs numba; without it, and outside `grows_faster`, scikit-learn
grows the forest itself.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from math import ceil
from numbers import Integral
from types import ModuleType
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.ensemble._forest import _generate_sample_indices, _get_n_samples_bootstrap
from sklearn.tree import DecisionTreeClassifier
from sklearn.tree._tree import NODE_DTYPE, Tree
from sklearn.utils import check_random_state

log = logging.getLogger(__name__)

LEVELS = 256  # what a uint8 can tell apart
CLOSEST = 1e-6  # values nearer than 1e-7 are one value to scikit-learn
SAMPLE = 2_000  # rows in which a column of more than 256 values shows
BLOCK = 4_096  # rows that are transposed at a time


@dataclass(frozen=True)
class Coded:
    """A matrix (n, d) of columns that have at most 256 values each: `values[column, codes]`."""

    codes: NDArray[np.uint8]  # (n, d), C order
    values: NDArray[np.float32]  # (d, 256), or (1, 256) for all columns; rising in each row

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.codes.shape[0], self.codes.shape[1]

    def __len__(self) -> int:
        return len(self.codes)


def coded(X: NDArray[np.float32]) -> Coded | None:
    """Return a matrix by the values of its columns; None if one has over 256, or too close ones."""
    for column in X[:SAMPLE].T:
        if len(np.unique(column)) > LEVELS:
            return None
    codes = np.empty(X.shape, np.uint8)
    values = np.empty((X.shape[1], LEVELS), np.float32)
    for j, column in enumerate(X.T):
        distinct, inverse = np.unique(column, return_inverse=True)
        if len(distinct) > LEVELS or (np.diff(distinct) < CLOSEST).any():
            return None
        codes[:, j] = inverse
        values[j] = np.inf
        values[j, : len(distinct)] = distinct
    return Coded(codes, values)


@cache
def kernels() -> ModuleType | None:
    """Return the compiled loops; None, with one line if numba is there but broken, without them."""
    if find_spec("numba") is None:
        return None
    try:
        return import_module("mnist_exp.models._tree_kernels")
    except Exception as error:  # numba fails with whatever its own parts raise
        log.warning("numba does not work here (%s): scikit-learn grows the forests", error)
        return None


def grows_faster(estimator: Any, n_classes: int) -> bool:
    """Say whether `grow` gives exactly what the estimator's own `fit` would.

    What stays out: a limit of leaves or of weights, monotonic constraints, weights that are no
    counts, a warm start, and more than 256 classes.

    Examples
    --------
    >>> grows_faster(RandomForestClassifier(max_leaf_nodes=50), n_classes=10)
    False
    """
    return (
        n_classes <= LEVELS
        and type(estimator) in (RandomForestClassifier, ExtraTreesClassifier)
        and kernels() is not None
        and estimator.criterion in ("gini", "entropy", "log_loss")
        and estimator.max_leaf_nodes is None
        and estimator.min_weight_fraction_leaf == 0
        and estimator.class_weight != "balanced_subsample"
        and (estimator.class_weight is None or estimator.bootstrap)
        and estimator.monotonic_cst is None
        and not estimator.warm_start
        and (estimator.bootstrap or not (estimator.max_samples or estimator.oob_score))
    )


def grow(
    forest: Any,
    X: Coded,
    y: NDArray[np.int64],
    stages: Sequence[int],
    advance: Callable[[float], None],
    on_stage: Callable[[int], None],
) -> None:
    """Do what `forest.fit` does with the values that `X` stands for.

    Parameters
    ----------
    forest
        A RandomForestClassifier or ExtraTreesClassifier that is `grows_faster`.
    X, y
        The training data, with at most 256 classes.
    stages
        Numbers of trees, rising, at which `on_stage` is called; it may raise to end the fit.
    advance
        Takes the share of the trees that is grown.
    on_stage
        Takes the number of trees; `forest` predicts with those grown so far.
    """
    n, d = X.shape
    labels = _prepare(forest, n, d, y)
    columns = _transposed(X.codes)
    codes = np.asarray(X.codes).view()
    codes.flags.writeable = False  # numba compiles once for each kind of array: let there be one
    X = Coded(codes, X.values)
    random_state = check_random_state(forest.random_state)
    trees = [
        forest._make_estimator(append=False, random_state=random_state)
        for _ in range(forest.n_estimators)
    ]

    def build(tree: DecisionTreeClassifier) -> DecisionTreeClassifier:
        _build(tree, columns, X, labels, forest)
        return tree

    with ThreadPoolExecutor(effective_n_jobs(forest.n_jobs)) as pool:
        start = 0
        for end in [*stages, len(trees)]:
            for tree in pool.map(build, trees[start:end]):
                forest.estimators_.append(tree)
                advance(len(forest.estimators_) / len(trees))
            if end < len(trees):
                on_stage(end)
            start = end
    if forest.oob_score:
        _score_out_of_bag(forest, X, labels)


def _prepare(forest: Any, n: int, d: int, y: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Set what `fit` sets before it grows a tree; returns class numbers."""
    forest._validate_params()
    forest.n_features_in_, forest.n_outputs_, forest._n_samples = d, 1, n
    labels, weights = forest._validate_y_class_weight(y.reshape(-1, 1), None)
    (forest.classes_,), (forest.n_classes_,) = forest.classes_, forest.n_classes_
    forest._sample_weight = weights  # by which a bootstrap draws
    forest._n_samples_bootstrap = (
        _get_n_samples_bootstrap(n, forest.max_samples, weights) if forest.bootstrap else None
    )
    forest._validate_estimator()
    forest.estimators_ = []
    return np.asarray(labels[:, 0], np.uint8)


def _score_out_of_bag(forest: Any, X: Coded, labels: NDArray[np.uint8]) -> None:
    """Ask each tree for the samples that it has not seen, which needs their float32 values."""
    if len(X.values) == 1:
        values = X.values[0][X.codes]
    else:
        values = np.take_along_axis(X.values.T, X.codes, axis=0)
    scoring = {"scoring_function": forest.oob_score} if callable(forest.oob_score) else {}
    forest.n_classes_ = [forest.n_classes_]  # a list until the end of scikit-learn's fit
    forest._set_oob_score_and_attributes(values, labels[:, None].astype(np.float64), **scoring)
    (forest.n_classes_,) = forest.n_classes_


def _transposed(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    columns = np.empty(codes.shape[::-1], np.uint8)
    for start in range(0, len(codes), BLOCK):
        columns[:, start : start + BLOCK] = codes[start : start + BLOCK].T
    return columns


def _build(
    tree: Any, columns: NDArray[np.uint8], X: Coded, labels: NDArray[np.uint8], forest: Any
) -> None:
    """Grow one tree, with the draws of the forest's bootstrap and of the tree's splitter."""
    loops = kernels()
    assert loops is not None  # noqa: S101  (grows_faster has asked)
    n, d = X.shape
    weights = np.ones(n, np.uint32)
    if forest.bootstrap:
        drawn = _generate_sample_indices(
            tree.random_state, n, forest._n_samples_bootstrap, forest._sample_weight
        )
        weights = np.bincount(drawn, minlength=n).astype(np.uint32)
    seed = check_random_state(tree.random_state).randint(0, loops.RAND_R_MAX)
    rules = _rules(tree, n, d, int(forest.n_classes_))
    most = 2 * np.count_nonzero(weights)
    nodes, shares = np.zeros(most, NODE_DTYPE), np.empty((most, rules.n_classes))
    count, depth = loops.grow(
        columns, X.codes, labels, weights, X.values, np.uint64(seed), rules, nodes, shares
    )
    tree.tree_ = Tree(d, np.array([rules.n_classes], np.intp), 1)
    state = {"max_depth": depth, "node_count": count, "nodes": nodes[:count]}
    tree.tree_.__setstate__({**state, "values": shares[:count, None]})
    tree.n_features_in_, tree.n_outputs_, tree.max_features_ = d, 1, rules.max_features
    tree.classes_ = np.arange(rules.n_classes, dtype=np.float64)
    tree.n_classes_ = np.intp(rules.n_classes)
    tree._prune_tree()


def _rules(tree: Any, n: int, d: int, n_classes: int) -> Any:
    """Turn parameters into numbers as `DecisionTreeClassifier._fit` does."""
    loops = kernels()
    assert loops is not None  # noqa: S101  (grows_faster has asked)
    leaf, split, wanted = tree.min_samples_leaf, tree.min_samples_split, tree.max_features
    leaf = int(leaf) if isinstance(leaf, Integral) else ceil(leaf * n)
    split = int(split) if isinstance(split, Integral) else max(2, ceil(split * n))
    named = {"sqrt": np.sqrt, "log2": np.log2}
    if wanted is None:
        max_features = d
    elif isinstance(wanted, str):
        max_features = max(1, int(named[wanted](d)))
    else:
        max_features = int(wanted) if isinstance(wanted, Integral) else max(1, int(wanted * d))
    return loops.Rules(
        n_classes=n_classes,
        max_features=max_features,
        max_depth=np.iinfo(np.int32).max if tree.max_depth is None else int(tree.max_depth),
        min_samples_split=max(split, 2 * leaf),
        min_samples_leaf=leaf,
        min_impurity_decrease=float(tree.min_impurity_decrease),
        entropy=tree.criterion != "gini",
        random_splits=tree.splitter == "random",
    )
