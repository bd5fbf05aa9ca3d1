"""What a person sees of a search: its plan, a line for each trial, and a bar on a terminal."""

import os
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from optuna.trial import FrozenTrial
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from hydra_optuna_search.machine import console
from hydra_optuna_search.settings import Settings
from hydra_optuna_search.space import Space
from hydra_optuna_search.trials import ERROR, LOG, LOST, TrialQueue, finished, killed

WORDS = {
    "COMPLETE": "completed",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "RUNNING": "running",
    "WAITING": "waiting",
}


def state_word(trial: FrozenTrial) -> str:
    """The trial's state in a word; `stale` for one that was killed and is repeated."""
    return "stale" if killed(trial) else WORDS[trial.state.name]


class SearchProgress:
    """Prints what is new in a study on stderr."""

    def __init__(self, queue: TrialQueue, settings: Settings) -> None:
        self._queue, self._settings = queue, settings
        self._shown = {trial.number for trial in queue.trials() if trial.state.is_finished()}
        self._begun, self._before = time.monotonic(), len(self._shown)
        self._bar = Progress(
            TextColumn("trials"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task("", total=queue.n_trials)

    def __enter__(self) -> Self:
        done = sum(map(finished, self._queue.trials()))
        if self._shown:
            console.print(f"resuming: {done} of {self._queue.n_trials} trials are finished")
        self._bar.start()
        self._bar.update(self._task, completed=done)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
        if isinstance(error, KeyboardInterrupt):
            folder = os.path.relpath(self._queue.folder)
            console.print(
                f"interrupted; to go on: the same command with hydra.sweep.dir={folder}",
                soft_wrap=True,
            )

    def show(self) -> None:
        """Print a line for each trial that has ended since the last call."""
        trials = self._queue.trials()
        ended = [
            trial
            for trial in trials
            if trial.state.is_finished() and trial.number not in self._shown
        ]
        if not ended:
            return
        self._shown |= {trial.number for trial in ended}
        best = self._best(trials)
        for trial in sorted(ended, key=lambda trial: trial.datetime_complete or trial.number):
            console.print(_line(trial, best), highlight=False, markup=False, soft_wrap=True)
        done = sum(map(finished, trials))
        mean = (time.monotonic() - self._begun) / max(len(self._shown) - self._before, 1)
        minutes, seconds = divmod(int(mean * max(self._queue.n_trials - done, 0)), 60)
        left = f"{best}  {minutes}:{seconds:02} left"
        self._bar.update(self._task, completed=done, description=left)

    def _best(self, trials: Sequence[FrozenTrial]) -> str:
        complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
        if len(self._settings.directions) > 1:
            return f"{len(complete)} complete"
        if not complete:
            return "best -"
        sign = 1 if self._settings.directions[0] == "maximize" else -1
        best = max(complete, key=lambda trial: sign * trial.values[0])
        return f"best {best.values[0]:.5g} (trial {best.number})"


def _line(trial: FrozenTrial, best: str) -> str:
    values = " ".join(f"{value:.5g}" for value in trial.values or []) or "-"
    seconds = trial.duration.total_seconds() if trial.duration else 0.0
    params = " ".join(
        f"{key.rpartition('.')[2]}={value:.4g}"
        if isinstance(value, float)
        else f"{key.rpartition('.')[2]}={value}"
        for key, value in trial.params.items()
    )
    reason = trial.user_attrs.get(ERROR) or trial.user_attrs.get(LOST)
    why = f"  {reason}" if reason else ""
    if log := trial.user_attrs.get(LOG):
        kind, _, message = str(reason).partition(": ")
        why = f"  {message} ({kind}; traceback: {os.path.relpath(log)})"
    return (
        f"trial {trial.number:<4} {state_word(trial):<9} {values:<9} {seconds:6.1f} s  "
        f"{best}  {params}{why}"
    )


def show_plan(space: Space, settings: Settings, n_trials: int) -> None:
    """Print the space, the number of trials, and what the application expects of its jobs."""
    title = f"a search of {n_trials} trials"
    table = Table("where", "key", "values", title=title, title_justify="left")
    for key, parameter in space.choices.items():
        table.add_row("always", key, parameter.text)
    for choices in space.branches():
        for key, parameter in space.parameters(choices).items():
            table.add_row(_branch(choices) or "always", key, parameter.text)
    console.print(table)
    if estimate := settings.function("estimate"):
        refit = settings.refit and len(settings.directions) == 1
        for choices in space.branches():
            expected = estimate(space.config(choices), n_trials, settings.n_jobs, refit)
            console.print(f"{_branch(choices) or 'this search'}: {expected}", soft_wrap=True)


def _branch(choices: dict[str, object]) -> str:
    return " ".join(f"{key}={value}" for key, value in choices.items())
