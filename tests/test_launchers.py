"""Launchers: joblib's processes of this machine; what is missing or senseless is refused before a
folder is claimed.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from mnist_exp.process import cpus, divided
from mnist_exp.runs import find_runs

ROOT = Path(__file__).parents[1]
QUICK = ["-m", "dataset=digits", "dataset.train_size=100", "model=rf", "hydra.sweep.dir=sweep"]


def train(
    home, *words, code="import runpy; runpy.run_module('mnist_exp.train', run_name='__main__')"
):
    line = [sys.executable, "-c", f"import sys; {code}", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MNIST_EXP_CACHE": str(home / "cache")}
    return subprocess.run(
        line, cwd=home, env=environment, capture_output=True, text=True, check=False
    )


def test_joblib_runs_a_grid_and_one_failure_stops_no_other(tmp_path):
    done = train(
        tmp_path, *QUICK, "model.n_estimators=5,-1,6", "launcher=joblib", "hydra.launcher.n_jobs=2"
    )
    assert done.returncode == 1
    assert done.stdout == "sweep\n"
    assert "error: model: The 'n_estimators' parameter" in done.stderr
    runs = find_runs(tmp_path / "sweep")
    assert [run.state for run in runs] == ["completed", "failed", "completed"]
    assert len({run.status.pid for run in runs}) == 2
    assert (tmp_path / "outputs" / "latest").resolve() in [runs[0].path, runs[2].path]


@pytest.mark.parametrize(
    ("words", "hidden", "message"),
    [
        (
            ["launcher=joblib"],
            "hydra_plugins.hydra_joblib_launcher",
            'pip install "mnist-exp[joblib]"',
        ),
        (
            ["launcher=slurm"],
            "hydra_plugins.hydra_submitit_launcher",
            'pip install "mnist-exp[slurm]"',
        ),
        (
            ["search=random", "search.storage=postgresql://u@127.0.0.1:9/x"],
            "psycopg",
            'pip install "psycopg[binary]"',
        ),
    ],
)
def test_a_library_that_is_missing_is_named_in_one_message(tmp_path, words, hidden, message):
    code = (
        "import importlib.util as util, runpy; find = util.find_spec; "
        f"util.find_spec = lambda name, *rest: None if name == {hidden!r} else find(name, *rest); "
        "runpy.run_module('mnist_exp.train', run_name='__main__')"
    )
    done = train(tmp_path, *QUICK, "model.max_depth=3,4", "model.n_estimators=5", *words, code=code)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    if hidden != "psycopg":  # a search opens its study in its folder
        assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["search=random"], "a search has its own processes"),
        (["hydra.launcher.n_jobs=-1"], "n_jobs=-1: must be null or a whole number"),
        (["hydra.launcher.n_jobs=0"], "n_jobs=0: must be null or a whole number"),
    ],
)
def test_what_joblib_cannot_do_is_refused_in_one_message(finish, words, message):
    done = finish(*QUICK, "model.max_depth=3,4", "model.n_estimators=5", "launcher=joblib", *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (finish.home / "sweep").exists()


@pytest.mark.parametrize("launcher", ["joblib", "slurm"])
def test_a_launcher_of_many_jobs_is_refused_for_one(finish, launcher):
    done = finish("dataset=digits", f"launcher={launcher}")
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == f"error: launcher={launcher} is for -m or search=...: leave it out of a single run\n"
    )
    assert not (finish.home / "outputs").exists()


def test_cpus_follow_slurm_and_are_divided_among_processes(monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    assert cpus() == 1
    monkeypatch.delenv("SLURM_CPUS_PER_TASK")
    whole = cpus()
    with divided(2):
        assert cpus() == max(1, whole // 2)
    assert cpus() == whole


LONG = [*QUICK, "model.n_estimators=40000,40001,5", "launcher=joblib", "hydra.launcher.n_jobs=2"]


@pytest.fixture
def grid(tmp_path, popen):
    """A grid of three on two processes, both at work; and its runs."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MNIST_EXP_CACHE": str(tmp_path / "cache")}
    process = popen([sys.executable, "-m", "mnist_exp.train", *LONG], cwd=tmp_path, env=environment)
    deadline = time.monotonic() + 60
    while len(runs := find_runs(tmp_path / "sweep")) < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.1)
    return process, runs


@pytest.mark.faults
def test_sigterm_ends_a_grid_and_its_runs_say_so(grid, tmp_path):
    process, runs = grid
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 143, stderr
    assert [run.state for run in find_runs(tmp_path / "sweep")] == ["interrupted"] * 2
    assert "Traceback" not in stderr
    assert not any(psutil.pid_exists(run.status.pid) for run in runs)


@pytest.mark.faults
def test_the_table_calls_the_runs_of_a_killed_process_stale(grid):
    process, runs = grid
    os.kill(runs[0].status.pid, signal.SIGKILL)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    table, _, message = stderr.partition("error: ")
    assert table.count("│ stale │") == 2, stderr
    assert "running" not in table
    assert "a process of the grid was killed" in message
    assert "Traceback" not in stderr
