import numpy as np
import pytest
from scipy.stats import binomtest

from mnist_exp.metrics import precision_recall_f1
from mnist_exp.statistics import bootstrap_confusion, mean_interval, wilson


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (10, 10), (9700, 10_000), (1, 3)])
def test_wilson_agrees_with_scipy(hits, n):
    expected = binomtest(hits, n).proportion_ci(0.95, "wilson")
    found = wilson(hits, n)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_of_97_percent_of_10_000_is_what_the_books_say():
    found = wilson(9700, 10_000)
    assert (round(100 * found.low, 2), round(100 * found.high, 2)) == (96.65, 97.32)


def test_mean_interval_covers_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = sum(
        found.low <= 1.0 <= found.high for found in (mean_interval(rng.exponential(size=400)) for _ in range(1000))
    )
    assert 925 <= hits <= 975


def test_the_bootstrap_of_accuracy_agrees_with_the_score_interval():
    confusion = np.array([[940, 60], [30, 970]])
    found = bootstrap_confusion(
        confusion, lambda draws: np.trace(draws, axis1=1, axis2=2) / 2000, np.random.default_rng(0)
    )
    expected = wilson(1910, 2000)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.002)


def test_the_bootstrap_of_macro_f1_is_the_same_for_the_same_seed():
    confusion = np.array([[50, 5, 1], [4, 60, 2], [0, 3, 70]])

    def draw():
        rng = np.random.default_rng(7)
        return bootstrap_confusion(confusion, lambda draws: precision_recall_f1(draws)[2].mean(-1), rng)

    assert draw() == draw()
