"""A search that many processes share through a real PostgreSQL: kills, a restart, a long silence,
and its password.
"""

import csv
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from mnist_exp.runs import Run, find_runs

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).parents[1]
PASSWORD = "correct-horse-battery"  # noqa: S105  (of a server that lives for a minute)
SEARCH = [
    *("dataset=digits", "dataset.train_size=300", "n_jobs=1", "model=rf", "model.n_estimators=10"),
    *("model.max_features=interval(0.05,0.5)", "search=random", "hydra.sweep.dir=sweep"),
]


class Server:
    """A PostgreSQL on the loopback address that asks for a password."""

    def __init__(self, folder):
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
        secret = folder / "password"
        secret.write_text(PASSWORD)
        shutil.chown(folder, "postgres")
        shutil.chown(secret, "postgres")
        self._run("initdb", "-D", folder / "data", "-A", "scram-sha-256", f"--pwfile={secret}")

    def _run(self, program, *arguments):
        command = ["runuser", "-u", "postgres", "--", self._programs / program, *arguments]
        subprocess.run(command, cwd=self.folder, check=True, stdout=subprocess.DEVNULL)

    def control(self, action):
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off "
            f"-c unix_socket_directories={self.folder}"
        )
        log = (
            ["-o", options, "-l", self.folder / "log"] if action == "start" else ["-m", "immediate"]
        )
        self._run("pg_ctl", "-D", self.folder / "data", "-w", *log, action)

    def address(self, password=""):
        return f"postgresql://postgres{password and f':{password}'}@127.0.0.1:{self.port}/postgres"


@pytest.fixture(scope="module")
def server(debian_root):
    """Debian's PostgreSQL, installed if it is not there."""
    if not Path("/usr/lib/postgresql").exists():
        debian_root("postgresql")
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    found = Server(folder)
    found.control("start")
    yield found
    found.control("stop")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def start(tmp_path, server, monkeypatch, popen):
    """Start `mnist_exp.train` as a process; the password is in the file that PostgreSQL's programs
    read.
    """
    secrets = tmp_path / "pgpass"
    secrets.write_text(f"127.0.0.1:*:*:*:{PASSWORD}\n")
    secrets.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(secrets))
    monkeypatch.setenv("MNIST_EXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    home = tmp_path / "home"
    home.mkdir()

    def command(*words, **variables):
        line = [
            sys.executable,
            "-m",
            "mnist_exp.train",
            *SEARCH,
            f"search.study_name={tmp_path.name}",
            *words,
        ]
        return popen(line, cwd=home, env=os.environ | variables, stderr=subprocess.STDOUT)

    command.home = home
    return command


def rows(sweep):
    with (sweep / "summary.csv").open() as file:
        return list(csv.DictReader(file))


def until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def check_whole(sweep, n_trials, at_most):
    """The budget is spent, no configuration was counted twice, and the best one was run again."""
    completed = [row for row in rows(sweep) if row["state"] == "completed"]
    assert n_trials <= len(completed) <= at_most
    assert {row["state"] for row in rows(sweep)} <= {"completed", "stale"}
    assert len({row["model.max_features"] for row in completed}) == len(completed)
    best = max(completed, key=lambda row: float(row["value"]))
    tied = [row["model.max_features"] for row in completed if row["value"] == best["value"]]
    assert Run(sweep / "best").state == "completed"
    assert str(Run(sweep / "best").config["model"]["max_features"]) in tied
    assert not [run for run in find_runs(sweep) if run.state == "running"]


def test_four_workers_spend_one_budget_through_two_kills_and_a_restart(start, server):
    words = [f"search.storage={server.address()}", "search.n_trials=40"]
    workers = [start(*words) for _ in range(4)]
    sweep = start.home / "sweep"
    rng = random.Random(0)
    for number, worker in enumerate(workers[:2]):
        until(lambda number=number: len(find_runs(sweep)) > 8 * number + 4)
        time.sleep(rng.uniform(0, 1))
        worker.send_signal(signal.SIGKILL)
    until(lambda: len(find_runs(sweep)) > 20)
    server.control("restart")
    for worker in workers[2:]:
        output, _ = worker.communicate(timeout=240)
        assert worker.returncode == 0, output
        assert PASSWORD not in output
    check_whole(sweep, 40, at_most=43)


@pytest.mark.faults
def test_a_search_outlives_thirty_seconds_without_its_storage(start, server):
    worker = start(f"search.storage={server.address()}", "search.n_trials=12", "search.n_jobs=2")
    until(lambda: len(find_runs(start.home / "sweep")) > 3)
    server.control("stop")
    time.sleep(30)
    server.control("start")
    output, _ = worker.communicate(timeout=240)
    assert worker.returncode == 0, output
    check_whole(start.home / "sweep", 12, at_most=13)


def test_the_password_is_in_no_file_and_no_output(start, server):
    words = [
        "search.storage=${oc.env:STUDY}",
        "search.n_trials=2",
        "search.n_jobs=2",
        "search.refit=false",
    ]
    for password, code in ((PASSWORD, 0), (f"{PASSWORD}-no-more", 1)):
        process = start(*words, STUDY=server.address(password))
        output, _ = process.communicate(timeout=120)
        assert process.returncode == code, output
        assert PASSWORD not in output
    written = [
        path
        for path in start.home.rglob("*")
        if path.is_file() and PASSWORD.encode() in path.read_bytes()
    ]
    assert written == []
    assert len(rows(start.home / "sweep")) == 2
