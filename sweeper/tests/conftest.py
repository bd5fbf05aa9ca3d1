"""What the tests of the sweeper share: searches in this process and in processes of their own."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra

APP = Path(__file__).parent / "app"
# "none" and not "disabled", which would silence the loggers of every later test of this process.
QUIET = ["hydra/job_logging=none", "hydra/hydra_logging=none", "hydra.job.chdir=false"]


class SweepFolder:
    """What a search left."""

    def __init__(self, folder):
        self.folder = Path(folder)

    @property
    def results(self):
        return yaml.safe_load((self.folder / "optimization_results.yaml").read_text())

    @property
    def rows(self):
        with (self.folder / "summary.csv").open() as file:
            return list(csv.DictReader(file))

    def column(self, name):
        return [row[name] for row in self.rows]


def n_trials(number):
    return f"hydra.sweeper.n_trials={number}"


def square(cfg):
    return float(cfg.x) ** 2 + float(cfg.y) ** 2


@pytest.fixture
def sweep(tmp_path):
    """Run a search in this process; returns what its folder says."""

    def run(*words, job=square, folder="sweep"):
        GlobalHydra.instance().clear()
        hydra = Hydra.create_main_hydra2("app", create_config_search_path(str(APP / "conf")))
        where = tmp_path / folder
        try:
            hydra.multirun("config", job, [f"hydra.sweep.dir='{where.as_posix()}'", *QUIET, *words])
        finally:
            GlobalHydra.instance().clear()
        return SweepFolder(where)

    return run


@pytest.fixture
def start(tmp_path):
    """Start the application as a process in an empty folder; none outlives the test."""
    processes = []

    def command(*words, folder="sweep"):
        line = [sys.executable, str(APP / "app.py"), "-m", f"hydra.sweep.dir={folder}", *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes.append(subprocess.Popen(line, cwd=tmp_path, **pipes))
        return processes[-1]

    command.home = tmp_path
    yield command
    for process in processes:
        process.kill()
        process.communicate()
