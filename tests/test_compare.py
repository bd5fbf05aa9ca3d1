"""Comparing runs: which folders count, what is said of them, and when a gate opens."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from rich.console import Console

import mnist_exp
from mnist_exp.compare import main
from mnist_exp.comparison import compare_runs, print_table, to_json
from mnist_exp.errors import UserError
from mnist_exp.evaluation import Predictions
from mnist_exp.runs import Run, point_latest

N = 2_000
LABEL = np.arange(N) % 10
CONFIG = {
    "seed": 0,
    "dataset": {"_target_": "mnist_exp.data.mnist"},
    "augment": {"_target_": "a.none"},
    "model": {"_target_": "s.Forest", "trees": 10},
}


def wrong_at(*ranges):
    """Predictions that are right but for the images in these ranges, which are taken for the next
    class.
    """
    prediction = LABEL.copy()
    for first, last in ranges:
        prediction[first:last] = (prediction[first:last] + 1) % 10
    return prediction


def write_run(
    folder, prediction, *, label=LABEL, sha="a" * 64, split="test", state="completed", **config
):
    run = Run.claim(folder, [])
    run.save_predictions(
        split, Predictions(np.arange(len(label)), label, prediction, None, None, sha)
    )
    accuracy = float(np.mean(label == prediction))
    times = {"fit_s": 2.0, "predict_us_per_image": 20.0}
    run.save_metrics({split: {"accuracy": accuracy}, "time": times, "model": {"bytes": 1000}}, {})
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(CONFIG | config))
    run.finish(state, "no luck" if state == "failed" else None)
    return run


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def three(here):
    """A baseline with 100 mistakes, a better run with 60 of them, one that cannot be told from the
    baseline.
    """
    write_run(here / "runs" / "0", wrong_at((0, 100)))
    write_run(here / "runs" / "1", wrong_at((40, 100)), model={"_target_": "s.Forest", "trees": 50})
    write_run(
        here / "runs" / "2",
        wrong_at((5, 100), (200, 203)),
        augment={"_target_": "a.shift", "pixels": 1},
    )
    return here


@pytest.fixture
def command(monkeypatch, capsys):
    """Run the command in this process: exit status, stdout, stderr."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["compare", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return run


def test_json_has_the_figures_that_can_be_counted_by_hand(three, command):
    status, stdout, stderr = command("runs", "--format", "json")
    found = json.loads(stdout)
    assert (status, stderr) == (0, "")
    assert (found["split"], found["n"], found["baseline"], found["holm_m"], found["skipped"]) == (
        "test",
        N,
        "runs/0",
        2,
        [],
    )
    base, better, alike = found["runs"]
    assert [base[key] for key in ("delta", "delta_interval", "fixed", "broke", "p", "p_holm")] == [
        None
    ] * 6
    assert (better["fixed"], better["broke"], better["delta"], better["accuracy"]) == (
        40,
        0,
        2.0,
        0.97,
    )
    assert better["p"] == pytest.approx(2 * 0.5**40)
    assert better["p_holm"] == 2 * better["p"]
    assert (alike["fixed"], alike["broke"], alike["delta"]) == (5, 3, pytest.approx(0.1))
    assert alike["delta_interval"][0] < 0 < alike["delta_interval"][1]
    assert (better["time"]["fit_s"], better["bytes"]) == (2.0, 1000)


def test_only_keys_that_differ_are_told(three):
    base, better, alike = compare_runs("runs").runs
    assert base.config == {"augment._target_": "a.none", "model.trees": 10}
    assert (base.changes, better.changes, alike.changes) == ("", "model.trees=50", "augment=shift")


def test_the_verdicts_and_the_changed_confusions(three):
    _, better, alike = compare_runs("runs").runs
    assert (better.difference.verdict, alike.difference.verdict) == (
        "better",
        "not distinguishable",
    )
    assert better.difference.confusions[0][2:] == (10, 6)
    assert alike.difference.detectable > abs(alike.difference.delta)
    assert alike.difference.seeds_to_settle > 10


def test_the_same_answers_are_identical(here):
    for name in "ab":
        write_run(here / name, wrong_at((0, 9)))
    difference = compare_runs(["a", "b"]).runs[1].difference
    assert (difference.verdict, difference.p, difference.delta) == ("identical", 1.0, 0.0)


def test_the_table_says_it_in_words(three, command):
    write_run(three / "runs" / "3", LABEL, state="failed")
    _, stdout, _ = command("runs")
    words = [
        "+2.00 [",
        "40 / 0",
        "better by 2.00 points: fixes 40",
        "could have shown",
        "runs/3: skipped: failed: no luck",
    ]
    assert [text for text in words if text not in stdout] == []


def test_a_terminal_gets_colours_and_what_a_folder_says_cannot_steer_it(three):
    (three / "runs" / "1").rename(three / "runs" / "1[red]\x1b[2J")
    screen = Console(file=io.StringIO(), force_terminal=True, width=120)
    print_table(compare_runs("runs"), screen)
    shown = screen.file.getvalue()
    assert "\x1b[32mbetter" in shown
    assert "\x1b[2J" not in shown
    assert "[red]" in shown


def test_csv_has_a_column_for_each_figure_and_markdown_a_table(three, command):
    rows = list(csv.DictReader(io.StringIO(command("runs", "--format", "csv")[1])))
    assert [row["config.model.trees"] for row in rows] == ["10", "50", "10"]
    assert float(rows[1]["delta_low"]) < 2 < float(rows[1]["delta_high"])
    assert "| runs/1 | 97.00 " in command("runs", "--format", "md")[1]


def test_markdown_and_html_escape_what_a_folder_is_called(three, command):
    (three / "runs" / "1").rename(three / "runs" / "a|b<i>")
    assert "a\\|b\\<i\\>" in command("runs", "--format", "md")[1]
    html = compare_runs("runs")._repr_html_()
    assert "a|b&lt;i&gt;</a>" in html
    assert 'href="runs/a%7Cb%3Ci%3E"' in html


def test_a_comparison_is_a_frame_with_the_columns_of_the_csv(three, command):
    frame = compare_runs("runs").to_frame()
    assert list(frame["config.model.trees"]) == [10, 50, 10]
    assert list(frame) == command("runs", "--format", "csv")[1].splitlines()[0].split(",")


def test_sorting_and_filtering(three, command):
    def order(*words):
        return [
            run["run"] for run in json.loads(command("runs", "--format", "json", *words)[1])["runs"]
        ]

    assert order("--sort", "accuracy") == ["runs/1", "runs/2", "runs/0"]
    assert order("--sort", "model.trees") == ["runs/0", "runs/2", "runs/1"]
    assert order("--filter", "model.trees=50") == ["runs/0", "runs/1"]
    assert "must be one of" in command("runs", "--sort", "nothing")[2]
    assert "model.trees is one of 10, 50" in command("runs", "--filter", "model.trees=7")[2]
    assert "no run has the key colour" in command("runs", "--filter", "colour=red")[2]


def test_a_group_is_filtered_by_the_option_that_was_chosen(three):
    for name, model in (("0", "rf"), ("1", "forest"), ("2", "rf")):
        (three / "runs" / name / ".hydra" / "hydra.yaml").write_text(
            f"hydra: {{runtime: {{choices: {{model: {model}}}}}}}"
        )
    assert [run.name for run in compare_runs("runs", filters=["model=forest"]).runs] == [
        "runs/0",
        "runs/1",
    ]


def test_any_run_can_be_the_baseline(three):
    found = compare_runs("runs", baseline="runs/1")
    assert [run.name for run in found.runs] == ["runs/1", "runs/0", "runs/2"]
    assert found.runs[1].difference.verdict == "worse"


def test_all_pairs_are_adjusted_together(three):
    pairs = compare_runs("runs", all_pairs=True).pairs
    assert [(pair.a, pair.b) for pair in pairs] == [
        ("runs/0", "runs/1"),
        ("runs/0", "runs/2"),
        ("runs/1", "runs/2"),
    ]
    assert pairs[0].difference.p_holm == pytest.approx(3 * pairs[0].difference.p)


def test_jobs_are_in_the_order_of_their_numbers_and_count_once(here):
    for job in range(12):
        write_run(here / "sweep" / str(job), wrong_at((job, 50)))
    (here / "sweep" / "loop").symlink_to(here / "sweep")
    found = compare_runs(["sweep", "sweep/3", "sw*/1?"])
    assert [run.name for run in found.runs] == [f"sweep/{job}" for job in range(12)]


def test_latest_and_patterns_name_runs(three):
    (three / "outputs").mkdir()
    point_latest(three / "outputs", Run(three / "runs" / "1"))
    assert [run.name for run in compare_runs(["latest", "runs/[02]"]).runs] == [
        "runs/1",
        "runs/0",
        "runs/2",
    ]


def test_a_search_stands_for_its_best_and_with_val_for_its_trials(here):
    write_run(here / "plain", wrong_at((0, 50)))
    for trial in range(2):
        write_run(here / "search" / str(trial), wrong_at((0, 10 + trial)), split="val")
    write_run(here / "search" / "best", wrong_at((0, 20)))
    (here / "search" / "optimization_results.yaml").touch()
    assert [run.name for run in compare_runs(["plain", "search"]).runs] == ["plain", "search/best"]
    assert [run.name for run in compare_runs("search", split="val").runs] == [
        "search/0",
        "search/1",
    ]
    shutil.rmtree(here / "search" / "best")
    with pytest.raises(UserError, match="search/best"):
        compare_runs(["plain", "search"])


# -- seeds -------------------------


def write_seeds(folder, errors, **config):
    for seed, (first, last) in enumerate(errors):
        write_run(folder / str(seed), wrong_at((first, last)), seed=seed, **config)


def test_seeds_are_paired_by_seed(here):
    write_seeds(here / "a", [(0, 100), (0, 110), (0, 120)])
    write_seeds(here / "b", [(0, 90), (0, 98), (0, 110)], augment={"_target_": "a.shift"})
    own, other = compare_runs(["a", "b"]).groups
    assert (own.is_baseline, other.name, other.pairs) == (True, "augment=shift", 3)
    assert own.mean == pytest.approx(1 - 110 / N)
    assert other.delta == pytest.approx(100 * np.mean([10, 12, 10]) / N)
    d = 100 * np.array([10, 12, 10]) / N  # t(0.975, 2) = 4.302653
    half = 4.302653 * d.std(ddof=1) / 3**0.5
    assert (other.delta_interval.low, other.delta_interval.high) == pytest.approx(
        (d.mean() - half, d.mean() + half), rel=1e-6
    )
    assert other.verdict == "better"
    assert (
        json.loads(json.dumps(to_json(compare_runs(["a", "b"]))))["groups"][1]["delta_interval"][0]
        > 0
    )


def test_seeds_that_change_nothing_are_deterministic(here):
    write_seeds(here / "a", [(0, 100)] * 3)
    write_seeds(here / "b", [(0, 90)] * 3, augment={"_target_": "a.shift"})
    own, other = compare_runs(["a", "b"]).groups
    assert (own.deterministic, own.interval, other.delta_interval) == (True, None, None)
    assert other.verdict.startswith("deterministic")


def test_one_seed_in_common_is_no_basis_and_any_key_can_group(here):
    write_seeds(here / "a", [(0, 100)])
    write_seeds(here / "b", [(0, 90), (0, 80)], augment={"_target_": "a.shift"})
    assert (
        compare_runs(["a", "b"]).groups[1].verdict
        == "no interval: 1 seed in common with the baseline"
    )
    for trees in (1, 2):
        write_run(
            here / "c" / str(trees),
            wrong_at((0, trees)),
            model={"_target_": "s.Forest", "trees": trees},
        )
    assert compare_runs("c", group_by="model.trees").groups[0].values == ["1", "2"]


def test_two_seeds_that_happen_to_agree_prove_little(here):
    write_seeds(here / "a", [(0, 101), (1, 102)])
    write_seeds(here / "b", [(0, 100), (1, 101)], augment={"_target_": "a.shift"})
    group = compare_runs(["a", "b"]).groups[1]
    assert (group.verdict, group.delta) == ("not distinguishable", pytest.approx(100 / N))
    half = (
        12.7062047 * 100 / N / 12**0.5 / 2**0.5
    )  # t(0.975, 1) and the spread of rounding to whole images
    assert group.delta_interval.high == pytest.approx(100 / N + half)


def write_splits(folder, errors, **config):
    for split_seed, count in enumerate(errors):
        run = write_run(
            folder / str(split_seed),
            wrong_at((0, count)),
            sha=str(split_seed) * 64,
            split="val",
            dataset={"_target_": "mnist_exp.data.mnist", "split_seed": split_seed},
            **config,
        )
        metrics = json.loads((run.path / "metrics.json").read_text())
        (run.path / "metrics.json").write_text(json.dumps(metrics | {"data": {"n_train": 5 * N}}))


def test_resampled_splits_are_paired_and_their_overlap_widens_the_interval(here):
    write_splits(here / "a", [100, 110, 120, 90])
    write_splits(here / "b", [90, 98, 110], augment={"_target_": "a.shift"})
    found = compare_runs(["a", "b"], split="val", group_by="dataset.split_seed")
    assert [run.name for run in found.runs] == ["a/0", "b/0"]
    assert found.skipped == []
    group = found.groups[1]
    d = 100 * np.array([10, 12, 10]) / N
    half = (
        4.302653 * ((1 / 3 + 1 / 5) * d.var(ddof=1)) ** 0.5
    )  # Nadeau and Bengio: t(0.975, 2), n_test / n_train = 1/5
    assert (group.pairs, group.delta) == (3, pytest.approx(d.mean()))
    assert (group.delta_interval.low, group.delta_interval.high) == pytest.approx(
        (d.mean() - half, d.mean() + half)
    )
    assert len(compare_runs(["a", "b"], split="val").skipped) == 5


# -- what cannot be compared -------------------------

BROKEN = {
    "truncated": lambda run: (run / "predictions_test.npz").write_bytes(
        (run / "predictions_test.npz").read_bytes()[:300]
    ),
    "no predictions": lambda run: (run / "predictions_test.npz").unlink(),
    "no json": lambda run: (run / "status.json").write_text("{"),
    "no object": lambda run: (run / "status.json").write_text("[[]]"),
    "deep json": lambda run: (run / "metrics.json").write_text("[" * 100_000),
    "missing key": lambda run: (run / "metrics.json").write_text('{"test": {}}'),
    "odd metrics": lambda run: (run / "metrics.json").write_text('{"test": 3}'),
    "accuracy is no number": lambda run: (run / "metrics.json").write_text(
        '{"test": {"accuracy": NaN}}'
    ),
    "no metrics": lambda run: (run / "metrics.json").unlink(),
    "schema": lambda run: (run / "status.json").write_text(
        (run / "status.json").read_text().replace('"schema": 1', '"schema": 9')
    ),
    "newer schema": lambda run: (run / "status.json").write_text(
        '{"schema": 2, "phase": "completed"}'
    ),
    "device": lambda run: [
        (run / "status.json").unlink(),
        (run / "status.json").symlink_to("/dev/zero"),
    ],
    "pipe": lambda run: [(run / "metrics.json").unlink(), os.mkfifo(run / "metrics.json")],
    "huge json": lambda run: os.truncate(run / "metrics.json", 2**30),
    "bad yaml": lambda run: (run / ".hydra" / "config.yaml").write_text("a: [1"),
    "yaml list": lambda run: (run / ".hydra" / "config.yaml").write_text("- 1"),
    "endless yaml": lambda run: (run / ".hydra" / "config.yaml").write_text("a: &a [*a]"),
    "huge yaml": lambda run: (run / ".hydra" / "config.yaml").write_text(
        "a0: &a0 [0, 0]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
    ),
    "shapes": lambda run: np.savez(
        run / "predictions_test.npz", label=LABEL, prediction=LABEL[:9], split_sha256="a" * 64
    ),
    "numbers": lambda run: np.savez(
        run / "predictions_test.npz", label=LABEL, prediction=LABEL - 5, split_sha256="a" * 64
    ),
    "floats": lambda run: np.savez(
        run / "predictions_test.npz", label=LABEL, prediction=LABEL * 1.0, split_sha256="a" * 64
    ),
    "array missing": lambda run: np.savez(
        run / "predictions_test.npz", label=LABEL, prediction=LABEL
    ),
    "objects": lambda run: np.savez(
        run / "predictions_test.npz", label=LABEL, prediction=LABEL.astype(object), split_sha256="a"
    ),
    "loop": lambda run: [
        (run / "status.json").unlink(),
        (run / "status.json").symlink_to("status.json"),
    ],
    "other labels": lambda run: np.savez(
        run / "predictions_test.npz", label=LABEL[::-1], prediction=LABEL, split_sha256="a" * 64
    ),
    "other split": lambda run: np.savez(
        run / "predictions_test.npz", label=LABEL, prediction=LABEL, split_sha256="b" * 64
    ),
    "other size": lambda run: np.savez(
        run / "predictions_test.npz", label=LABEL[:10], prediction=LABEL[:10], split_sha256="a" * 64
    ),
    "failed": lambda run: Run(run).finish("failed", "no luck"),
    "running elsewhere": lambda run: rewrite_status(run, state="running", host="elsewhere"),
    "stale": lambda run: [
        rewrite_status(run, state="running", host="elsewhere"),
        os.utime(run / "status.json", (1, 1)),
    ],
}


def rewrite_status(run, **changes):
    path = run / "status.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_folder_is_skipped_with_the_reason_and_disturbs_nobody(three, kind):
    run = write_run(three / "runs" / "1b", LABEL)
    BROKEN[kind](run.path)
    found = compare_runs("runs")
    assert [run.name for run in found.runs] == ["runs/0", "runs/1", "runs/2"]
    assert [skipped.run for skipped in found.skipped] == ["runs/1b"]
    assert found.skipped[0].reason
    with pytest.raises(UserError):
        compare_runs(["runs/1b", "runs/2"])


def test_the_reason_names_a_schema_of_another_version(three):
    BROKEN["newer schema"](write_run(three / "runs" / "3", LABEL).path)
    assert compare_runs("runs").skipped[0].reason == "runs/3 has run schema 2; this version reads 1"


def test_a_predictions_file_is_not_unpacked_without_bounds(three, monkeypatch):
    monkeypatch.setattr("mnist_exp.runs._reading.MOST_UNPACKED", 10**6)
    run = write_run(three / "runs" / "3", LABEL)
    arrays = dict(np.load(run.path / "predictions_test.npz"))
    np.savez_compressed(run.path / "predictions_test.npz", **arrays, more=np.zeros(10**6))
    assert "it unpacks to 8 MB" in compare_runs("runs").skipped[0].reason


def test_a_configuration_that_cannot_be_read_in_parts_is_read_whole(three):
    text = yaml.safe_dump(CONFIG) + "late: &late\n  lr: .nan\nlater: *late\n'quoted key': 1\n"
    (three / "runs" / "1" / ".hydra" / "config.yaml").write_text(text)
    found = compare_runs("runs").runs[1]
    assert found.changes == "late.lr=nan later.lr=nan quoted key=1"


def test_what_no_json_can_hold_is_text_or_left_out(three, command):
    text = yaml.safe_dump(CONFIG) + "rate: .nan\nlimit: .inf\n"
    (three / "runs" / "1" / ".hydra" / "config.yaml").write_text(text)
    (three / "runs" / "1" / "metrics.json").write_text(
        '{"test": {"accuracy": 0.97}, "time": {"fit_s": Infinity, "\\ud800": 1.0}}'
    )
    status, stdout, _ = command("runs", "--format", "json")
    found = json.loads(stdout)["runs"][1]
    assert (status, found["config"]["rate"], found["config"]["limit"], found["time"]) == (
        0,
        "nan",
        "inf",
        {},
    )


def test_a_reason_is_one_line_that_cannot_steer_the_terminal(three, command):
    rewrite_status(
        write_run(three / "runs" / "3", LABEL).path,
        state="failed",
        error="\x1b[31m\n" + "no luck " * 999,
    )
    for words in (["runs"], ["runs", "--format", "json"], ["runs/3", "runs"]):
        status, stdout, stderr = command(*words)
        assert "\x1b" not in stdout + stderr
        assert max(map(len, (stdout + stderr).splitlines())) < 1000
    assert (status, stderr.count("\n")) == (2, 2)


def test_a_folder_copied_without_its_configuration_compares_all_the_same(three):
    shutil.rmtree(three / "runs" / "1" / ".hydra")
    found = compare_runs("runs").runs[1]
    assert (found.changes, found.difference.verdict) == ("configuration not recorded", "better")


def test_not_comparable_exits_2_with_the_reason(three, command):
    write_run(three / "other", LABEL, sha="b" * 64)
    write_run(three / "trial", LABEL, split="val")
    (three / "empty").mkdir()
    for words, reason in [
        (["runs/0"], "no other run"),
        (["runs/0", "runs/0"], "no other run"),
        (["runs/0", "other"], "other test data"),
        (["runs/0", "trial"], "--split val"),
        (["trial", "runs/0"], "no predictions of the test split"),
        (["empty", "runs"], "there is none at or below empty"),
        (["runs", "--html", "nowhere/page.html"], "there is no folder nowhere"),
        (["nowhere", "runs"], "nowhere: no such run"),
        (["runs", "--split", "val"], "no predictions of the val split"),
    ]:
        status, stdout, stderr = command(*words, "--fail-if-worse")
        assert (status, stdout) == (2, "")
        assert reason in stderr
        assert "Traceback" not in stderr


def test_the_gates(three, command):
    assert command("runs", "--fail-if-worse")[0] == 0
    assert command("runs", "--baseline", "runs/1", "--fail-if-worse")[0] == 1
    assert command("runs", "--noninferior", "0.5")[0] == 0
    status, _, stderr = command("runs", "--noninferior", "0.1")
    assert status == 1
    assert "runs/2: may be" in stderr
    assert command("runs", "--noninferior", "-1")[0] == 2
    assert command("runs", "--noninferior", "nan")[0] == 2


def test_a_gate_stays_shut_where_there_is_no_evidence(three, command):
    write_run(three / "broken", LABEL, state="failed")
    status, _, stderr = command("runs", "broken", "--fail-if-worse")
    assert status == 1
    assert "broken: no run there could be compared" in stderr
    assert command("runs", "broken")[0] == 0
    assert command("runs/0", "runs/1", "--baseline", "runs/0", "--fail-if-worse")[0] == 0
    assert command("runs/0", "runs/0", "runs/1", "--noninferior", "1")[0] == 0


# -- the command as a process, the library, speed -------------------------


def test_the_command_runs_as_a_process_and_starts_fast(three):
    environment = os.environ | {"PYTHONPATH": str(Path(mnist_exp.__file__).parents[1])}
    command = [
        sys.executable,
        "-W",
        "error",
        "-X",
        "importtime",
        "-m",
        "mnist_exp.compare",
        "runs",
        "--format",
        "json",
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert len(json.loads(done.stdout)["runs"]) == 3
    assert [
        slow
        for slow in ("sklearn", "matplotlib", "hydra", "omegaconf", "scipy.stats")
        if f" {slow}\n" in done.stderr
    ] == []


def test_the_library_is_imported_on_first_use(three):
    code = (
        "import mnist_exp, sys; assert 'numpy' not in sys.modules;"
        "print(*(run.name for run in mnist_exp.compare_runs('runs').runs))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(mnist_exp.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "runs/0 runs/1 runs/2\n"
    with pytest.raises(AttributeError, match="nothing"):
        _ = mnist_exp.nothing


def test_three_hundred_runs_take_a_second(here):
    write_run(here / "runs" / "0", wrong_at((0, 100)))
    for number in range(1, 300):
        shutil.copytree(here / "runs" / "0", here / "runs" / str(number))
    started = time.process_time()
    assert len(compare_runs("runs").runs) == 300
    assert time.process_time() - started < 2
