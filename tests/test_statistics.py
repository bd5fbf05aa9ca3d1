import numpy as np
import pytest
from scipy.stats import binom, binomtest, ttest_rel
from scipy.stats import t as t_distribution
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint

from mnist_exp.evaluation import (
    bootstrap_confusion,
    bootstrap_differences,
    detectable_difference,
    difference_interval,
    holm,
    mcnemar,
    mean_interval,
    paired_t,
    precision_recall_f1,
    seeds_needed,
    wilson,
)


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
        found.low <= 1.0 <= found.high
        for found in (mean_interval(rng.exponential(size=400)) for _ in range(1000))
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
        return bootstrap_confusion(
            confusion, lambda draws: precision_recall_f1(draws)[2].mean(-1), rng
        )

    assert draw() == draw()


@pytest.mark.parametrize(
    ("fixed", "broke"), [(0, 0), (1, 0), (5, 5), (80, 40), (3, 21), (400, 300), (4000, 1)]
)
def test_mcnemar_agrees_with_statsmodels(fixed, broke):
    expected = (
        statsmodels_mcnemar([[10_000, broke], [fixed, 100]], exact=True).pvalue
        if fixed + broke
        else 1.0
    )
    assert float(mcnemar(fixed, broke)) == pytest.approx(expected, abs=1e-12, rel=1e-9)


def test_wilson_agrees_with_statsmodels():
    found = wilson(9_705, 10_000)
    assert (found.low, found.high) == pytest.approx(
        proportion_confint(9_705, 10_000, method="wilson"), abs=1e-12
    )


def test_holm_by_hand_and_against_statsmodels():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02], abs=1e-15)
    p = np.random.default_rng(0).random(50) ** 4
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1], abs=1e-12)


@pytest.mark.parametrize(
    ("fixed", "broke", "n"),
    [(80, 40, 10_000), (10, 0, 10_000), (300, 900, 5_000), (30, 25, 60), (5, 5, 10)],
)
def test_the_exact_bootstrap_is_what_many_resamples_give(fixed, broke, n):
    draws = np.random.default_rng(0).multinomial(
        n, [fixed / n, broke / n, 1 - (fixed + broke) / n], 200_000
    )
    expected = np.quantile(draws[:, 0] - draws[:, 1], [0.025, 0.975], method="inverted_cdf")
    found = difference_interval(fixed, broke, n)
    assert np.array([found.low, found.high]) * n == pytest.approx(
        expected, abs=max(1, 0.01 * (fixed + broke) ** 0.5)
    )


@pytest.mark.parametrize(
    ("fixed", "broke", "n"),
    [(80, 40, 10_000), (10, 0, 10_000), (30, 25, 60), (5, 5, 10), (9, 2, 11)],
)
def test_the_exact_bootstrap_is_the_mixture_of_binomials(fixed, broke, n):
    discordant = np.arange(n + 1)[:, None]  # of a resample; so many of them fixed: binomial again
    weight = binom.pmf(discordant, n, (fixed + broke) / n)
    interval = difference_interval(fixed, broke, n)
    for bound, level in ((interval.low, 0.025), (interval.high, 0.975)):
        at = round(bound * n) - np.array([1, 0])  # the bound is the first to reach the level
        below, reached = (
            weight * binom.cdf((discordant + at) // 2, discordant, fixed / (fixed + broke))
        ).sum(axis=0)
        assert below < level <= reached


def test_the_check_value_of_80_fixed_and_40_broken():
    found = difference_interval(80, 40, 10_000)
    assert float(mcnemar(80, 40)) == pytest.approx(0.00033, abs=5e-6)
    assert (100 * found.low, 100 * found.high) == pytest.approx((0.18, 0.61), abs=0.015)


def test_few_discordant_pairs_get_the_interval_of_agresti_and_min():
    found = difference_interval(
        6, 1, 100
    )  # by hand: 5/102 -+ 1.95996 sqrt(8/102 - (5/102)^2) / sqrt(102)
    assert found.method == "agresti-min"
    assert (found.low, found.high) == pytest.approx((-0.0044905, 0.1025297), abs=1e-6)


@pytest.mark.parametrize(
    "shares", [(0.001, 0.001), (0.0005, 0.001), (0.004, 0.004), (0.012, 0.006)]
)
def test_the_intervals_of_a_difference_cover_it_as_often_as_they_say(shares):
    n, fixed, broke = 10_000, *shares
    draws = np.random.default_rng(1).multinomial(n, [fixed, broke, 1 - fixed - broke], 20_000)
    pairs, counts = np.unique(draws[:, :2], axis=0, return_counts=True)
    intervals = [difference_interval(int(f), int(b), n) for f, b in pairs]
    covered = [
        interval.low - 1e-12 <= fixed - broke <= interval.high + 1e-12 for interval in intervals
    ]
    assert 0.935 <= np.average(covered, weights=counts) <= 0.965


def test_the_score_interval_covers_an_accuracy_as_often_as_it_says():
    hits = np.random.default_rng(2).binomial(10_000, 0.97, 20_000)
    intervals = {int(h): wilson(int(h), 10_000) for h in np.unique(hits)}
    assert (
        0.935
        <= np.mean([intervals[int(h)].low <= 0.97 <= intervals[int(h)].high for h in hits])
        <= 0.965
    )


@pytest.mark.parametrize("runs", [1, 10])
def test_equal_models_rarely_fail_the_gate(runs):
    draws = np.random.default_rng(3).multinomial(10_000, [0.01, 0.01, 0.98], (2_000, runs))
    fixed, broke = draws[..., 0], draws[..., 1]
    adjusted = np.array([holm(p) for p in mcnemar(fixed, broke)])
    assert np.mean(((adjusted < 0.05) & (fixed < broke)).any(axis=1)) <= 0.06


def test_the_detectable_difference_is_detected_as_often_as_it_says():
    n, discordant = 10_000, 0.02
    delta = detectable_difference(round(discordant * n), n)
    draws = np.random.default_rng(4).multinomial(
        n, [(discordant + delta) / 2, (discordant - delta) / 2, 1 - discordant], 5_000
    )
    assert np.mean(mcnemar(draws[:, 0], draws[:, 1]) < 0.05) == pytest.approx(
        0.8, abs=0.05
    )  # an exact test is a little cautious


def test_no_fewer_than_six_images_can_show_a_difference():
    assert detectable_difference(0, 10_000) == pytest.approx(6 / 10_000)
    assert [float(mcnemar(count, 0)) < 0.05 for count in (5, 6)] == [False, True]


@pytest.mark.parametrize("effect", [0.3, 0.7, 1.5, 4.0])
def test_the_number_of_seeds_agrees_with_the_power_of_the_t_test(effect):
    expected = TTestPower().solve_power(effect, alpha=0.05, power=0.8)
    assert seeds_needed(effect, 1.0) == pytest.approx(expected, abs=2)


def test_no_number_of_seeds_settles_what_does_not_differ():
    assert (seeds_needed(0.0, 1.0), seeds_needed(0.001, 1.0), seeds_needed(0.1, 0.0)) == (
        None,
        None,
        2,
    )


def test_paired_t_agrees_with_scipy():
    a, b = np.random.default_rng(0).normal(size=(2, 7))
    assert paired_t(a - b) == pytest.approx(ttest_rel(a, b).pvalue, abs=1e-12)
    assert (paired_t(np.ones(3)), paired_t(np.zeros(3))) == (0.0, 1.0)


def test_the_correction_for_resampled_splits_by_hand():
    d = np.array([1.0, 2.0, 3.0])  # t = 2 / sqrt((1/3 + 1/6) * 1), two degrees of freedom
    assert paired_t(d, overlap=1 / 6) == pytest.approx(
        2 * t_distribution.sf(2 * 2**0.5, 2), abs=1e-12
    )
    found = mean_interval(d, overlap=1 / 6)
    assert found.high == pytest.approx(2 + t_distribution.ppf(0.975, 2) / 2**0.5, abs=1e-9)


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("scatter", [0.5, 1, 3, 30])
def test_seeds_of_equal_recipes_rarely_seem_to_differ(seeds, scatter):
    wrong = np.random.default_rng(5).normal(100, scatter, (2, 2_000, seeds)).round()
    assert np.mean([paired_t(d, step=1) < 0.05 for d in wrong[0] - wrong[1]]) <= 0.06


def test_the_bootstrap_of_cells_agrees_with_that_of_counts():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 5, 3_000)
    a, b = (
        np.where(rng.random(3_000) < share, rng.integers(0, 5, 3_000), label)
        for share in (0.2, 0.1)
    )
    found = bootstrap_differences(
        label, a, b, 5, lambda c: np.trace(c, axis1=1, axis2=2) / 3_000, rng
    )
    fixed, broke = (
        int(((a != label) & (b == label)).sum()),
        int(((a == label) & (b != label)).sum()),
    )
    expected = difference_interval(fixed, broke, 3_000)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.002)
