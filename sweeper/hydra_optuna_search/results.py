"""What a search leaves in its folder: a table, the best parameters, figures, and the winner run
once more.
"""

import csv
import io
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mnist_exp.errors import UserError
from mnist_exp.process import stderr_console, write_text
from mnist_exp.runs import Run
from hydra_optuna_search.trials import Claims, Process
from hydra_optuna_search.settings import Settings
from hydra_optuna_search.space import Space
from hydra_optuna_search.study import FIRST_JUDGED
from hydra_optuna_search.progress import state_word
from hydra_optuna_search.worker import returned_value

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from hydra_optuna_search.search import Application

RESULTS, SUMMARY, BEST = "optimization_results.yaml", "summary.csv", "best"
REFIT = "refit"  # the study's note of who runs the winner again


def conclude(application: "Application", settings: Settings, claims: Claims, space: Space) -> None:
    """Write the results; the winner is run again by whoever ends the last trial (or the time that
    was given).
    """
    folder = application.folder
    trials = claims.trials()
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    if not any(trial.state.is_finished() for trial in trials):
        raise UserError("no trial was begun in the time given: raise search.timeout")
    if not complete:
        raise UserError(f"no trial has a value: {folder / SUMMARY} lists them")
    write_results(folder, claims, settings, space)
    console = stderr_console()
    if any(trial.state.name == "RUNNING" for trial in trials):
        console.print(
            "Trials are still running in another process, which will conclude the search."
        )
        return
    judged = any(step >= FIRST_JUDGED for trial in trials for step in trial.intermediate_values)
    if settings.pruner in ("median", "hyperband") and not judged:
        console.print(
            f"pruner={settings.pruner}: no trial told how it stood at stage {FIRST_JUDGED} (epochs, tens of trees, "
            "tenths) before its end, so none could be pruned"
        )
    again = None
    if len(settings.directions) == 1:
        best = claims.study.best_trial
        words = refit_words(best, space, settings)
        told = [
            word
            for word in words
            if word.lstrip("+").partition("=")[0] not in settings.not_repeated
        ]
        again = shlex.join([*application.command, *told])
        if settings.refit:
            _refit(application, claims, words, len(trials))
        _say_best(folder, best, space.by_key(best.params), again, settings)
    else:
        _say_solutions(folder, claims, space, settings)
    if settings.report:
        from mnist_exp.report.search_page import write_report

        write_report(folder, claims.study, settings.metrics, again)
        console.print(
            f"report: {os.path.relpath(folder / 'report.html')}", soft_wrap=True, highlight=False
        )


def write_summary(folder: Path, trials: "Sequence[FrozenTrial]", settings: Settings) -> None:
    """Write a row for each trial, in the order of their numbers."""
    keys = list(dict.fromkeys(key for trial in trials for key in trial.params))
    names = (
        ["value"]
        if len(settings.directions) == 1
        else [f"value_{i}" for i in range(len(settings.directions))]
    )
    rows: list[Sequence[Any]] = [["number", "state", *names, "duration_s", *keys, "folder"]]
    for trial in trials:
        values = list(trial.values or []) + [""] * (len(names) - len(trial.values or []))
        seconds = round(trial.duration.total_seconds(), 3) if trial.duration else ""
        params = [trial.params.get(key, "") for key in keys]
        rows.append([trial.number, state_word(trial), *values, seconds, *params, trial.number])
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    write_text(folder / SUMMARY, buffer.getvalue())


def write_results(folder: Path, claims: Claims, settings: Settings, space: Space) -> None:
    """Write the best parameters in hydra-optuna-sweeper's form."""
    found: dict[str, Any] = {"name": "optuna"}
    if len(settings.directions) == 1:
        best = claims.study.best_trial
        found |= {"best_params": space.by_key(best.params), "best_value": best.value}
    else:
        found["solutions"] = [
            {"params": space.by_key(trial.params), "values": list(trial.values)}
            for trial in claims.study.best_trials
        ]
    write_text(folder / RESULTS, yaml.safe_dump(found, sort_keys=False, allow_unicode=True))


def refit_words(trial: "FrozenTrial", space: Space, settings: Settings) -> list[str]:
    """The command line of a trial's configuration, without the search and its validation split."""
    own = space.parameters({key: trial.params[key] for key in space.choices})
    words = {
        key: word
        for key, word in space.fixed.items()
        if not any(
            key.lstrip("+~") == left or key.lstrip("+~").startswith(f"{left}.")
            for left in settings.only_trials
        )
    }
    for key, value in space.by_key(trial.params).items():
        parameter = space.choices.get(key) or own.get(key)
        words[key] = parameter.word(value) if parameter else f"{key}={value}"
    return list(words.values())


def _refit(application: "Application", claims: Claims, words: list[str], number: int) -> None:
    """Run the winner as an ordinary job in `best/`; an earlier winner there, or a dead process's
    run, makes way.
    """
    folder = application.folder / BEST
    mine = Process.of(os.getpid())
    with claims.lock:
        claimed = claims.study.user_attrs.get(REFIT)
        run = Run(folder)
        state = run.state if run.exists else None
        ended = state in ("failed", "interrupted", "stale")
        if claimed and Process(**claimed) != mine and not Process(**claimed).dead() and not ended:
            return  # two processes ended their last trials together
        if state == "running" or (state == "completed" and run.overrides == words):
            return
        if folder.exists():
            folder.rename(
                next(
                    path
                    for i in range(1, 10**6)
                    if not (path := folder.with_name(f"{BEST}-{i}")).exists()
                )
            )
        claims.study.set_user_attr(REFIT, asdict(mine))
    launcher = application.launcher()
    (result,) = launcher.launch([[*words, f"hydra.sweep.subdir={BEST}"]], initial_job_idx=number)
    try:
        returned_value(result)
    except UserError as error:
        raise UserError(
            f"the best trial's parameters could not be fitted on all training data: {error}"
        ) from error


def _say_best(
    folder: Path, best: "FrozenTrial", params: Mapping[str, Any], again: str, settings: Settings
) -> None:
    where = folder / BEST if (folder / BEST).is_dir() else folder / str(best.number)
    _say(
        f"best {settings.metrics[0]}: {best.value:.6g} (trial {best.number})",
        *(f"  {key} = {value}" for key, value in params.items()),
        f"folder: {os.path.relpath(where)}",
        f"again: {again}",
    )


def _say_solutions(folder: Path, claims: Claims, space: Space, settings: Settings) -> None:
    best = claims.study.best_trials
    _say(
        f"{len(best)} solutions that none beats in every objective; none is run again on all training data"
    )
    for trial in best:
        values = " ".join(
            f"{name}={value:.6g}"
            for name, value in zip(settings.metrics, trial.values, strict=True)
        )
        params = " ".join(f"{key}={value}" for key, value in space.by_key(trial.params).items())
        _say(f"  {os.path.relpath(folder / str(trial.number))}: {values}  {params}")


def _say(*lines: str) -> None:
    for line in lines:
        stderr_console().print(line, soft_wrap=True, highlight=False, markup=False)
