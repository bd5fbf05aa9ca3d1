"""Verdicts, gates, headlines and orders of a comparison at their edges, from both sides."""

import json

import pytest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from test_compare import (  # fixtures among them
    LABEL,
    N,
    command,
    here,
    write_run,
    write_seeds,
    wrong_at,
)

from mnist_exp.comparison import compare_runs, headline

WORSE = (50, 103), (200, 212)  # against (50, 106): fixes 3, breaks 12


def write_runs(folder, *mistakes):
    """A baseline that is wrong on 50 to 105, and a run for each of the others' mistakes."""
    write_run(folder / "0", wrong_at((50, 106)))
    for number, ranges in enumerate(mistakes, 1):
        write_run(folder / str(number), wrong_at(*ranges), model={"_target_": f"s.M{number}"})


def p_value(fixed, broke):
    return mcnemar([[0, fixed], [broke, 0]], exact=True).pvalue


def test_a_difference_counts_only_after_holm(here, command):
    assert p_value(3, 12) < 0.05 < 2 * p_value(3, 12)
    write_runs(here / "alone", WORSE)
    write_runs(here / "many", WORSE, [(50, 107)], [(50, 105)])
    alone = compare_runs("alone").runs[1].difference
    assert (alone.verdict, alone.fixed, alone.broke) == ("worse", 3, 12)
    assert command("alone", "--fail-if-worse")[0] == 1
    comparison = compare_runs("many")
    among = comparison.runs[1].difference
    assert among.p == alone.p == pytest.approx(p_value(3, 12))
    assert among.p < 0.05 <= among.p_holm
    assert among.verdict == "not distinguishable"
    assert command("many", "--fail-if-worse")[0] == 0
    assert headline(comparison) == "Against the baseline, of 3 runs: 3 not distinguishable"
    found = [run.difference.p for run in comparison.runs[1:]]
    expected = multipletests(found, method="holm")[1]
    assert [run.difference.p_holm for run in comparison.runs[1:]] == pytest.approx(list(expected))


def test_more_tests_need_larger_differences(here):
    write_runs(here / "alone", WORSE)
    write_runs(here / "many", WORSE, [(50, 107)], [(50, 105)])
    alone, among = (compare_runs(name).runs[1].difference for name in ("alone", "many"))
    assert 0 < alone.detectable < among.detectable


def test_one_worse_among_better_ones_is_counted_and_shuts_the_gate(here, command):
    write_runs(here / "runs", [(50, 60)], [(80, 100)], [(50, 160)])
    verdicts = [run.difference.verdict for run in compare_runs("runs").runs[1:]]
    assert verdicts == ["better", "better", "worse"]
    assert headline(compare_runs("runs")) == "Against the baseline, of 3 runs: 2 better, 1 worse"
    status, _, stderr = command("runs", "--fail-if-worse")
    assert status == 1
    assert stderr.startswith("gate: runs/3: worse by 2.70 points")
    assert "runs/1" not in stderr
    assert "runs/2" not in stderr


def test_runs_that_give_the_same_answers_prove_nothing_and_fail_nothing(here, command):
    write_runs(here / "runs", [(50, 106)])
    difference = compare_runs("runs").runs[1].difference
    assert (difference.verdict, difference.p, difference.fixed, difference.broke) == (
        "identical",
        1.0,
        0,
        0,
    )
    assert command("runs", "--fail-if-worse")[0] == 0


def test_other_wrong_answers_to_the_same_images_are_not_identical(here):
    write_run(here / "runs" / "0", wrong_at((0, 50)))
    other = wrong_at((0, 50))
    other[:50] = (LABEL[:50] + 2) % 10
    write_run(here / "runs" / "1", other)
    difference = compare_runs("runs").runs[1].difference
    assert (difference.fixed, difference.broke, difference.p) == (0, 0, 1.0)
    assert difference.verdict == "not distinguishable"


def test_a_run_is_not_inferior_from_the_lower_end_of_its_interval_on(here, command):
    write_runs(here / "runs", WORSE)
    low = -compare_runs("runs").runs[1].difference.delta_interval.low
    assert low > 0.45
    status, _, stderr = command("runs", "--noninferior", f"{low - 0.001:.6f}")
    assert status == 1
    assert f"may be {low:.2f} points worse" in stderr
    assert command("runs", "--noninferior", f"{low + 0.001:.6f}")[0] == 0


@pytest.mark.parametrize(
    ("key", "best_first"),
    [("accuracy", True), ("delta", True), ("fixed", True), ("broke", False), ("p_holm", False)],
)
def test_a_column_sorts_the_way_that_reads_best(here, command, key, best_first):
    write_runs(here / "runs", [(80, 100)], [(50, 160)], [(50, 60)], [(40, 100)])
    rows = json.loads(command("runs", "--format", "json", "--sort", key)[1])["runs"]
    values = [row[key] for row in rows if row[key] is not None]
    assert len(set(values)) >= 3
    assert values == sorted(values, reverse=best_first)
    if key != "accuracy":
        assert rows[-1]["run"] == "runs/0"  # the baseline has no value: last


def test_threads_make_no_other_recipe_and_show_all_the_same(here):
    for name, extra in (("a", 0), ("b", 10)):
        for seed in range(2):
            write_run(
                here / name / str(seed),
                wrong_at((0, 100 + seed + extra)),
                seed=seed,
                n_jobs=1 + seed,
                model={"_target_": f"s.{name}"},
            )
    own, other = compare_runs(["a", "b"]).groups
    assert (len(own.runs), len(other.runs), other.pairs) == (2, 2, 2)
    assert "n_jobs" in compare_runs(["a", "b"]).runs[1].config


def test_a_seed_that_was_run_twice_counts_once(here):
    write_seeds(here / "a", [(0, 100), (0, 110)])
    write_run(here / "a" / "again", wrong_at((0, 100)), seed=0)
    write_seeds(here / "b", [(0, 90), (0, 98)], model={"_target_": "s.B"})
    own, other = compare_runs(["a", "b"]).groups
    assert (own.values, other.pairs) == (["0", "1"], 2)
    assert own.mean == pytest.approx(1 - 105 / N)


def test_recipes_are_adjusted_for_their_number(here):
    write_seeds(here / "a", [(0, 100), (0, 110), (0, 121)])
    write_seeds(here / "b", [(0, 92), (0, 100), (0, 112)], model={"_target_": "s.B"})
    write_seeds(here / "c", [(0, 101), (0, 108), (0, 122)], model={"_target_": "s.C"})
    _, b, c = compare_runs(["a", "b", "c"]).groups
    expected = multipletests([b.p, c.p], method="holm")[1]
    assert [b.p_holm, c.p_holm] == pytest.approx(list(expected))
    assert b.p_holm > b.p
