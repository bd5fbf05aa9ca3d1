"""Risk and coverage: the threshold, its intervals, and what a run and `predict` make of them."""

import argparse
import json
import sys

import numpy as np
import pytest

from mnist_exp.errors import UserError
from mnist_exp.evaluation import choose_threshold, coverage_at, coverage_curve
from mnist_exp.predict import _share_or_auto
from mnist_exp.predict import main as predict
from mnist_exp.recognition import Answer, held_back, recorded_threshold


def test_the_threshold_allows_one_mistake_more_than_there_are():
    confidence = np.linspace(1, 0.5, 2990)
    right = np.ones(2990, bool)
    right[[2500, 2900]] = False
    chosen = choose_threshold(confidence, right)
    assert chosen.share == 2900 / 2990  # (1 + 1) / (2900 + 1), but (2 + 1) / (2990 + 1)
    assert chosen.threshold == confidence[2899]
    assert (confidence >= chosen.threshold).sum() == 2900


def test_equal_probabilities_are_answered_together():
    confidence = np.array([0.9] * 1500 + [0.8] * 1500)
    right = np.arange(3000) < 2995
    assert choose_threshold(confidence, right).share == 0.5


@pytest.mark.parametrize(("n", "errors"), [(500, 0), (5000, 5000)])
def test_too_few_images_or_too_many_mistakes_give_no_threshold(n, errors):
    right = np.arange(n) >= errors
    chosen = choose_threshold(np.linspace(1, 0.5, n), right)
    assert (chosen.threshold, chosen.share) == (None, 0.0)


def simulated(rng, n):
    """A calibrated model that is right on 98 % of the images."""
    confidence = 1 / (1 + np.exp(-np.abs(rng.normal(7, 3, n))))
    return confidence, rng.random(n) < confidence


def test_the_interval_of_the_share_covers_as_often_as_it_says():
    rng = np.random.default_rng(1)
    many, _ = simulated(rng, 2_000_000)
    covered = []
    for _ in range(1500):
        threshold = choose_threshold(*simulated(rng, 3000)).threshold
        if threshold is not None:
            interval = coverage_at(*simulated(rng, 1000), threshold).share_interval
            covered.append(interval.low <= np.mean(many >= threshold) <= interval.high)
    assert len(covered) > 1000
    assert 0.935 < np.mean(covered) < 0.965


def test_the_risk_on_new_images_is_no_higher_than_wanted():
    rng = np.random.default_rng(2)
    new_confidence, new_right = simulated(rng, 500_000)
    risks = []
    for _ in range(400):
        threshold = choose_threshold(*simulated(rng, 5000)).threshold
        if threshold is not None:
            risks.append(1 - coverage_at(new_confidence, new_right, threshold).accuracy)
    assert np.mean(risks) < 0.001


def test_the_curve_ends_at_all_images_and_their_accuracy():
    rng = np.random.default_rng(3)
    confidence, right = simulated(rng, 3000)
    curve = coverage_curve(confidence, right)
    assert len(curve) == 200
    assert curve[-1] == (1.0, right.mean())
    surest = np.argsort(-confidence)[: round(3000 * curve[50][0])]
    assert curve[50][1] == pytest.approx(right[surest].mean())


def test_a_run_records_the_threshold_and_what_it_leads_to(finished_run):
    run = finished_run("model=sgd")
    assert run.model_card["confidence"] == {"threshold": None, "target": 0.999, "share": 0.0}
    assert run.metrics["train"]["accuracy"] >= run.metrics["test"]["accuracy"]
    assert run.metrics["calibration"]["n"] == 99
    assert 0 < run.metrics["test"]["ece_mass"] < 1
    with pytest.raises(UserError, match=r"no probability reached 99.9 % .* give a number"):
        recorded_threshold(run)


def test_below_the_threshold_the_two_most_probable_classes_are_named():
    sure = Answer("7", probabilities={"4": 0.01, "7": 0.95, "9": 0.04})
    unsure = Answer("4", probabilities={"4": 0.5, "7": 0.1, "9": 0.4})
    assert held_back(sure, 0.95) == sure
    assert (held_back(unsure, 0.9).label, held_back(unsure, 0.9).reason) == (
        None,
        "not sure: 4 or 9",
    )
    row = held_back(Answer("747", digits=[sure, unsure, sure]), 0.9)
    assert (row.label, row.reason) == (None, "not sure: 7?7")
    assert [digit.label for digit in row.digits] == ["7", None, "7"]
    blank = Answer(None, "blank")
    assert held_back(blank, 0.9) == blank
    with pytest.raises(UserError, match="calibration=temperature"):
        held_back(Answer("7", scores={"7": 1.0, "4": 0.0}), 0.9)


@pytest.mark.parametrize("word", ["1.5", "-0.1", "many", "nan"])
def test_a_confidence_is_a_share_or_auto(word):
    assert (_share_or_auto("0.9"), _share_or_auto("auto")) == (0.9, "auto")
    with pytest.raises(argparse.ArgumentTypeError, match="from 0 to 1, or auto"):
        _share_or_auto(word)


def test_predict_holds_back_what_it_is_not_sure_of(finished_run, tmp_path, monkeypatch, capsys):
    run = finished_run("model=sgd")
    from mnist_exp.config import load_recorded

    test = load_recorded(run.config_path).test
    np.savez(tmp_path / "table.npz", x_test=test.images)
    words = [str(run.path), str(tmp_path / "table.npz"), "--json", "--min-confidence"]
    monkeypatch.setattr(sys, "argv", ["predict", *words, "0.9"])
    predict()
    answers = json.loads(capsys.readouterr().out)
    probability = run.predictions("test").probability.max(axis=1)
    assert [answer["label"] is not None for answer in answers] == (probability >= 0.9).tolist()
    assert {str(answer["reason"])[:10] for answer in answers} == {"None", "not sure: "}
    monkeypatch.setattr(sys, "argv", ["predict", *words, "auto"])
    with pytest.raises(SystemExit, match="no probability reached"):
        predict()


def test_compare_tells_the_share_that_each_run_answers(tmp_path):
    from mnist_exp.comparison import compare_runs, to_json
    from mnist_exp.evaluation import Predictions
    from mnist_exp.report.comparison_page import comparison_html
    from mnist_exp.runs import Run

    label = np.arange(1000) % 10
    for name, coverage in ("a", {"coverage": 0.9}), ("b", {}):
        probability = np.random.default_rng(0).dirichlet(np.ones(10), 1000)
        guess = probability.argmax(axis=1)
        run = Run.claim(tmp_path / name, argv=[])
        run.save_predictions(
            "test", Predictions(np.arange(1000), label, guess, probability, None, "")
        )
        run.save_metrics({"test": {"accuracy": float((guess == label).mean()), **coverage}}, {})
        run.finish("completed")
    comparison = compare_runs(tmp_path)
    a, b = to_json(comparison)["runs"]
    assert (a["coverage"], b["coverage"], b["coverage_interval"]) == (0.9, None, None)
    assert a["coverage_interval"][0] < 0.9 < a["coverage_interval"][1]
    page = comparison_html(comparison)
    assert page.count("<polyline style") == 2
    assert "90.00&nbsp;%" in page or "90.00 %" in page or "90.00\xa0%" in page
    assert "no threshold" in page
