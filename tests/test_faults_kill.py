"""Kills at every write of a run, in a download, under a lock; clocks; two processes on a folder."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import psutil
import pytest

from mnist_exp import compare_runs
from mnist_exp.errors import UserError
from mnist_exp.runs import Run, find_runs

pytestmark = [pytest.mark.faults, pytest.mark.skipif(os.name == "nt", reason="SIGKILL")]
ROOT = Path(__file__).parents[1]
DRIVER = ROOT / "tests" / "killed_at.py"
SMALL = ["dataset=digits", "dataset.train_size=100", "n_jobs=1", "model=rf", "model.n_estimators=5"]
HYDRA = [".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml"]
OPENED = [*HYDRA, "train.log"]
CLAIM = [("os.link", "status.json")]
MOVED = """predictions_test.npz confusion_test.csv confusion_test.png per_class.csv errors.csv
    errors.png environment.json model.skops model.json report.html intervals.json metrics.json
    status.json"""
WRITES = [
    *CLAIM,
    *(("open", name) for name in OPENED),
    *(("os.rename", name) for name in MOVED.split()),
]


def start(home, *words, killed_at=None, **variables):
    program = [DRIVER, *killed_at] if killed_at else ["-m", "mnist_exp.train"]
    variables |= {"PYTHONPATH": str(ROOT), "MNIST_EXP_CACHE": str(home / "cache")}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        [sys.executable, *program, *words],
        cwd=home,
        env=os.environ | {"no_proxy": "127.0.0.1"} | variables,
        **pipes,
    )


def wait(process):
    stdout, stderr = process.communicate(timeout=180)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def until(condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with one whole run, in which all the kills below happen."""
    folder = tmp_path_factory.mktemp("kills")
    done = wait(start(folder, *SMALL, "hydra.run.dir=outputs/whole"))
    assert done.returncode == 0, done.stderr
    return folder


def test_every_file_of_a_run_is_killed_at(home):
    written = {
        path.relative_to(home / "outputs/whole").as_posix()
        for path in (home / "outputs/whole").rglob("*.*")
    }
    assert {name for _, name in WRITES} == written - {".hydra"}


@pytest.mark.parametrize(("event", "name"), WRITES, ids=lambda value: value.rpartition("/")[2])
def test_a_run_killed_at_a_write_reads_as_stale(home, event, name):
    folder = home / "outputs" / f"{event}-{Path(name).name}"
    done = wait(start(home, *SMALL, f"hydra.run.dir={folder}", killed_at=(event, name)))
    assert done.returncode == -signal.SIGKILL
    if (event, name) in CLAIM:
        assert not Run(folder).exists
    else:
        assert Run(folder).state == "stale"
    assert not (folder / name).exists() or name in ("status.json", *OPENED)
    assert (home / "outputs" / "latest").resolve() == home / "outputs" / "whole"


def test_after_all_the_kills_the_folder_is_as_good_as_new(home, monkeypatch):
    done = wait(start(home, *SMALL, "seed=1", "hydra.run.dir=outputs/after"))
    assert done.returncode == 0, done.stderr
    assert (home / "outputs" / "latest").resolve() == home / "outputs" / "after"
    monkeypatch.chdir(home)
    assert sorted(run.name for run in compare_runs("outputs").runs) == [
        "outputs/after",
        "outputs/whole",
    ]


def test_a_status_that_was_never_filled_is_no_run(tmp_path):
    (tmp_path / "status.json").touch()
    with pytest.raises(UserError, match="not a readable run"):
        Run(tmp_path).state  # noqa: B018


class Slow(SimpleHTTPRequestHandler):
    """Serves a folder, and halfway through the training images makes the client wait."""

    def copyfile(self, source, outputfile):
        if "train-images" in self.path:
            outputfile.write(source.read(1_000_000))
            (Path(self.directory) / "half").touch()
            time.sleep(3)
        shutil.copyfileobj(source, outputfile)

    def log_message(self, *args):
        """Say nothing."""


def test_a_download_that_is_killed_leaves_nothing_and_is_made_again(tmp_path, mnist_dir, serve):
    shutil.copytree(mnist_dir / "mnist", tmp_path / "server")
    address = serve(partial(Slow, directory=tmp_path / "server"))
    words = [
        "dataset=mnist",
        "dataset.train_size=100",
        "dataset.test_size=100",
        *SMALL[2:],
        "data_dir=data",
    ]
    first = start(tmp_path, *words, MNIST_EXP_MIRRORS=address)
    until(lambda: (tmp_path / "server" / "half").exists())
    first.kill()
    first.communicate()
    assert not list((tmp_path / "data").rglob("*.gz"))
    moved = ("os.rename", "train-labels-idx1-ubyte.gz")
    killed = wait(start(tmp_path, *words, killed_at=moved, MNIST_EXP_MIRRORS=address))
    assert killed.returncode == -signal.SIGKILL
    packed = [path.name for path in (tmp_path / "data").rglob("[!.]*.gz")]
    assert packed == ["train-images-idx3-ubyte.gz"]
    done = wait(start(tmp_path, *words, MNIST_EXP_MIRRORS=address))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("moved", ["-ubyte-", "output.pkl"], ids=["loading", "features"])
def test_a_cache_entry_whose_writer_is_killed_is_made_by_the_next(tmp_path, idx_files, moved):
    words = [
        "-m",
        "dataset=idx",
        f"dataset.path='{idx_files}'",
        "features=hog",
        *SMALL[2:],
        "seed=0,1",
    ]
    held = start(tmp_path, *words, killed_at=("os.rename", ".npy" if moved == "-ubyte-" else moved))
    others = [start(tmp_path, *words) for _ in range(2)]
    assert wait(held).returncode in (0, -signal.SIGKILL)  # 0: another one was quicker
    for other in others:
        done = wait(other)
        assert done.returncode == 0, done.stderr
        assert {run.state for run in find_runs(tmp_path / done.stdout.strip())} == {"completed"}


def test_a_killed_fit_reads_as_stale_and_a_terminated_one_as_interrupted(tmp_path):
    for number, state in ((signal.SIGKILL, "stale"), (signal.SIGTERM, "interrupted")):
        folder = tmp_path / state
        words = [*SMALL[:-1], "model.n_estimators=20000", f"hydra.run.dir={folder}"]
        process = start(tmp_path, *words)
        log = folder / "train.log"
        until(lambda log=log: log.exists() and "features" in log.read_text())
        process.send_signal(number)
        wait(process)
        assert Run(folder).state == state


def test_of_two_processes_with_one_folder_one_gets_it(tmp_path):
    processes = [start(tmp_path, *SMALL, "hydra.run.dir=mine") for _ in range(2)]
    both = [wait(process) for process in processes]
    assert sorted(done.returncode for done in both) == [0, 1]
    assert [done.stdout for done in both if done.returncode == 0] == ["mine\n"]
    assert "holds a run already" in "".join(done.stderr for done in both)
    assert Run(tmp_path / "mine").state == "completed"


def test_a_run_whose_clock_is_set_back_is_alive(tmp_path):
    run = Run.claim(tmp_path / "run", [])
    status = json.loads((run.path / "status.json").read_text())
    later = psutil.Process().create_time() + 3600  # by the clock as it was before
    (run.path / "status.json").write_text(json.dumps(status | {"pid_started": later}))
    assert run.state == "running"


@pytest.fixture
def yesterday(debian_root):
    """The variables by which a process believes that it is a day earlier (Debian's libfaketime)."""
    pattern = "*/faketime/libfaketimeMT.so.1"
    if not any(Path("/usr/lib").glob(pattern)):
        debian_root("libfaketime")
    library = next(Path("/usr/lib").glob(pattern))
    return {"LD_PRELOAD": str(library), "FAKETIME": "-1d"}


def test_a_search_is_resumed_when_the_clock_was_set_back_a_day(tmp_path, yesterday):
    words = [
        *SMALL[:-1],
        "model.n_estimators=interval(5,15)",
        "search=random",
        "hydra.sweep.dir=sweep",
    ]
    words += ["search.refit=false"]
    assert wait(start(tmp_path, *words, "search.n_trials=2")).returncode == 0
    done = wait(start(tmp_path, *words, "search.n_trials=4", **yesterday))
    assert done.returncode == 0, done.stderr
    assert "resuming: 2 of 4 trials are finished" in done.stderr
    with (tmp_path / "sweep" / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["completed"] * 4
    assert all(float(row["duration_s"]) >= 0 for row in rows)
    began = [Run(tmp_path / "sweep" / str(number)).status.started for number in range(4)]
    assert began[3] < began[0]  # the clock was set back indeed
