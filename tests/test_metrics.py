import numpy as np
import pytest
from sklearn import metrics as reference

from mnist_exp.evaluation import Predictions, compute_metrics, confusion_matrix, precision_recall_f1


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 4, 500)
    probability = rng.dirichlet(np.ones(4), 500)
    probability[np.arange(500), label] += 0.3
    probability /= probability.sum(axis=1, keepdims=True)
    prediction = probability.argmax(axis=1)
    assert 50 < (prediction != label).sum() < 250
    return Predictions(np.arange(500), label, prediction, probability, None, "")


def test_every_metric_agrees_with_scikit_learn(predictions):
    found = compute_metrics(predictions, 4)
    label, prediction, probability = (
        predictions.label,
        predictions.prediction,
        predictions.probability,
    )
    assert found.accuracy == reference.accuracy_score(label, prediction)
    assert found.macro_f1 == pytest.approx(reference.f1_score(label, prediction, average="macro"))
    assert found.top2_accuracy == pytest.approx(
        reference.top_k_accuracy_score(label, probability, k=2)
    )
    assert found.log_loss == pytest.approx(reference.log_loss(label, probability))


def test_the_confusion_matrix_and_per_class_figures_agree_with_scikit_learn(predictions):
    confusion = confusion_matrix(predictions.label, predictions.prediction, 4)
    np.testing.assert_array_equal(
        confusion, reference.confusion_matrix(predictions.label, predictions.prediction)
    )
    expected = reference.precision_recall_fscore_support(predictions.label, predictions.prediction)[
        :3
    ]
    np.testing.assert_allclose(precision_recall_f1(confusion), expected)


def test_calibration_error_is_the_gap_between_confidence_and_accuracy():
    probability = np.tile([0.8, 0.2], (10, 1))
    predictions = Predictions(
        np.arange(10), np.array([0] * 6 + [1] * 4), np.zeros(10, int), probability, None, ""
    )
    assert compute_metrics(predictions, 2).ece == pytest.approx(0.2)


def test_a_model_without_probabilities_has_no_log_loss_and_is_ranked_by_score():
    score = np.array([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]])
    predictions = Predictions(np.arange(2), np.array([2, 0]), np.array([0, 1]), None, score, "")
    found = compute_metrics(predictions, 3)
    assert (found.accuracy, found.top2_accuracy, found.log_loss, found.ece) == (
        0.0,
        0.5,
        None,
        None,
    )
    np.testing.assert_array_equal(predictions.confidence, [1.0, 1.0])
