"""Probabilities for every model: the same answers, fitted on what the model has not seen."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.multiclass import OutputCodeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from mnist_exp import augment, models
from mnist_exp.config import build, compose
from mnist_exp.experiment import run_experiment
from mnist_exp.features import Pixels
from mnist_exp.models._out_of_fit import out_of_fit

MODELS = {
    "rf": RandomForestClassifier(60, random_state=0),
    "few_trees": RandomForestClassifier(12, random_state=0),
    "extra_trees": ExtraTreesClassifier(30, random_state=0),
    "sgd": SGDClassifier(random_state=0, average=True, tol=None, max_iter=30),
    "modified_huber": SGDClassifier("modified_huber", random_state=0, tol=None, max_iter=30),
    "logistic": LogisticRegression(max_iter=500),
    "svm": SVC(break_ties=True),
    "knn": KNeighborsClassifier(weights="distance"),
    "random_features": models.RandomFeatures(300, alpha=1e-3, random_state=0),
}


@pytest.fixture(scope="module")
def points():
    """Train and test of four classes that overlap, in rounded columns, float32."""
    X, y = make_classification(
        3000, 10, n_informative=6, n_classes=4, n_clusters_per_class=1, random_state=1
    )
    X = np.float32(X.round(1))
    return X[:1500], y[:1500], X[1500:], y[1500:]


def fitted(estimator, X, y, calibrator=None, n_images=None):
    """An estimator fitted on all and its calibrated form."""
    held = models.hold_out(y, n_images or len(y), seed=0)
    estimator = clone(estimator)
    models.fit(estimator, X, y, lambda share: None, None, held)
    data = models.Training(X, y, held, n_images or len(y), n_jobs=1)
    return models.calibrate(calibrator or models.Temperature(), estimator, data)


def log_loss(probability, y):
    return -np.log(np.maximum(probability[np.arange(len(y)), y], 1e-15)).mean()


@pytest.mark.parametrize("name", MODELS)
def test_probabilities_are_as_good_as_the_best_temperature_and_change_no_answer(points, name):
    X, y, X_test, y_test = points
    model, unseen = fitted(MODELS[name], X, y)
    before, probability, score = models.predict(model.estimator, X_test)
    after, calibrated, no_score = models.predict(model, X_test)
    np.testing.assert_array_equal(after, before)
    np.testing.assert_array_equal(model.predict(X_test), before)
    np.testing.assert_allclose(calibrated.sum(axis=1), 1)
    assert no_score is None
    assert len(unseen.label) == len(unseen.probability)
    logits = models.as_logits(model.estimator, probability if score is None else score)
    best = models.Temperature().fit(logits, y_test).predict_proba(logits)
    assert log_loss(calibrated, y_test) < log_loss(best, y_test) + 0.01


def test_equal_scores_stay_the_first_class_and_rounding_changes_nothing():
    estimator = RandomForestClassifier(3, random_state=0).fit(np.eye(3), [0, 1, 2])
    shares = np.array([[0.5, 0.5, 0.0], [0.25, 0.25 + 1e-17, 0.5]])
    logits = np.array([[1.0, 1.0 + 1e-15, 0.0]])
    calibrator = models.Temperature()
    calibrator.temperature_ = 0.01
    assert calibrator.predict_proba(models.as_logits(estimator, shares)).argmax(1).tolist() == [
        0,
        2,
    ]
    machine = SVC(break_ties=True)
    machine.decision_function = lambda X: logits  # two scores closer than probabilities can be
    machine.classes_ = np.arange(3)
    calibrator.temperature_ = 100.0
    assert calibrator.predict_proba(logits)[0, 0] == calibrator.predict_proba(logits)[0, 1]
    assert models.predict(models.Calibrated(machine, calibrator), np.zeros((1, 2)))[0] == [1]


def test_a_tree_votes_only_on_images_of_which_its_bag_has_no_copy():
    rng = np.random.default_rng(0)
    images, labels = rng.random((150, 5), np.float32), rng.integers(0, 2, 150)  # pure noise
    X, y = np.tile(images, (3, 1)), np.tile(labels, 3)
    forest = RandomForestClassifier(600, random_state=0).fit(X, y)
    data = models.Training(X, y, models.hold_out(y, 150, 0), 150, n_jobs=1)
    rows, logits = out_of_fit(forest, data)
    assert rows.max() < 150
    assert (forest.predict(X) == y).all()  # it knows every image by heart
    assert (logits.argmax(axis=1) == labels[rows]).mean() < 0.65  # of others it knows nothing


@pytest.mark.parametrize("name", ["few_trees", "sgd", "svm", "knn", "random_features"])
def test_copies_of_held_out_images_are_held_out_too(name):
    rng = np.random.default_rng(0)
    images, labels = rng.standard_normal((300, 400), np.float32), rng.integers(0, 2, 300)
    X, y = np.tile(images, (2, 1)), np.tile(labels, 2)
    model, unseen = fitted(MODELS[name], X, y, n_images=300)
    assert (models.predict(model, X)[0] == y).mean() > 0.8
    assert (unseen.probability.argmax(axis=1) == unseen.label).mean() < 0.65


def test_a_fast_forest_has_the_out_of_bag_votes_of_scikit_learns(digits):
    X = Pixels().fit_transform(digits.train.images)
    y = digits.train.labels
    held = models.hold_out(y, len(y), 0)
    values = Pixels().fit_transform(np.arange(256, dtype=np.uint8)[:, None, None])
    codes = digits.train.images.reshape(len(y), -1)
    coded = models.Coded(codes, np.ascontiguousarray(values.T))
    fast, slow = (RandomForestClassifier(60, random_state=3) for _ in range(2))
    models.fit(fast, coded, y, lambda share: None)
    slow.fit(X, y)
    votes = [
        out_of_fit(forest, models.Training(matrix, y, held, len(y), 1))
        for forest, matrix in ((fast, coded), (slow, X))
    ]
    np.testing.assert_array_equal(votes[0][1], votes[1][1])


def test_isotonic_steps_follow_what_no_temperature_can():
    rng = np.random.default_rng(0)
    sure = rng.random((4000, 1)) * 4
    logits = np.hstack([sure, np.zeros_like(sure)])
    right = rng.random(4000) < np.where(sure[:, 0] < 2, 0.6, 0.9)
    calibrator = models.Isotonic().fit(logits[:2000], np.int64(~right[:2000]))
    first = calibrator.predict_proba(logits[2000:])[:, 0]
    assert abs(first[sure[2000:, 0] < 1.8].mean() - 0.6) < 0.05
    assert abs(first[sure[2000:, 0] > 2.2].mean() - 0.9) < 0.05
    assert (first > 0).all()
    assert (first < 1).all()


def test_isotonic_says_of_unseen_images_what_other_folds_taught(points):
    X, y, _, _ = points
    model, unseen = fitted(MODELS["logistic"], X[:300], y[:300], models.Isotonic())
    fitted_on = log_loss(model.predict_proba(X[:300]), y[:300])
    assert log_loss(unseen.probability, unseen.label) > fitted_on


def test_where_all_are_right_one_more_image_keeps_probabilities_below_1():
    logits = np.eye(3)[np.arange(30) % 3] * 5
    probability = models.Temperature().fit(logits, np.arange(30) % 3).predict_proba(logits)
    assert 0.9 < probability.max() < 0.99


def test_a_model_without_scores_or_with_a_handful_of_images_stays_as_it_is(points, caplog):
    X, y, _, _ = points
    plain = OutputCodeClassifier(SGDClassifier(random_state=0), random_state=0)
    rows = np.concatenate([np.flatnonzero(y == number)[:2] for number in range(4)])
    for estimator, chosen in ((plain, slice(200)), (LogisticRegression(), rows)):
        model, unseen = fitted(estimator, X[chosen], y[chosen])
        assert (type(model), unseen) == (type(estimator), None)
    assert "not calibrated: 8 images are too few to hold any out" in caplog.text


def test_every_class_is_left_to_learn_from():
    y = np.array([0] * 50 + [1] * 3 + [2])
    held = models.hold_out(np.tile(y, 2), len(y), seed=0)
    np.testing.assert_array_equal(held[: len(y)], held[len(y) :])
    assert np.bincount(y[held[: len(y)]]).tolist() == [16, 1]


@pytest.mark.parametrize("method", ["temperature", "isotonic", "none"])
def test_the_configuration_chooses(tmp_path, digits, method):
    words = ["dataset=digits", "model=sgd", f"calibration={method}", f"cache_dir='{tmp_path}'"]
    experiment = build(compose(words))
    outcome = run_experiment(
        digits,
        augment.none,
        Pixels(),
        SGDClassifier(random_state=0),
        experiment.calibrator,
        seed=0,
        n_jobs=1,
    )
    assert ("log_loss" in outcome.metrics["val"]) == (method != "none")
    assert (outcome.predictions["test"].score is None) == (method != "none")
    assert outcome.metrics["train"]["accuracy"] > outcome.metrics["test"]["accuracy"]
