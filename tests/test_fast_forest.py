"""The forest grown on uint8 is scikit-learn's own: every array of every tree, all probabilities."""

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.metrics import balanced_accuracy_score

from mnist_exp.data import digits as digits_source
from mnist_exp.data import load
from mnist_exp.models import _fast_forest as fast_forest
from mnist_exp.models._fast_forest import Coded, coded, grow, grows_faster

pytest.importorskip("numba", reason="numba is not installed: pip install 'mnist-exp[fast]'")

FORESTS = [RandomForestClassifier, ExtraTreesClassifier]
GREY = (np.arange(256, dtype=np.float32) / np.float32(255))[None]
PARAMETERS = [
    {},
    {"criterion": "entropy"},
    {"criterion": "log_loss", "min_samples_leaf": 3},
    {"max_features": 0.1},
    {"max_features": 30, "min_samples_split": 9},
    {"max_features": None, "max_depth": 6},
    {"max_features": "log2", "min_samples_leaf": 0.01},
    {"min_samples_leaf": 4, "min_samples_split": 0.05},
    {"bootstrap": True, "max_samples": 0.4},
    {"bootstrap": True, "class_weight": "balanced"},
    {"bootstrap": True, "class_weight": {**dict.fromkeys(range(10), 1.0), 3: 2.7}},
    {"bootstrap": False},
    {"min_impurity_decrease": 0.002},
    {"ccp_alpha": 0.003},
    {"criterion": "entropy", "ccp_alpha": 0.01},
]


@pytest.fixture(scope="module")
def images():
    """Rows of bundled digits, and their classes."""
    train = load(digits_source(), train_size=800).train
    return train.images.reshape(800, -1), train.labels


def both(kind, codes, y, values=GREY, n_jobs=1, **parameters):
    """Return scikit-learn's forest and ours."""
    X = np.take_along_axis(np.broadcast_to(values, (codes.shape[1], 256)).T, codes, 0)
    parameters = {"n_estimators": 4, "random_state": 3, **parameters}
    theirs = kind(**parameters).fit(X, y)
    ours = kind(**parameters, n_jobs=n_jobs)
    assert grows_faster(ours, 10)
    grow(ours, Coded(codes, values), y, [], lambda share: None, lambda n_trees: None)
    assert np.array_equal(theirs.predict_proba(X), ours.predict_proba(X))
    return theirs, ours


def assert_equal(theirs, ours):
    assert vars(theirs).keys() == vars(ours).keys()
    for one, other in zip(theirs.estimators_, ours.estimators_, strict=True):
        assert one.get_params() == other.get_params()
        assert vars(one).keys() == vars(other).keys()
        a, b = one.tree_.__getstate__(), other.tree_.__getstate__()
        assert a["max_depth"] == b["max_depth"]
        assert np.array_equal(a["values"], b["values"])
        for field in a["nodes"].dtype.names:
            assert np.array_equal(a["nodes"][field], b["nodes"][field]), field


@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
@pytest.mark.parametrize("kind", FORESTS)
def test_every_parameter_grows_faster_gives_the_same_trees(kind, parameters, images):
    assert_equal(*both(kind, *images, **parameters))


@pytest.mark.parametrize("kind", FORESTS)
@pytest.mark.parametrize("oob_score", [True, balanced_accuracy_score], ids=["accuracy", "balanced"])
def test_votes_of_the_trees_that_have_not_seen_an_image_are_the_same(kind, oob_score, images):
    parameters = {"bootstrap": True, "oob_score": oob_score, "n_estimators": 20}
    theirs, ours = both(kind, *images, **parameters)
    assert_equal(theirs, ours)
    assert np.array_equal(theirs.oob_decision_function_, ours.oob_decision_function_)
    assert theirs.oob_score_ == ours.oob_score_


@pytest.mark.parametrize("kind", FORESTS)
@pytest.mark.parametrize("n_jobs", [2, 3])
def test_the_number_of_threads_changes_nothing(kind, n_jobs, images):
    assert_equal(*both(kind, *images, n_jobs=n_jobs))


@pytest.mark.filterwarnings("ignore:The number of unique classes")
@pytest.mark.parametrize("kind", FORESTS)
def test_odd_data_give_the_same_trees(kind, images):
    codes, y = images
    rng = np.random.default_rng(0)
    assert_equal(*both(kind, codes[:, :1].copy(), y))
    assert_equal(*both(kind, np.ascontiguousarray(codes[:, 300:301]), y))
    assert_equal(*both(kind, codes[:60], (y[:60] > 4).astype(np.int64)))
    assert_equal(*both(kind, codes[:26], np.arange(26)))
    assert_equal(*both(kind, np.repeat(codes[:40], 3, axis=0), np.arange(120) % 26))
    assert_equal(*both(kind, np.zeros_like(codes[:50]), y[:50]))
    noise = rng.integers(0, 256, (1500, 20)).astype(np.uint8)
    assert_equal(*both(kind, noise, rng.integers(0, 256, 1500)))


@pytest.mark.parametrize("kind", FORESTS)
def test_columns_with_values_of_their_own_are_coded(kind, images):
    codes, y = images
    rng = np.random.default_rng(1)
    values = np.cumsum(rng.uniform(0.01, 3, (784, 256)), axis=1).astype(np.float32) - 200
    X = values[np.arange(784), codes]
    matrix = coded(X)
    assert np.array_equal(matrix.values[np.arange(784), matrix.codes], X)
    ours = kind(3, random_state=0)
    grow(ours, matrix, y, [], lambda share: None, lambda n_trees: None)
    assert_equal(kind(3, random_state=0).fit(X, y), ours)


def test_more_values_or_closer_ones_are_not_coded():
    rising = np.arange(600, dtype=np.float32)[:, None]
    assert coded(rising[:256]).shape == (256, 1)
    assert coded(rising) is None
    assert coded(np.float32([[1], [1 + 1e-7]])) is None


def test_stages_are_told_in_order_and_predict_as_smaller_forests(images):
    codes, y = images
    forest, shares, stages = RandomForestClassifier(6, random_state=0), [], []

    def on_stage(n_trees):
        stages.append((n_trees, forest.predict_proba(GREY[0][codes[:20]])))

    grow(forest, Coded(codes, GREY), y, [1, 4], shares.append, on_stage)
    assert shares == pytest.approx(np.arange(1, 7) / 6)
    assert [n_trees for n_trees, _ in stages] == [1, 4]
    smaller = RandomForestClassifier(4, random_state=0).fit(GREY[0][codes], y)
    assert np.array_equal(stages[1][1], smaller.predict_proba(GREY[0][codes[:20]]))


def test_a_stage_that_raises_ends_the_fit(images):
    grown = []

    def prune(n_trees):
        raise RuntimeError(f"pruned after {n_trees}")

    with pytest.raises(RuntimeError, match="pruned after 2"):
        grow(RandomForestClassifier(9), Coded(images[0], GREY), images[1], [2], grown.append, prune)
    assert len(grown) == 2


@pytest.mark.parametrize(
    "outside",
    [
        {"max_leaf_nodes": 9},
        {"min_weight_fraction_leaf": 0.1},
        {"class_weight": "balanced_subsample"},
        {"class_weight": "balanced", "bootstrap": False},
        {"oob_score": True, "bootstrap": False},
        {"warm_start": True},
        {"monotonic_cst": [0]},
    ],
    ids=str,
)
def test_what_cannot_be_equal_is_left_to_scikit_learn(outside):
    assert not grows_faster(RandomForestClassifier(**outside), 10)


def test_more_classes_than_a_byte_counts_are_left_to_scikit_learn():
    assert grows_faster(RandomForestClassifier(), 256)
    assert not grows_faster(RandomForestClassifier(), 257)


def test_a_broken_numba_is_told_once_and_replaced(monkeypatch, caplog):
    import sys

    monkeypatch.setitem(sys.modules, "mnist_exp.models._tree_kernels", None)
    fast_forest.kernels.cache_clear()
    try:
        assert not grows_faster(RandomForestClassifier(), 10)
        assert not grows_faster(RandomForestClassifier(), 10)
        assert caplog.text.count("scikit-learn grows the forests") == 1
    finally:
        fast_forest.kernels.cache_clear()
