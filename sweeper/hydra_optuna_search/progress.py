"""What a person sees while a search runs: a line for each trial, and on a terminal a bar below
them.
"""

import os
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from mnist_exp.process import stderr_console
from hydra_optuna_search.trials import ERROR, LOST, Claims, finished, killed
from hydra_optuna_search.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna.trial import FrozenTrial

WORDS = {
    "COMPLETE": "completed",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "RUNNING": "running",
    "WAITING": "waiting",
}


def state_word(trial: "FrozenTrial") -> str:
    """The trial's state in the words of a run folder; `stale` for one that was killed and is
    repeated.
    """
    return "stale" if killed(trial) else WORDS[trial.state.name]


class Watch:
    """Prints what is new in a study on stderr."""

    def __init__(self, claims: Claims, settings: Settings) -> None:
        self._claims, self._settings = claims, settings
        self._shown = {trial.number for trial in claims.trials() if trial.state.is_finished()}
        self._begun, self._before = time.monotonic(), len(self._shown)
        self._console = stderr_console()
        columns = (
            TextColumn("trials"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
        )
        terminal = sys.stderr.isatty()
        self._bar = Progress(*columns, console=self._console, transient=True, disable=not terminal)
        self._task = self._bar.add_task("", total=claims.n_trials)

    def __enter__(self) -> Self:
        done = sum(map(finished, self._claims.trials()))
        if self._shown:
            self._console.print(f"resuming: {done} of {self._claims.n_trials} trials are finished")
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
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            folder = os.path.relpath(self._claims.folder)
            self._console.print(
                f"interrupted; to go on: the same command with hydra.sweep.dir={folder}",
                soft_wrap=True,
            )

    def show(self) -> None:
        """Print a line for each trial that has ended since the last call."""
        trials = self._claims.trials()
        new = [
            trial
            for trial in trials
            if trial.state.is_finished() and trial.number not in self._shown
        ]
        if not new:
            return
        self._shown |= {trial.number for trial in new}
        best = self._best(trials)
        done = sum(map(finished, trials))
        left = self._left(done)
        for trial in sorted(new, key=lambda trial: trial.datetime_complete or trial.number):
            self._bar.console.print(
                self._line(trial, best), highlight=False, markup=False, soft_wrap=True
            )
        self._bar.update(self._task, completed=done, description=f"{best}  {left}")

    def _line(self, trial: "FrozenTrial", best: str) -> str:
        values = " ".join(f"{value:.5g}" for value in trial.values or []) or "-"
        seconds = trial.duration.total_seconds() if trial.duration else 0.0
        params = " ".join(
            f"{key.rpartition('.')[2]}={_short(value)}" for key, value in trial.params.items()
        )
        reason = trial.user_attrs.get(ERROR) or trial.user_attrs.get(LOST)
        why = f"  {reason}" if reason else ""
        return f"trial {trial.number:<4} {state_word(trial):<9} {values:<9} {seconds:6.1f} s  {best}  {params}{why}"

    def _best(self, trials: "Sequence[FrozenTrial]") -> str:
        complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
        if len(self._settings.directions) > 1:
            return f"{len(complete)} complete"
        if not complete:
            return "best -"
        sign = 1 if self._settings.directions[0] == "maximize" else -1
        best = max(complete, key=lambda trial: sign * trial.values[0])
        return f"best {best.values[0]:.5g} (trial {best.number})"

    def _left(self, done: int) -> str:
        here = len(self._shown) - self._before
        seconds = (
            (time.monotonic() - self._begun) / max(here, 1) * max(self._claims.n_trials - done, 0)
        )
        return f"{int(seconds) // 60}:{int(seconds) % 60:02} left"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
