import warnings

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.multiclass import OutputCodeClassifier

from mnist_exp import models
from mnist_exp.errors import UserError
from mnist_exp.features import Pixels, chain


def test_a_forest_grown_in_stages_is_the_forest_fitted_at_once():
    rng = np.random.default_rng(0)
    X, y = rng.random((200, 20), dtype=np.float32), rng.integers(0, 3, 200)
    grown = RandomForestClassifier(23, random_state=5, n_jobs=2)
    shares = []
    models.fit(grown, X, y, shares.append)
    at_once = RandomForestClassifier(23, random_state=5).fit(X, y)
    np.testing.assert_array_equal(grown.predict_proba(X), at_once.predict_proba(X))
    assert len(shares) > 2
    assert shares[-1] == 1.0
    assert grown.get_params()["warm_start"] is False


@pytest.mark.parametrize(
    "estimator",
    [
        RandomForestClassifier(10, max_depth=4, random_state=0),
        SGDClassifier(random_state=0),
        OutputCodeClassifier(SGDClassifier(random_state=0), random_state=0),
    ],
)
def test_threads_do_not_change_an_answer(digits, estimator):
    features = Pixels().fit(digits.train.images)
    estimator.fit(features.transform(digits.train.images), digits.train.labels)
    pipeline = models.assemble(features, estimator)
    images = np.tile(digits.test.images, (5, 1, 1))
    for one, three in zip(
        models.predict(pipeline, images, 1), models.predict(pipeline, images, 3), strict=True
    ):
        np.testing.assert_array_equal(one, three)


def test_a_forest_answers_as_it_does_itself_without_threads_of_its_own(digits, monkeypatch):
    features = Pixels()
    X = features.fit_transform(digits.train.images)
    pipeline = models.assemble(
        features, RandomForestClassifier(20, random_state=0).fit(X, digits.train.labels)
    )
    theirs = pipeline.predict_proba(digits.test.images)
    monkeypatch.setattr("sklearn.ensemble._forest.Parallel", None)
    np.testing.assert_array_equal(models.predict(pipeline, digits.test.images, 2)[1], theirs)


class Careless(DummyClassifier):
    """Leaves the filters behind that another thread has set, as an estimator with threads does once
    in a while.
    """

    def fit(self, X, y):
        warnings.resetwarnings()
        return super().fit(X, y)

    def predict_proba(self, X):
        warnings.resetwarnings()
        return super().predict_proba(X)


def test_the_warning_filters_outlast_a_fit_and_a_prediction(digits):
    before, X = list(warnings.filters), digits.train.images.reshape(len(digits.train), -1)
    model = Careless()
    models.fit(model, X, digits.train.labels, lambda share: None)
    models.predict(model, X, 2)
    assert before
    assert warnings.filters == before


def test_a_two_class_score_becomes_a_column_for_each_class(digits):
    images, labels = (
        digits.train.images[digits.train.labels < 2],
        digits.train.labels[digits.train.labels < 2],
    )
    features = Pixels().fit(images)
    pipeline = models.assemble(
        features, SGDClassifier(random_state=0).fit(features.transform(images), labels)
    )
    prediction, probability, score = models.predict(pipeline, images)
    assert probability is None
    assert score.shape == (len(images), 2)
    np.testing.assert_array_equal(prediction, pipeline.predict(images))


def test_a_bad_parameter_is_named_before_any_work():
    with pytest.raises(UserError, match="model: The 'n_estimators' parameter"):
        models.check_parameters(RandomForestClassifier(n_estimators=-1), "model")


def test_a_bad_parameter_inside_a_chain_is_named():
    from sklearn.decomposition import PCA

    with pytest.raises(UserError, match="features: The 'n_components' parameter"):
        models.check_parameters(chain(pixels=Pixels(), pca=PCA(n_components=-3)), "features")
