"""Grids and searches on a real Slurm of one node (tests/cluster/slurm); scancel, kills, a
requeue.
"""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from mnist_exp.runs import Run, find_runs

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).parents[1]
STARTER = ROOT / "tests" / "cluster" / "slurm"
SLURM = ["launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1"]
QUICK = ["-m", "dataset=digits", "dataset.train_size=300", "hydra.sweep.dir=sweep", *SLURM]


@pytest.fixture(scope="module")
def slurm(debian_root):
    """Slurm's own configuration file; the path is short, for sockets lie beside it."""
    folder = Path(tempfile.mkdtemp(prefix="slurm"))
    subprocess.run([STARTER, "start", folder], check=True)
    yield folder / "slurm.conf"
    subprocess.run([STARTER, "stop", folder], check=True)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def start(tmp_path, slurm, monkeypatch, popen):
    """Start `mnist_exp.train` in an empty folder on Slurm's front end, which is this machine."""
    monkeypatch.setenv("SLURM_CONF", str(slurm))
    monkeypatch.setenv("MNIST_EXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def command(*words, **variables):
        line = [sys.executable, "-m", "mnist_exp.train", *words]
        return popen(line, cwd=tmp_path, env=os.environ | variables)

    command.home = tmp_path
    yield command
    subprocess.run(["scancel", "--user=root"], check=True)


def wait(process):
    stdout, stderr = process.communicate(timeout=280)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def slurm_says(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def until(condition):
    deadline = time.monotonic() + 120
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def running(sweep):
    """The runs at work, with what their status says."""
    return [(run, run.status) for run in find_runs(sweep) if run.state == "running"]


def test_a_job_tells_its_progress_while_it_runs(start):
    process = start(*QUICK, "model=mlp", "model.max_iter=4000", "model.tol=0", "seed=0")

    def fitting():
        files = list((start.home / "sweep").rglob("progress.json"))
        return files and json.loads(files[0].read_text())["stage"] == "fit"

    until(fitting)
    process.terminate()
    wait(process)


def job_of(status):
    """The job of Slurm that a process belongs to."""
    words = Path(f"/proc/{status.pid}/environ").read_text().split("\0")
    told = {key: value for key, _, value in (word.partition("=") for word in words)}
    array = told.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{told['SLURM_ARRAY_TASK_ID']}" if array else told["SLURM_JOB_ID"]


def test_a_grid_of_four_completes_and_threads_follow_the_cpus_given(start):
    done = wait(start(*QUICK, "model=sgd,rf", "augment=none,shift"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "sweep\n"
    arrays = {
        path.name.split("_")[0]
        for path in (start.home / "sweep" / ".submitit").iterdir()
        if "_" in path.name
    }
    assert len(arrays) == 2  # MaxArraySize is 3 there
    runs = find_runs(start.home / "sweep")
    assert [run.state for run in runs] == ["completed"] * 4
    assert (start.home / "outputs" / "latest").resolve() in [run.path for run in runs]
    code = "from mnist_exp.process import cpus; print(cpus())"
    assert slurm_says("srun", "--cpus-per-task=1", sys.executable, "-c", code) == ["1"]


def test_of_a_grid_the_others_go_on_when_one_fails_and_one_is_cancelled(start):
    process = start(*QUICK, "model.n_estimators=10,-1,5000,11")
    cancelled = until(
        lambda: [s for run, s in running(start.home / "sweep") if run.path.name == "2"]
    )
    subprocess.run(["scancel", job_of(cancelled[0])], check=True)
    done = wait(process)
    assert done.returncode == 1
    assert done.stdout == "sweep\n"
    states = {run.path.name: run.state for run in find_runs(start.home / "sweep")}
    assert states == {"0": "completed", "1": "failed", "2": "interrupted", "3": "completed"}
    assert "CANCELLED" in Run(start.home / "sweep" / "2").status.error
    assert "CANCELLED" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_search_survives_scancel_and_a_killed_process(start):
    words = [
        "model=rf",
        "model.max_features=interval(0.05,0.5)",
        "search=random",
        "search.n_trials=12",
    ]
    process = start(*QUICK, *words, "search.n_jobs=4", "model.n_estimators=300")
    sweep = start.home / "sweep"
    first, cancelled = until(lambda: running(sweep))[0]
    subprocess.run(["scancel", job_of(cancelled)], check=True)
    _, victim = until(lambda: [found for found in running(sweep) if found[0].path != first.path])[0]
    os.kill(victim.pid, signal.SIGKILL)
    done = wait(process)
    assert done.returncode == 0, done.stderr
    with (sweep / "summary.csv").open() as file:
        states = [row["state"] for row in csv.DictReader(file)]
    assert sorted(states) == ["completed"] * 12 + ["stale"] * 2
    assert "CANCELLED" in done.stderr
    assert "FAILED" in done.stderr
    assert not running(sweep)
    assert Run(sweep / "best").state == "completed"


def test_a_job_that_slurm_starts_again_takes_its_folder_again(start):
    process = start(*QUICK, "model.n_estimators=2000,10")
    run, status = until(
        lambda: [found for found in running(start.home / "sweep") if found[0].path.name == "0"]
    )[0]
    subprocess.run(["scontrol", "requeue", job_of(status)], check=True)
    done = wait(process)
    assert done.returncode == 0, done.stderr
    assert run.state == "completed"
    assert run.status.run_id != status.run_id


def test_a_job_that_reaches_its_time_limit_fails_with_that_reason(start):
    done = wait(start(*QUICK, "model.n_estimators=10,1000000", "hydra.launcher.timeout_min=1"))
    assert done.returncode == 1
    states = {run.path.name: run.state for run in find_runs(start.home / "sweep")}
    assert states["0"] == "completed"
    assert states["1"] in ("failed", "interrupted")
    assert "time limit" in Run(start.home / "sweep" / "1").status.error
    assert "raise hydra.launcher.timeout_min" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_jobs_end_with_the_command_that_waits_for_them(start):
    process = start(*QUICK, "model.n_estimators=3000,3001")
    until(lambda: running(start.home / "sweep"))
    process.send_signal(signal.SIGTERM)
    assert wait(process).returncode == 143
    until(lambda: not slurm_says("squeue", "-h", "-o", "%i"))
    assert not running(start.home / "sweep")


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_search_that_slurm_refuses_stops_and_the_corrected_command_resumes(start, n_jobs):
    words = [
        *QUICK,
        "model=rf",
        "search=random",
        "search.n_trials=2",
        "search.refit=false",
        f"search.n_jobs={n_jobs}",
    ]
    done = wait(start(*words, "hydra.launcher.partition=nowhere"))
    assert done.returncode == 1
    assert "Slurm refused the job" in done.stderr
    assert "Traceback" not in done.stderr
    assert find_runs(start.home / "sweep") == []
    done = wait(start(*words))
    assert done.returncode == 0, done.stderr
    assert [run.state for run in find_runs(start.home / "sweep")] == ["completed"] * 2
    again = next(line for line in done.stderr.splitlines() if line.startswith("again: "))
    assert "launcher=" not in again


def test_without_accounting_the_launcher_is_refused(start, tmp_path):
    (tmp_path / "bin").mkdir()
    sacct = tmp_path / "bin" / "sacct"
    sacct.write_text("#!/bin/sh\necho 'Slurm accounting storage is disabled' >&2\nexit 1\n")
    sacct.chmod(0o755)
    done = wait(start(*QUICK, "seed=0,1", PATH=f"{tmp_path}/bin:{os.environ['PATH']}"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "sacct says 'Slurm accounting storage is disabled'" in done.stderr
    assert not find_runs(start.home / "sweep")


def test_without_slurm_the_launcher_is_refused(start):
    done = wait(start(*QUICK, "seed=0,1", PATH="/nowhere"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "sbatch is not found" in done.stderr
