"""The sweeper's processes: workers of one search, several searches on one study, and what a kill
leaves.
"""

import os
import signal
import subprocess
import time

import pytest

from tests.conftest import APP, SweepFolder, n_trials


def wait(process):
    stdout, stderr = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def counted(rows):
    return sum(row["state"] in ("completed", "pruned", "failed") for row in rows)


def test_two_worker_processes_share_the_trials(start):
    log = start.home / "log"
    done = wait(
        start(
            n_trials(8),
            "hydra.sweeper.n_jobs=2",
            "x=range(0,8)",
            "hydra/sweeper/sampler=grid",
            "sleep=0.2",
            f"log={log}",
            "--config-name",
            "config",
        )
    )
    assert done.returncode == 0, done.stderr
    again = f"again: python {APP / 'app.py'} --config-name config "
    assert again + "hydra/sweeper/sampler=grid sleep=0.2 " in done.stderr
    refused = wait(
        start(n_trials(9), "x=range(0,8)", "hydra/sweeper/sampler=grid", "sleep=0.2", f"log={log}")
    )
    assert "configuration: begun with --config-name config, now nothing" in refused.stderr
    found = SweepFolder(start.home / "sweep")
    assert found.column("state") == ["completed"] * 8
    workers = log.read_text().split()
    assert len(set(workers)) == 2
    assert min(workers.count(worker) for worker in set(workers)) >= 2


def test_two_processes_on_one_study_share_its_budget(start):
    both = [start(n_trials(8), "x=interval(0,1)", "sleep=0.2") for _ in range(2)]
    for process in both:
        done = wait(process)
        assert done.returncode == 0, done.stderr
    found = SweepFolder(start.home / "sweep")
    assert found.column("state") == ["completed"] * 8
    assert found.results["best_value"] == min(float(value) for value in found.column("value"))


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_trial_that_kills_its_process_fails_and_the_search_goes_on(start):
    words = [
        n_trials(2),
        "hydra.sweeper.n_jobs=2",
        "x=range(0,2)",
        "hydra/sweeper/sampler=grid",
        "hydra.sweeper.max_failure_rate=1",
    ]
    done = wait(start(*words, "error=kill"))
    assert done.returncode != 0
    assert "its process was killed" in done.stderr
    rows = SweepFolder(start.home / "sweep").rows
    assert [row["state"] for row in rows].count("failed") == 2
    assert [row["state"] for row in rows].count("stale") == 2


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_killed_search_resumes_to_its_total(start, n_jobs):
    words = [n_trials(8), "x=interval(0,1)", "sleep=0.3", f"hydra.sweeper.n_jobs={n_jobs}"]
    process = start(*words)
    journal = start.home / "sweep" / "study.journal"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (
        journal.exists() and journal.read_text().count('"worker"') >= 3
    ):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = wait(start(*words))
    assert done.returncode == 0, done.stderr
    found = SweepFolder(start.home / "sweep")
    assert counted(found.rows) == 8
    assert len({row["x"] for row in found.rows if row["state"] == "completed"}) == 8
    assert found.results["best_value"] == min(
        float(row["value"]) for row in found.rows if row["value"]
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to catch")
def test_an_interrupted_search_gives_its_trial_back(start):
    log = start.home / "log"
    process = start(n_trials(3), "x=interval(0,1)", "sleep=5", f"log={log}")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not log.exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert (
        "to go on: the same command with hydra.sweep.dir=sweep"
        in process.communicate(timeout=30)[1]
    )
    assert SweepFolder(start.home / "sweep").column("state") == ["stale"]
