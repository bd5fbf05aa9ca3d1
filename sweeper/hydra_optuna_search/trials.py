"""Which trial comes next: one budget for all processes of a search, and no trial of a dead process
forgotten.
"""

import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from mnist_exp.errors import UserError
from mnist_exp.runs import Run, alive
from hydra_optuna_search.study import quiet

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

WORKER, ERROR, LOST, ATTEMPT, REPEATS = "worker", "error", "lost", "attempt", "repeats"
ATTEMPTS = 2  # how often a trial that kills its process is tried while the search goes on
CLAIM_SECONDS = 120  # between a trial's beginning and the note of who runs it lie milliseconds, or a server's restart
POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Process:
    """One process, told from a later one with the same number by its start."""

    host: str
    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> "Process":
        """Describe a process of this machine."""
        return cls(socket.gethostname(), pid, psutil.Process(pid).create_time())

    def dead(self) -> bool:
        """Whether it is known to be gone; of a process elsewhere nothing is known."""
        return self.host == socket.gethostname() and not alive(self.pid, self.started)


def finished(trial: "FrozenTrial") -> bool:
    """Whether the trial counts: it has a value, was pruned, or failed for a reason of its own (not:
    was killed).
    """
    return trial.state.name in ("COMPLETE", "PRUNED") or failed(trial)


def killed(trial: "FrozenTrial") -> bool:
    """Whether the trial was killed or interrupted, so that another one repeats it."""
    return trial.state.name == "FAIL" and ERROR not in trial.user_attrs


def _age(trial: "FrozenTrial") -> float:
    return (datetime.now() - (trial.datetime_start or datetime.now())).total_seconds()


def failed(trial: "FrozenTrial") -> bool:
    """Whether the trial failed for a reason of its own."""
    return trial.state.name == "FAIL" and ERROR in trial.user_attrs


class Claims:
    """Hands out trials to this process; `sampler(n)` makes the sampler of the n-th trial begun."""

    def __init__(
        self,
        study: "Study",
        storage: "BaseStorage",
        folder: Path,
        lock: "BaseFileLock",
        n_trials: int,
        sampler: Callable[[int], "BaseSampler"],
        supervisor: Process | None = None,
    ) -> None:
        self.study, self.storage, self.folder, self.lock = study, storage, folder, lock
        self.n_trials, self._sampler = n_trials, sampler
        mine = asdict(Process.of(os.getpid()))
        self._worker = {**mine, "supervisor": asdict(supervisor) if supervisor else None}

    def trials(self) -> "Sequence[FrozenTrial]":
        """All trials as they stand."""
        return self.study.get_trials(deepcopy=False)

    def next(self) -> "Trial | None":
        """Begin a trial, or None if the budget is spent; what dead processes left is taken up
        first.
        """
        with self.lock, quiet():
            self.recover()
            trials = self.trials()
            if (
                sum(finished(trial) or trial.state.name == "RUNNING" for trial in trials)
                >= self.n_trials
            ):
                return None
            self.study.sampler = self._sampler(
                sum(trial.state.name != "WAITING" for trial in trials)
            )
            trial = self.study.ask()
            trial.set_user_attr(WORKER, self._worker)
            return trial

    def recover(self) -> None:
        """Have the trials of dead processes run again.

        Call this under the lock.
        """
        from optuna.storages import fail_stale_trials

        for trial in self.trials():
            if trial.state.name == "RUNNING" and self._abandoned(trial):
                self._close(trial)
        if self._heartbeats:
            fail_stale_trials(self.study)
        trials = self.trials()
        repeated = {trial.user_attrs[REPEATS] for trial in trials if REPEATS in trial.user_attrs}
        for trial in trials:
            if killed(trial) and trial.number not in repeated:
                self._enqueue(trial)

    def left_by_others(self, until: float | None, look: Callable[[], None]) -> bool:
        """Wait while other processes run the last trials; whether one of them died and left its
        trial to be run.
        """
        while until is None or time.time() < until:
            with self.lock, quiet():
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

    def _watchable(self, trial: "FrozenTrial") -> bool:
        """Whether it would be noticed here if the trial's process died."""
        host = (trial.user_attrs.get(WORKER) or {}).get("host")
        return (
            host == socket.gethostname()
            or self._heartbeats
            or Run(self.folder / str(trial.number)).exists
        )

    def lose(self, trial: "Trial", reason: str) -> None:
        """Close a trial whose job was taken away, so that it is run again by whoever goes on."""
        with self.lock:
            if not self.storage.get_trial(trial._trial_id).state.is_finished():
                trial.set_user_attr(LOST, reason)
                self._close(self.storage.get_trial(trial._trial_id))

    def give_back(self, trial: "Trial") -> None:
        """Close a trial that was interrupted, so that it is run again by whoever goes on."""
        from optuna.trial import TrialState

        self.study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)

    @property
    def _heartbeats(self) -> bool:
        from optuna.storages._heartbeat import is_heartbeat_enabled

        return is_heartbeat_enabled(self.storage)

    def _abandoned(self, trial: "FrozenTrial") -> bool:
        worker = trial.user_attrs.get(WORKER)
        if (
            worker is None
        ):  # killed within a claim, which takes no time; a journal's are made under the lock
            return not self._heartbeats or _age(trial) > CLAIM_SECONDS
        process = Process(worker["host"], worker["pid"], worker["started"])
        if process.host == socket.gethostname():
            return process.dead()
        return not self._heartbeats and self._stale(trial.number)

    def _stale(self, number: int) -> bool:
        try:
            return Run(self.folder / str(number)).state == "stale"
        except UserError:  # an application that leaves no run folders
            return False

    def _close(self, trial: "FrozenTrial") -> None:
        from optuna.trial import TrialState

        if _killed_alone(trial) and trial.user_attrs.get(ATTEMPT, 1) >= ATTEMPTS:
            reason = trial.user_attrs.get(LOST, "its process was killed")
            message = f"{reason}, {ATTEMPTS} times"
            self.storage.set_trial_user_attr(trial._trial_id, ERROR, message)
        self.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)

    def _enqueue(self, trial: "FrozenTrial") -> None:
        params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        attempt = trial.user_attrs.get(ATTEMPT, 1) + _killed_alone(trial)
        self.study.enqueue_trial(params, user_attrs={REPEATS: trial.number, ATTEMPT: attempt})


def _killed_alone(trial: "FrozenTrial") -> bool:
    """Whether its job or worker died while the search that started it went on: then the trial may
    be the reason.
    """
    if LOST in trial.user_attrs:
        return True
    supervisor = (trial.user_attrs.get(WORKER) or {}).get("supervisor")
    return supervisor is not None and not Process(**supervisor).dead()
