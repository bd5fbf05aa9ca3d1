"""Random features: scikit-learn's checks, the exact kernel machine, a stream in any pieces."""

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.kernel_ridge import KernelRidge
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from mnist_exp.models import RandomFeatures

NO_GRAM = {
    "check_fit_score_takes_y": "fit keeps no Gram matrix, so that partial_fit after it is refused"
}


@parametrize_with_checks(
    [RandomFeatures(30, random_state=0), RandomFeatures(30, alpha=[1e-7, 1e-3], random_state=0)],
    expected_failed_checks=lambda estimator: NO_GRAM,
)
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def points():
    """Train and test of three classes that overlap, float32."""
    X, y = make_classification(1200, 8, n_informative=6, n_classes=3, class_sep=1.0, random_state=0)
    return np.float32(X[:600]), y[:600], np.float32(X[600:]), y[600:]


def test_many_features_come_to_the_exact_kernel_ridge(points):
    X, y, X_test, _ = points
    alpha, gamma = 1e-3, 1.0
    model = RandomFeatures(2000, gamma=gamma, alpha=alpha, random_state=0).partial_fit(
        X, y, classes=[0, 1, 2]
    )
    one_hot = np.where(y[:, None] == np.arange(3), 1.0, -1.0)
    # Features of cos without the factor sqrt(2 / m) are m / 2 times the kernel.
    exact = KernelRidge(
        alpha=2 * alpha * len(X), kernel="rbf", gamma=gamma / X.var(axis=0).sum()
    ).fit(X, one_hot)
    assert abs(model.decision_function(X_test) - exact.predict(X_test)).mean() < 0.05


def test_a_stream_in_any_pieces_is_the_fit_of_the_whole(points):
    X, y, X_test, _ = points
    at_once = RandomFeatures(100, alpha=1e-3, random_state=0).partial_fit(X, y, classes=[0, 1, 2])
    streamed = RandomFeatures(100, alpha=1e-3, random_state=0).partial_fit(
        X[:500], y[:500], classes=[0, 1, 2]
    )
    np.testing.assert_allclose(
        streamed.weights_ * np.sqrt(X[:500].var(0).sum() / X.var(0).sum()), at_once.weights_, 1e-4
    )
    whole = RandomFeatures(100, alpha=1e-3, random_state=0).fit(X, y)
    np.testing.assert_allclose(
        whole.decision_function(X_test), at_once.decision_function(X_test), atol=1e-4
    )
    assert streamed.partial_fit(X[500:], y[500:]).n_rows_ == 600
    assert (streamed.predict(X_test) == whole.predict(X_test)).mean() > 0.95


def test_the_strength_is_chosen_on_held_out_rows_and_all_rows_are_learned(points):
    X, y, X_test, y_test = points
    options = {"n_components": 500, "gamma": 4.0, "random_state": 0}
    chosen = RandomFeatures(alpha=[1e-6, 1e-2, 1e4], **options).fit(X, y)
    assert chosen.alpha_ == 1e-2
    assert chosen.n_rows_ == 600
    np.testing.assert_allclose(
        chosen.coef_, RandomFeatures(alpha=1e-2, **options).fit(X, y).coef_, atol=1e-4
    )
    for worse in (1e-6, 1e4):
        assert chosen.score(X_test, y_test) > RandomFeatures(alpha=worse, **options).fit(
            X, y
        ).score(X_test, y_test)


def test_the_gram_matrix_is_the_same_on_any_number_of_threads(points, monkeypatch):
    monkeypatch.setattr("mnist_exp.models._random_features.TILE", 30)
    X, y, *_ = points
    grams = []
    for n_threads in (1, 3):
        with threadpool_limits(n_threads):
            model = RandomFeatures(100, random_state=0).partial_fit(X, y, classes=[0, 1, 2])
        grams.append(np.triu(model.gram_))
    np.testing.assert_array_equal(*grams)
    features = np.cos(X @ model.weights_ + model.offsets_)
    np.testing.assert_allclose(grams[0], np.triu(features.T @ features), atol=1e-3)


def test_the_fitted_model_holds_no_gram_matrix(points):
    X, y, _, _ = points
    model = RandomFeatures(300, random_state=0).fit(X, y)
    assert (
        max(value.size for value in vars(model).values() if isinstance(value, np.ndarray))
        <= 300 * 8
    )
    with pytest.raises(ValueError, match="fit keeps no Gram matrix"):
        model.partial_fit(X, y)


def test_labels_keep_their_names(points):
    X, y, X_test, _ = points
    names = np.array(["one", "two", "three"])
    model = RandomFeatures(100, random_state=0).fit(X, names[y])
    assert set(model.predict(X_test)) == set(names)


def test_a_ridge_below_the_rounding_is_refused(points):
    with pytest.raises(
        ValueError, match="alpha=1e-12 is lost in the rounding of the Gram matrix: raise it"
    ):
        RandomFeatures(500, alpha=1e-12, random_state=0).fit(*points[:2])


def test_few_rows_need_few_features(points):
    X, y, _, _ = points
    assert RandomFeatures(5000, alpha=1e-3, random_state=0).fit(X[:50], y[:50]).coef_.shape == (
        200,
        3,
    )
