"""Which trial comes next: one budget for all processes of a search, and no trial of a dead process forgotten."""

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from mnist_exp.errors import UserError
from mnist_exp.runs import Run
from mnist_exp.search.study import quiet

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

WORKER, ERROR, ATTEMPT, REPEATS = "worker", "error", "attempt", "repeats"
ATTEMPTS = 2  # how often a trial that kills its process is tried while the search goes on


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
        if self.host != socket.gethostname():
            return False
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.started) > 2 or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True


def finished(trial: "FrozenTrial") -> bool:
    """Whether the trial counts: it has a value, was pruned, or failed for a reason of its own (not: was killed)."""
    return trial.state.name in ("COMPLETE", "PRUNED") or failed(trial)


def killed(trial: "FrozenTrial") -> bool:
    """Whether the trial was killed or interrupted, so that another one repeats it."""
    return trial.state.name == "FAIL" and ERROR not in trial.user_attrs


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
        """Begin a trial, or None if the budget is spent; what dead processes left is taken up first."""
        with self.lock, quiet():
            self.recover()
            trials = self.trials()
            if sum(finished(trial) or trial.state.name == "RUNNING" for trial in trials) >= self.n_trials:
                return None
            self.study.sampler = self._sampler(sum(trial.state.name != "WAITING" for trial in trials))
            trial = self.study.ask()
            trial.set_user_attr(WORKER, self._worker)
            return trial

    def recover(self) -> None:
        """Have the trials of dead processes run again. Call this under the lock."""
        from optuna.storages import fail_stale_trials
        from optuna.storages._heartbeat import is_heartbeat_enabled

        heartbeats = is_heartbeat_enabled(self.storage)
        for trial in self.trials():
            if trial.state.name == "RUNNING" and self._abandoned(trial, heartbeats):
                self._close(trial)
        if heartbeats:
            fail_stale_trials(self.study)
        trials = self.trials()
        repeated = {trial.user_attrs[REPEATS] for trial in trials if REPEATS in trial.user_attrs}
        for trial in trials:
            if killed(trial) and trial.number not in repeated:
                self._enqueue(trial)

    def give_back(self, trial: "Trial") -> None:
        """Close a trial that was interrupted, so that it is run again by whoever goes on."""
        from optuna.trial import TrialState

        self.study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)

    def _abandoned(self, trial: "FrozenTrial", heartbeats: bool) -> bool:
        worker = trial.user_attrs.get(WORKER)
        if worker is None:  # killed within a claim, for claims are made under the lock; databases have heartbeats
            return not heartbeats
        process = Process(worker["host"], worker["pid"], worker["started"])
        return process.dead() or (not heartbeats and self._stale(trial.number))

    def _stale(self, number: int) -> bool:
        try:
            return Run(self.folder / str(number)).state == "stale"
        except UserError:  # an application that leaves no run folders
            return False

    def _close(self, trial: "FrozenTrial") -> None:
        from optuna.trial import TrialState

        if _killed_alone(trial) and trial.user_attrs.get(ATTEMPT, 1) >= ATTEMPTS:
            message = f"its process was killed, {ATTEMPTS} times"
            self.storage.set_trial_user_attr(trial._trial_id, ERROR, message)
        self.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)

    def _enqueue(self, trial: "FrozenTrial") -> None:
        params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        attempt = trial.user_attrs.get(ATTEMPT, 1) + _killed_alone(trial)
        self.study.enqueue_trial(params, user_attrs={REPEATS: trial.number, ATTEMPT: attempt})


def _killed_alone(trial: "FrozenTrial") -> bool:
    """Whether its worker died while the search that started it went on: then the trial itself may be the reason."""
    supervisor = (trial.user_attrs.get(WORKER) or {}).get("supervisor")
    return supervisor is not None and not Process(**supervisor).dead()
