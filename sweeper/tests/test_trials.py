"""What lives and what is dead: trials of other machines and versions, and the winner's last run."""

import os
import shutil
import time
from pathlib import Path

import optuna
import pytest
from hydra.errors import CompactHydraException

from hydra_optuna_search.machine import Process
from hydra_optuna_search.study import open_storage
from hydra_optuna_search.trials import WORKER
from tests.conftest import n_trials, square

SEARCH = ["x=interval(0,1)"]
GRID = ["x=range(0,3)", "hydra/sweeper/sampler=grid"]


@pytest.fixture
def left_elsewhere(sweep):
    """Begin a trial as another machine's process would, its heartbeat some seconds old."""

    def begin(age):
        folder = sweep(n_trials(1), *SEARCH).folder
        study = optuna.load_study(study_name="search", storage=open_storage(None, folder))
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        trial.set_user_attr(WORKER, {"host": "elsewhere", "pid": 1, "started": 0.0})
        (folder / ".alive" / "1").touch()
        os.utime(folder / ".alive" / "1", times=(0, time.time() - age))

    return begin


def test_a_trial_of_another_machine_is_repeated_when_its_heartbeat_has_stopped(
    sweep, left_elsewhere
):
    left_elsewhere(age=121)
    found = sweep(n_trials(3), *SEARCH)
    assert found.column("state") == ["completed", "stale", "completed", "completed"]
    assert found.column("x")[1] == found.column("x")[2]


def test_a_trial_of_another_machine_that_beats_is_left_alone(sweep, left_elsewhere, capsys):
    left_elsewhere(age=0)
    found = sweep(n_trials(3), *SEARCH, "hydra.sweeper.timeout=2")
    assert found.column("state") == ["completed", "running", "completed"]
    assert "still running in another process" in capsys.readouterr().err


def test_no_heartbeat_is_left_when_trials_end(sweep):
    assert not list((sweep(n_trials(2), *GRID).folder / ".alive").iterdir())


def test_the_winner_runs_once_more_and_again_only_when_another_wins(sweep):
    runs = []

    def job(cfg):
        runs.append(cfg.x)
        return square(cfg)

    words = [*GRID, "hydra.sweeper.refit=true", "hydra.sweeper.direction=maximize"]
    sweep(n_trials(1), *words, job=job)
    found = sweep(n_trials(1), *words, job=job)
    assert len(runs) == 2
    sweep(n_trials(3), *words, job=job)
    assert len(runs) == (4 if runs[0] == 2 else 5)
    assert runs[-1] == 2
    assert (found.folder / "best-1").exists() == (runs[0] != 2)


def test_a_process_is_told_from_a_later_one_with_its_number():
    this = Process.current()
    assert not this.is_dead()
    assert Process(this.host, this.pid, this.started - 60).is_dead()
    assert not Process(this.host, this.pid, this.started + 60).is_dead()  # a clock was set back
    assert not Process("elsewhere", 1, 0.0).is_dead()


def test_a_search_that_0_1_0_began_goes_on_to_its_total_or_is_refused_with_the_reason(
    sweep, tmp_path
):
    (tmp_path / "sweep").mkdir()
    journal = Path(__file__).parent / "data" / "study-0.1.0.journal"
    shutil.copy(journal, tmp_path / "sweep" / "study.journal")
    with pytest.raises(CompactHydraException, match=r"begun with interval\(0,1\), now"):
        sweep(n_trials(3), "x=interval(0,2)")
    found = sweep(n_trials(3), *SEARCH)
    assert found.column("state") == ["completed"] * 3
    assert found.column("folder") == ["0", "1", "2"]
