"""Which trial comes next: one budget for all processes, and no trial of a dead one forgotten."""

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, fail_stale_trials
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from hydra_optuna_search.machine import Process, beating, is_stale, touching
from hydra_optuna_search.study import quiet

WORKER, ERROR, LOST, ATTEMPT, REPEATS = "worker", "error", "lost", "attempt", "repeats"
FOLDER = "folder"  # of the trial, wherever the process that ran it was started
REJECTED = "rejected"  # a value that is none: it does not count towards max_failure_rate
LOG, TWIN = "log", "same_as"  # where a defect's traceback is; the trial with the same point
ATTEMPTS = 2  # how often a trial that kills its process is tried while the search goes on
CLAIM_SECONDS = 120  # from a trial's beginning to the note of who runs it: a server's restart
POLL_SECONDS = 1.0


def finished(trial: FrozenTrial) -> bool:
    """Whether the trial counts: it has a value, was pruned, or failed for a reason of its own."""
    return trial.state.name in ("COMPLETE", "PRUNED") or failed(trial)


def failed(trial: FrozenTrial) -> bool:
    """Whether the trial failed for a reason of its own."""
    return trial.state.name == "FAIL" and ERROR in trial.user_attrs


def folder_of(trial: FrozenTrial, sweep: Path) -> Path:
    """Where a trial left its files, whichever command ran it."""
    return Path(trial.user_attrs.get(FOLDER, sweep / str(trial.number)))


def killed(trial: FrozenTrial) -> bool:
    """Whether the trial was killed or interrupted, so that another one repeats it."""
    return trial.state.name == "FAIL" and ERROR not in trial.user_attrs


def heartbeat_file(run: Path) -> Path:
    """The file that is touched while a trial, or the winner's last run, is alive."""
    return run.parent / ".alive" / run.name


class TrialQueue:
    """Hands out trials to this process; `sampler(n)` makes the sampler of the n-th trial begun."""

    def __init__(
        self,
        study: Study,
        storage: BaseStorage,
        folder: Path,
        n_trials: int,
        sampler: Callable[[int], BaseSampler],
        lock: AbstractContextManager[Any],
        supervisor: Process | None = None,
    ) -> None:
        self.study, self.storage, self.folder, self.lock = study, storage, folder, lock
        self.n_trials, self._sampler = n_trials, sampler
        self._worker = {
            **asdict(Process.current()),
            "supervisor": asdict(supervisor) if supervisor else None,
        }
        # A storage that takes heartbeats says which trials are stale; for others files do.
        self._heart: BaseHeartbeat | None = None
        if isinstance(storage, BaseHeartbeat) and storage.get_heartbeat_interval() is not None:
            self._heart = storage

    def trials(self) -> Sequence[FrozenTrial]:
        """All trials as they stand."""
        return self.study.get_trials(deepcopy=False)

    def next(self) -> Trial | None:
        """Begin a trial, one of a dead process first; None if the budget is spent."""
        with self.lock, quiet():
            self.recover()
            trials = self.trials()
            begun = sum(trial.state.name == "RUNNING" or finished(trial) for trial in trials)
            if begun >= self.n_trials:
                return None
            n_begun = sum(trial.state.name != "WAITING" for trial in trials)
            self.study.sampler = self._sampler(n_begun)
            trial = self.study.ask()
            trial.set_user_attr(FOLDER, str(self.folder / str(trial.number)))
            trial.set_user_attr(WORKER, self._worker)
            return trial

    def recover(self) -> None:
        """Have the trials of dead processes run again."""
        with self.lock, quiet():  # which this process may hold already
            for trial in self.trials():
                if trial.state.name == "RUNNING" and self._abandoned(trial):
                    self._close(trial)
            if self._heart:
                fail_stale_trials(self.study)
            trials = self.trials()
            repeated = {trial.user_attrs.get(REPEATS) for trial in trials}
            for trial in trials:
                if killed(trial) and trial.number not in repeated:
                    params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
                    attempt = trial.user_attrs.get(ATTEMPT, 1) + _killed_alone(trial)
                    self.study.enqueue_trial(params, {REPEATS: trial.number, ATTEMPT: attempt})

    def left_by_others(self, until: float | None, look: Callable[[], None]) -> bool:
        """Wait while other processes run the last trials; whether one of them left its trial."""
        while until is None or time.time() < until:
            self.recover()
            trials = self.trials()
            running = [trial for trial in trials if trial.state.name == "RUNNING"]
            if sum(map(finished, trials)) + len(running) < self.n_trials:
                return True
            if not any(map(self._watchable, running)):
                return False
            look()
            time.sleep(POLL_SECONDS)
        return False

    def beating(self, trial: Trial) -> AbstractContextManager[None]:
        """Let other processes know, while the body runs, that the trial is alive."""
        if self._heart:
            return beating(partial(self._heart.record_heartbeat, trial._trial_id))
        return touching(heartbeat_file(self.folder / str(trial.number)))

    def lose(self, trial: Trial, reason: str) -> None:
        """Close a trial whose job was taken away, so that it is run again."""
        with self.lock:
            if not self.storage.get_trial(trial._trial_id).state.is_finished():
                trial.set_user_attr(LOST, reason)
                self._close(self.storage.get_trial(trial._trial_id))

    def _watchable(self, trial: FrozenTrial) -> bool:
        """Whether it would be noticed here if the trial's process died."""
        host = (trial.user_attrs.get(WORKER) or {}).get("host")
        return (
            host == socket.gethostname()
            or self._heart is not None
            or heartbeat_file(folder_of(trial, self.folder)).exists()
        )

    def _abandoned(self, trial: FrozenTrial) -> bool:
        worker = trial.user_attrs.get(WORKER)
        if worker is None:  # killed within a claim, which is quick; a journal's is under the lock
            begun = trial.datetime_start or datetime.now()
            age = (datetime.now() - begun).total_seconds()
            return self._heart is None or age > CLAIM_SECONDS
        process = Process(worker["host"], worker["pid"], worker["started"])
        if process.is_local:
            return process.is_dead()
        return self._heart is None and is_stale(heartbeat_file(folder_of(trial, self.folder)))

    def _close(self, trial: FrozenTrial) -> None:
        if _killed_alone(trial) and trial.user_attrs.get(ATTEMPT, 1) >= ATTEMPTS:
            reason = trial.user_attrs.get(LOST, "its process was killed")
            message = f"{reason}, {ATTEMPTS} times"
            self.storage.set_trial_user_attr(trial._trial_id, ERROR, message)
        self.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)


def _killed_alone(trial: FrozenTrial) -> bool:
    """Whether its job or worker died while the search went on: then the trial may be the reason."""
    if LOST in trial.user_attrs:
        return True
    supervisor = (trial.user_attrs.get(WORKER) or {}).get("supervisor")
    return supervisor is not None and not Process(**supervisor).is_dead()
