"""`progress.json`: what a run says of itself while it works, and what that costs."""

import json
import logging
import threading
import time
from pathlib import Path

import pytest

from mnist_exp.process import LogFile, Stages
from mnist_exp.runs import Progress, Run


def read(folder):
    return json.loads((folder / "progress.json").read_text())


def wait_for(condition, seconds=5):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_says_stage_share_seconds_and_the_validation_metrics(tmp_path):
    with Progress(tmp_path) as progress:
        with Stages(bars=False, watcher=progress.show)("fit") as advance:
            advance(0.25)
            progress.show("fit", 0.5, {"accuracy": 0.9, "log_loss": float("inf")})
            progress.write()
        content = read(tmp_path)
    assert (content["stage"], content["share"], content["val"]) == ("fit", 0.5, {"accuracy": 0.9})
    assert [point["share"] for point in content["curve"]] == [0.5]
    assert content["seconds"] >= 0
    assert not (tmp_path / "progress.json").exists()


def test_a_run_that_fails_leaves_how_far_it_was(tmp_path):
    def fail():
        with Progress(tmp_path) as progress:
            progress.show("fit", 0.75)
            raise ValueError("no luck")

    with pytest.raises(ValueError, match="no luck"):
        fail()
    assert read(tmp_path)["share"] == 0.75


def test_it_is_written_at_most_once_a_second_and_the_curve_is_bounded(tmp_path):
    writes = set()
    with Progress(tmp_path) as progress:
        until = time.monotonic() + 2.2
        while time.monotonic() < until:
            progress.show("fit", 0.1, {"accuracy": 0.5})
            if (tmp_path / "progress.json").exists():
                writes.add((tmp_path / "progress.json").stat().st_mtime_ns)
            time.sleep(0.002)
        progress.write()
        assert len(read(tmp_path)["curve"]) <= 200
    assert 2 <= len(writes) <= 4


def test_a_folder_that_went_away_disturbs_no_training(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    with Progress(folder) as progress:
        folder.rmdir()
        progress.show("fit", 0.5)
        wait_for(lambda: "progress" not in {thread.name for thread in threading.enumerate()})


@pytest.mark.parametrize(
    "words",
    [
        ("search=random", "search.n_trials=1", "search.refit=false"),
        pytest.param(("launcher=joblib", "seed=0,1", "n_jobs=1", "-m"), marks=pytest.mark.slow),
    ],
)
def test_a_job_tells_its_progress_while_it_runs(start, words):
    process = start("dataset=digits", "model=mlp", "model.max_iter=4000", "model.tol=0", *words)
    found = []

    def fitting():
        found[:] = list(start.home.rglob("progress.json"))
        return bool(found) and json.loads(found[0].read_text())["stage"] == "fit"

    wait_for(fitting, 60)
    assert Run(found[0].parent).state == "running"
    process.terminate()
    process.wait()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_a_log_that_cannot_be_written_is_closed_so_that_nothing_warns_of_it_later():
    log = LogFile("/dev/full")
    stream = log.stream
    record = logging.LogRecord("x", logging.INFO, "", 0, "a line", None, None)
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        log.handle(record)
    assert stream.closed
    log.close()
