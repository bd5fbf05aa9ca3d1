"""What a search leaves: a table, the best parameters, a page, and the winner run once more."""

import csv
import io
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from hydra.errors import CompactHydraException
from optuna.trial import FrozenTrial

from hydra_optuna_search.errors import SearchError
from hydra_optuna_search.machine import Process, console, is_stale, touching, write_text
from hydra_optuna_search.progress import state_word
from hydra_optuna_search.settings import Settings
from hydra_optuna_search.space import Space
from hydra_optuna_search.study import FIRST_JUDGED
from hydra_optuna_search.task import Application, returned_value
from hydra_optuna_search.trials import TrialQueue, folder_of, heartbeat_file

RESULTS, SUMMARY, BEST = "optimization_results.yaml", "summary.csv", "best"
REFIT = "best_run"  # the study's note of who runs the winner again, with which words, to which end


def conclude(application: Application, settings: Settings, queue: TrialQueue, space: Space) -> None:
    """Write the results; whoever ends the last trial runs the winner again."""
    folder, trials = application.folder, queue.trials()
    if not any(trial.state.is_finished() for trial in trials):
        raise SearchError(
            f"no trial was begun within the time given: raise timeout={settings.timeout}"
        )
    if not any(trial.state.name == "COMPLETE" for trial in trials):
        raise SearchError(f"no trial has a value: {folder / SUMMARY} lists them")
    if any(trial.state.name == "RUNNING" for trial in trials):
        _say("Trials are still running in another process, which will conclude the search.")
        return
    judged = any(step >= FIRST_JUDGED for trial in trials for step in trial.intermediate_values)
    if settings.pruner in ("median", "hyperband") and not judged:
        _say(
            f"pruner={settings.pruner}: no trial reported at stage {FIRST_JUDGED} (epochs, tens of "
            "trees, tenths) before its end, so none could be pruned"
        )
    again = None
    if len(settings.directions) == 1:
        best = queue.study.best_trial
        words = refit_words(best, space, settings)
        repeated = list(_without(settings.not_repeated, words).values())
        again = shlex.join([*application.command, *application.run_once(repeated)])
        if settings.refit:
            _refit(application, queue, list(words.values()), len(trials))
        again_in = Path(queue.study.user_attrs.get(REFIT, {}).get("folder", folder / BEST))
        where = again_in if again_in.is_dir() else folder_of(best, folder)
        _say(
            f"best {settings.metrics[0]}: {best.value:.6g} (trial {best.number})",
            *(f"  {key} = {value}" for key, value in space.by_key(best.params).items()),
            f"folder: {os.path.relpath(where)}",
            f"again: {again}",
        )
    else:
        _say_solutions(folder, queue, space, settings)
    if write_report := settings.function("report"):
        write_report(folder, queue.study, settings.metrics, again)
        _say(f"report: {os.path.relpath(folder / 'report.html')}")


def _write_summary(folder: Path, trials: Sequence[FrozenTrial], settings: Settings) -> None:
    """Write a row for each trial, in the order of their numbers."""
    keys = list(dict.fromkeys(key for trial in trials for key in trial.params))
    n_values = len(settings.directions)
    names = ["value"] if n_values == 1 else [f"value_{i}" for i in range(n_values)]
    rows: list[Sequence[Any]] = [["number", "state", *names, "duration_s", *keys, "folder"]]
    for trial in trials:
        values = trial.values or [""] * n_values
        seconds = round(trial.duration.total_seconds(), 3) if trial.duration else ""
        params = [trial.params.get(key, "") for key in keys]
        where = folder_of(trial, folder)
        place = trial.number if where.parent == folder else where
        rows.append([trial.number, state_word(trial), *values, seconds, *params, place])
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    write_text(folder / SUMMARY, buffer.getvalue())


def write_results(folder: Path, queue: TrialQueue, settings: Settings, space: Space) -> None:
    """Write the table, and the best parameters so far in hydra-optuna-sweeper's form."""
    trials = queue.trials()
    _write_summary(folder, trials, settings)
    if not any(trial.state.name == "COMPLETE" for trial in trials):
        return
    results: dict[str, Any] = {"name": "optuna"}
    if len(settings.directions) == 1:
        best = queue.study.best_trial
        results |= {
            "best_params": space.by_key(best.params),
            "best_value": best.value,
            "best_trial": best.number,
            "best_folder": str(folder_of(best, folder)),
        }
    else:
        results["solutions"] = [
            {"params": space.by_key(trial.params), "values": list(trial.values)}
            for trial in queue.study.best_trials
        ]
    write_text(folder / RESULTS, yaml.safe_dump(results, sort_keys=False, allow_unicode=True))


def refit_words(trial: FrozenTrial, space: Space, settings: Settings) -> dict[str, str]:
    """The words of a trial's configuration by key, without the search and its validation split."""
    parameters = space.parameters({key: trial.params[key] for key in space.choices})
    words = _without(settings.only_trials, space.fixed)
    for key, value in space.by_key(trial.params).items():
        parameter = space.choices.get(key) or parameters.get(key)
        words[key] = parameter.word(value) if parameter else f"{key}={value}"
    return words


def _without(left_out: Sequence[str], words: Mapping[str, str]) -> dict[str, str]:
    """Leave out the words of some keys and of what lies below them."""
    return {
        key: word
        for key, word in words.items()
        if not any(f"{key.lstrip('+~')}.".startswith(f"{name}.") for name in left_out)
    }


def _refit(application: Application, queue: TrialQueue, words: list[str], number: int) -> None:
    """Run the winner as an ordinary job in `best/`; what an earlier one left there makes way."""
    folder, study = application.folder / BEST, queue.study
    heartbeat = heartbeat_file(folder)
    with queue.lock:
        record = study.user_attrs.get(REFIT)
        outcome = record and record["outcome"]
        if record and outcome is None:
            process = Process(**record["process"])
            elsewhere = heartbeat_file(Path(record.get("folder", folder)))
            if not process.is_dead() and not is_stale(elsewhere):
                return  # two processes ended their last trials together
        same = record and outcome == "completed" and record["words"] == words
        if same and Path((record or {}).get("folder", folder)).exists():
            return
        if folder.exists():
            names = (folder.with_name(f"{BEST}-{i}") for i in range(1, 10**6))
            folder.rename(next(path for path in names if not path.exists()))
        record = {
            "process": asdict(Process.current()),
            "words": words,
            "outcome": None,
            "folder": str(folder),
        }
        study.set_user_attr(REFIT, record)
    record["outcome"] = "failed"
    words = [*words, f"hydra.sweep.subdir={BEST}"]
    try:
        with touching(heartbeat):
            (result,) = application.launcher().launch([words], initial_job_idx=number)
            returned_value(result)
        record["outcome"] = "completed"
    except CompactHydraException as error:
        raise SearchError(
            f"the best trial's parameters could not be fitted on all training data: {error}"
        ) from error
    finally:
        study.set_user_attr(REFIT, record)


def _say_solutions(folder: Path, queue: TrialQueue, space: Space, settings: Settings) -> None:
    best = queue.study.best_trials
    _say(
        f"{len(best)} solutions that none beats in every objective; "
        "none is run again on all training data"
    )
    for trial in best:
        values = " ".join(
            f"{name}={value:.6g}"
            for name, value in zip(settings.metrics, trial.values, strict=True)
        )
        params = " ".join(f"{key}={value}" for key, value in space.by_key(trial.params).items())
        _say(f"  {os.path.relpath(folder_of(trial, folder))}: {values}  {params}")


def _say(*lines: str) -> None:
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
