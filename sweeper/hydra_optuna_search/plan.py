"""`search.plan=true`: what a search would do, how long it would take and how much room, without
starting it.
"""

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.table import Table

from mnist_exp.errors import UserError
from mnist_exp.process import stderr_console
from mnist_exp.runs import Run, find_runs
from hydra_optuna_search.settings import Settings
from hydra_optuna_search.space import Space

KIND = ("model", "features", "augment", "dataset")  # groups that a run's time depends on


def show_plan(space: Space, settings: Settings, n_trials: int, folds: int, outputs: Path) -> None:
    """Print the space, the number of trials, and what earlier runs of the same kind say of time and
    disk.

    The time is that of a fit for each trial and fold, and of one more for the winner.
    """
    console = stderr_console()
    table = Table(
        "where", "key", "values", title=f"a search of {n_trials} trials", title_justify="left"
    )
    for key, parameter in space.choices.items():
        table.add_row("always", key, parameter.text)
    for choices in space.branches():
        branch = " ".join(f"{key}={value}" for key, value in choices.items()) or "always"
        for key, parameter in space.parameters(choices).items():
            table.add_row(branch, key, parameter.text)
    console.print(table)
    for choices in space.branches():
        branch = " ".join(f"{key}={value}" for key, value in choices.items()) or "this search"
        n_fits = n_trials * folds / settings.n_jobs + (
            settings.refit and len(settings.directions) == 1
        )
        console.print(
            f"{branch}: {_expect(space.config(choices), n_trials, n_fits, outputs)}", soft_wrap=True
        )


def _expect(cfg: DictConfig, n_trials: int, n_fits: float, outputs: Path) -> str:
    kind = _kind(
        {name: OmegaConf.to_container(cfg[name], resolve=True) for name in KIND if name in cfg}
    )
    like = [run for run in find_runs(outputs) if _matches(run, kind)]
    if not like:
        return "time and disk unknown: no completed run of this kind to judge by; train one first"
    seconds = statistics.median(run.metrics["time"]["total_s"] for run in like) * n_fits
    size = statistics.median(_bytes(run) for run in like)
    return f"about {seconds / 60:.1f} min, {n_trials * size / 1e6:.1f} MB, judging by {len(like)} earlier runs"


def _kind(config: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a run's time depends on most."""
    dataset = config.get("dataset") or {}
    targets = ((config.get(name) or {}).get("_target_") for name in KIND if name != "dataset")
    return (*targets, dataset.get("name"), dataset.get("train_size"))


def _matches(run: Run, kind: tuple[Any, ...]) -> bool:
    try:
        return (
            run.state == "completed"
            and _kind(run.config) == kind
            and "total_s" in run.metrics["time"]
        )
    except UserError:  # a folder that somebody emptied says nothing of time
        return False


def _bytes(run: Run) -> int:
    """What a trial of this kind leaves: everything but the model, the pictures and the page."""
    kept = (".npz", ".json", ".yaml", ".log")
    return sum(path.stat().st_size for path in run.path.rglob("*") if path.suffix in kept)
