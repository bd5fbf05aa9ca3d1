"""A search from its command line to its results: compose, open the study, run trials, sum up."""

import logging
import os
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from hydra.core.override_parser.types import Transformer
from hydra.core.singleton import Singleton
from omegaconf import DictConfig, OmegaConf

from hydra_optuna_search.errors import SearchError
from hydra_optuna_search.machine import Process, console, write_text
from hydra_optuna_search.processes import STARTING, UNGUARDED, run_processes
from hydra_optuna_search.progress import SearchProgress, show_plan
from hydra_optuna_search.results import conclude, write_results
from hydra_optuna_search.settings import Settings
from hydra_optuna_search.space import Space
from hydra_optuna_search.study import quiet
from hydra_optuna_search.task import Application, Task, check_failures, combinations, make_sampler

log = logging.getLogger(__name__)


def search(application: Application, settings: Settings, arguments: Sequence[str]) -> None:
    """Run a search to its budget and leave its results in the sweep folder."""
    if STARTING in os.environ:
        raise SearchError(UNGUARDED)
    if application.config.hydra.runtime.choices.get("hydra/sweeper") == "mnist_optuna":
        warnings.warn(
            "hydra/sweeper=mnist_optuna is now hydra/sweeper=optuna_search; the old name goes with "
            "the next release",
            FutureWarning,
            stacklevel=2,
        )
    _refuse_password(application.config, settings.storage)
    # Unresolved: it may hold ${hydra.job.num}.
    if "hydra.sweep.subdir=" in OmegaConf.to_yaml(application.config.hydra.overrides.hydra):
        raise SearchError(
            "hydra.sweep.subdir: a search names its trials' folders by their numbers; "
            "set hydra.sweep.dir"
        )
    words = [
        f"{key}={value if isinstance(value, str) else Transformer.str(value)}"
        for key, value in settings.params.items()
    ] + list(arguments)
    until = time.time() + settings.timeout if settings.timeout else None
    task = Task(application, settings, words, settings.n_trials or 0, until, Singleton.get_state())
    space = task.space()
    if settings.grid:
        size = len(combinations(space))
        task = replace(task, n_trials=min(size, settings.n_trials or size))
    _check(space, settings)
    if settings.plan:
        show_plan(space, settings, task.n_trials)
    else:
        _run(task, space)


def _run(task: Task, space: Space) -> None:
    application, settings, folder = task.application, task.settings, task.application.folder
    folder.mkdir(parents=True, exist_ok=True)
    queue = task.queue(space)
    multirun = folder / "multirun.yaml"
    if not multirun.exists() or not multirun.stat().st_size:
        write_text(multirun, OmegaConf.to_yaml(application.config))
    log.info("study %s of %d trials in %s", queue.study.study_name, task.n_trials, folder)
    with SearchProgress(queue, settings) as progress:

        def look() -> None:
            progress.show()
            check_failures(queue.trials(), settings, task.n_trials)

        try:
            going_on = True
            while going_on:
                if settings.n_jobs == 1:
                    task.worker(queue).work(task.until, look, lambda: True)
                else:
                    supervised = replace(task, supervisor=Process.current())
                    run_processes(supervised, settings.n_jobs, look, queue.recover)
                look()
                going_on = queue.left_by_others(task.until, look)
        finally:
            write_results(folder, queue, settings, space)  # on Ctrl-C, the best so far
    conclude(application, settings, queue, space)


def _check(space: Space, settings: Settings) -> None:
    """Compose every branch once, so that a wrong key is named before anything runs."""
    space.check_groups()
    searched = [*space.choices]
    for choices in space.branches():
        searched += space.parameters(choices)
    if not searched and not settings.custom_search_space:
        _say_empty(settings)
    if settings.kind == "GPSampler" and not find_spec("torch"):
        raise SearchError(
            "the Gaussian process needs PyTorch: pip install torch, or take another search"
        )
    if (settings.kind == "QMCSampler" or settings.pruner == "wilcoxon") and not find_spec("scipy"):
        raise SearchError(
            f"{settings.kind} and pruner={settings.pruner} need SciPy: pip install scipy"
        )
    if settings.kind == "CmaEsSampler" and len(settings.directions) > 1:
        raise SearchError(
            "CMA-ES takes one objective: give one, or take nsga2, tpe or random for several"
        )
    try:
        with quiet():
            make_sampler(settings, 0)
    except (TypeError, ValueError) as error:
        raise SearchError(f"hydra.sweeper.sampler: {error}") from error


def _say_empty(settings: Settings) -> None:
    """Refuse nothing where a space was to come; else the job is repeated, as the old sweeper does.

    With `default_first` every trial would be the first one again.
    """
    if not (settings.spaces or settings.grid or settings.default_first):
        console.print(
            "there is nothing to search, so every trial is the same: give values in "
            "hydra.sweeper.params or on the command line, such as x='interval(0,1)'",
            soft_wrap=True,
        )
        return
    example = (
        "model.max_depth=4,8" if settings.grid else "model.alpha='tag(log, interval(1e-6, 1e-2))'"
    )
    raise SearchError(
        "there is nothing to search: what is chosen has no space that this search takes, or "
        f"the command line fixes all of it; give some values, such as {example}"
    )


def _refuse_password(config: DictConfig, storage: Any) -> None:
    """A password that is written in the configuration would be recorded in every folder."""
    if not isinstance(storage, str) or "://" not in storage:
        return
    from hydra_optuna_search.database import password_in

    secret, text = password_in(storage), OmegaConf.to_yaml(config, resolve=False)
    if secret and (f":{secret}@" in text or f"password={secret}" in text):
        raise SearchError(
            "the storage's address holds a password, which would be recorded with every trial: "
            "set an environment variable to the address and write storage='${oc.env:MY_VARIABLE}'"
        )
