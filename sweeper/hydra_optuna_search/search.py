"""A search from its command line to its results: compose the space, open the study, run the trials,
sum up.
"""

import functools
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import pairwise, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from mnist_exp.errors import UserError
from mnist_exp.process import write_text
from mnist_exp.runs import redact
from hydra_optuna_search.trials import Claims, Process
from hydra_optuna_search.database import PATIENCE_SECONDS
from hydra_optuna_search.settings import Settings
from hydra_optuna_search.space import Space
from hydra_optuna_search.study import folder_lock, open_storage, open_study, quiet
from hydra_optuna_search.worker import Worker, check_failures

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.study import Study

log = logging.getLogger(__name__)

WHICH_CONFIG = ("--config-name", "-cn", "--config-path", "-cp", "--config-dir", "-cd")


@dataclass(frozen=True)
class Application:
    """What Hydra hands a sweeper: the application that a trial runs."""

    context: HydraContext
    function: TaskFunction
    config: DictConfig
    which: tuple[str, ...]  # the options that name the configuration, such as --config-name

    @property
    def folder(self) -> Path:
        """The sweep folder."""
        return Path(str(self.config.hydra.sweep.dir)).absolute()

    @property
    def command(self) -> list[str]:
        """How the application is started, with the options that say which configuration is
        meant.
        """
        spec = getattr(sys.modules["__main__"], "__spec__", None)
        start = ["python", "-m", spec.name] if spec else ["python", sys.argv[0]]
        return [*start, *self.which]

    def compose(self, words: list[str]) -> DictConfig:
        """Compose a job's configuration."""
        return self.context.config_loader.load_sweep_config(self.config, words)

    def launcher(self) -> Any:
        """Make the launcher that the configuration names."""
        return Plugins.instance().instantiate_launcher(
            config=self.config, hydra_context=self.context, task_function=self.function
        )


def which_configuration(arguments: Sequence[str]) -> tuple[str, ...]:
    """The options of Hydra's own that choose the configuration."""
    return tuple(
        word
        for before, word in pairwise(("", *arguments))
        if word.partition("=")[0] in WHICH_CONFIG or before in WHICH_CONFIG
    )


@dataclass(frozen=True)
class Task:
    """Everything that a worker needs, in this process or in another one."""

    application: Application
    settings: Settings
    words: Sequence[str]
    n_trials: int
    until: float | None
    singletons: Any
    supervisor: Process | None = None

    def space(self) -> Space:
        """What is searched."""
        loader, settings = self.application.context.config_loader, self.settings
        return Space(self.words, loader, self.application.compose, settings.spaces, settings.typed)

    def open(self, space: Space) -> "tuple[Study, BaseStorage]":
        """Open the study, which must be the one that the space describes."""
        folder = self.application.folder
        patience = (
            PATIENCE_SECONDS if self.supervisor else 0.0
        )  # a worker that replaces another does not give up
        storage = open_storage(self.settings.storage, folder, patience)
        name = self.settings.study_name or (
            "search" if self.settings.storage is None else folder.as_posix()
        )
        with folder_lock(folder):
            study = open_study(
                self.settings,
                storage,
                name,
                definition(space, self.settings, self.application.which),
            )
            _enqueue(study, space, self.settings, self.n_trials)
        return study, storage

    def claims(self, space: Space) -> Claims:
        """Open the study and stand in line for its trials."""
        study, storage = self.open(space)
        folder = self.application.folder
        sampler = functools.partial(_sampler, self.settings)
        return Claims(
            study, storage, folder, folder_lock(folder), self.n_trials, sampler, self.supervisor
        )

    def worker(self, claims: Claims | None = None) -> Worker:
        """Make a worker; in another process than the one that made the task, Hydra's state comes
        along.
        """
        if self.supervisor:
            Singleton.set_state(self.singletons)
        space = self.space()
        extend = _function(self.settings.custom_search_space)
        application = self.application
        return Worker(
            claims or self.claims(space),
            space,
            self.settings,
            application.launcher(),
            extend,
            application.config,
        )


def search(application: Application, settings: Settings, arguments: Sequence[str]) -> None:
    """Run a search to its budget and leave its results in the sweep folder."""
    _refuse_password(application.config)
    overrides = OmegaConf.to_yaml(
        application.config.hydra.overrides.hydra
    )  # unresolved: it may hold ${hydra.job.num}
    if "hydra.sweep.subdir=" in overrides:
        raise UserError(
            "hydra.sweep.subdir: a search names its trials' folders by their numbers; set hydra.sweep.dir"
        )
    words = [f"{key}={value}" for key, value in settings.params.items()] + list(arguments)
    until = time.time() + settings.timeout if settings.timeout else None
    task = Task(application, settings, words, settings.n_trials or 0, until, Singleton.get_state())
    space = task.space()
    n_trials = _budget(space, settings)
    task = replace(task, n_trials=n_trials)
    _check(space, settings)
    if settings.plan:
        from hydra_optuna_search.plan import show_plan

        folds = int(OmegaConf.select(application.config, "search.folds") or 1)
        show_plan(
            space,
            settings,
            n_trials,
            folds,
            Path(str(application.config.get("outputs", "outputs"))),
        )
        return
    _run(task, space)


def _run(task: Task, space: Space) -> None:
    from hydra_optuna_search.processes import run_pool
    from hydra_optuna_search.results import conclude, write_summary
    from hydra_optuna_search.progress import Watch

    application, settings = task.application, task.settings
    application.folder.mkdir(parents=True, exist_ok=True)
    claims = task.claims(space)
    _write_multirun(application)
    log.info(
        "study %s of %d trials in %s", claims.study.study_name, task.n_trials, application.folder
    )
    with Watch(claims, settings) as watch:

        def look() -> None:
            watch.show()
            check_failures(claims.trials(), settings, task.n_trials)

        def recover() -> None:
            with claims.lock, quiet():
                claims.recover()

        try:
            going_on = True
            while going_on:
                if settings.n_jobs == 1:
                    task.worker(claims).work(task.until, look, lambda: True)
                else:
                    supervised = replace(task, supervisor=Process.of(os.getpid()))
                    run_pool(supervised, settings.n_jobs, look, recover)
                look()
                going_on = claims.left_by_others(task.until, look)
        finally:
            write_summary(application.folder, claims.trials(), settings)
    conclude(application, settings, claims, space)


def _budget(space: Space, settings: Settings) -> int:
    if not settings.grid:
        return settings.n_trials or 0
    size = sum(1 for _ in _combinations(space))
    return min(size, settings.n_trials or size)


def _combinations(space: Space) -> "Sequence[dict[str, Any]]":
    """Every combination of a grid, branch by branch of a conditional space."""
    groups = {
        key: [choice.value for choice in parameter.choices]
        for key, parameter in space.choices.items()
    }
    found: list[dict[str, Any]] = []
    for values in product(*groups.values()):
        choices = dict(zip(groups, values, strict=True))
        own = {
            parameter.name: parameter.values() for parameter in space.parameters(choices).values()
        }
        if math.prod(map(len, own.values())) > 10**6:
            raise UserError("the grid has more than a million points")
        found += [
            {**choices, **dict(zip(own, point, strict=True))} for point in product(*own.values())
        ]
    return found


def _enqueue(study: "Study", space: Space, settings: Settings, n_trials: int) -> None:
    """The configuration as it stands comes first, so that a search never ends below it; a grid is
    queued whole.

    So is what a larger budget adds to a grid that is resumed.
    """
    trials = study.get_trials(deepcopy=False)
    with quiet():
        if settings.grid:
            there = [
                {**trial.system_attrs.get("fixed_params", {}), **trial.params} for trial in trials
            ]
            points = _combinations(space)
            left = [point for point in points if point not in there]
            wanted = max(0, n_trials - (len(points) - len(left)))
            rng = np.random.default_rng(settings.sampler.keywords.get("seed") or 0)
            for i in sorted(rng.choice(len(left), wanted, replace=False)):
                study.enqueue_trial(left[i])
        elif settings.default_first and not trials:
            study.enqueue_trial(space.default(next(space.branches())))


def _sampler(settings: Settings, begun: int) -> "BaseSampler":
    """A sampler with a seed made of the search's and the number of trials begun.

    One seed alone would, in every worker and after every resume, suggest the same points again. A
    quasi-random sequence is one sequence; its sampler counts in the study.
    """
    from optuna.samplers import BaseSampler, QMCSampler, RandomSampler, TPESampler

    if isinstance(settings.sampler, BaseSampler):
        return settings.sampler
    keywords = {key: value for key, value in settings.sampler.keywords.items() if value is not None}
    seed = keywords.pop("seed", None)
    if settings.grid:
        return RandomSampler(seed)  # every point of a grid is queued
    kind = settings.sampler.func
    if kind is TPESampler and keywords.get("multivariate") is not False:
        keywords = {"multivariate": True, "group": True, **keywords}
    if seed is not None:
        keywords["seed"] = (
            seed
            if kind is QMCSampler
            else int(np.random.SeedSequence([seed, begun]).generate_state(1)[0])
        )
    sampler: BaseSampler = kind(**keywords)
    return sampler


def _check(space: Space, settings: Settings) -> None:
    """Compose every branch once, so that a wrong key is named before anything runs."""
    space.check_groups()
    searched = [
        *space.choices,
        *(key for choices in space.branches() for key in space.parameters(choices)),
    ]
    if settings.typed and not searched and not settings.custom_search_space:
        example = (
            "model.max_depth=4,8"
            if settings.grid
            else "model.alpha='tag(log, interval(1e-6, 1e-2))'"
        )
        raise UserError(
            "there is nothing to search: what is chosen has no space that this search takes, or the command line fixes "
            f"all of it; give some values, such as {example}"
        )
    if settings.kind == "GPSampler" and not find_spec("torch"):
        raise UserError(
            "the Gaussian process needs PyTorch: pip install torch, or take another search"
        )
    if settings.kind == "CmaEsSampler" and len(settings.directions) > 1:
        raise UserError(
            "CMA-ES takes one objective: give one, or take nsga2, tpe or random for several"
        )
    _function(settings.custom_search_space)
    try:
        with quiet():
            _sampler(settings, 0)
    except (TypeError, ValueError) as error:
        raise UserError(f"hydra.sweeper.sampler: {error}") from error


def definition(space: Space, settings: Settings, which: Sequence[str]) -> dict[str, str]:
    """What makes a study the same one when it is resumed: configuration, objective, space, and
    whatever is fixed.
    """
    found = {"metric": ", ".join(settings.metrics), "direction": ", ".join(settings.directions)}
    if which:
        found["configuration"] = " ".join(which)
    if settings.custom_search_space:
        found["custom_search_space"] = settings.custom_search_space
    found |= {
        key: word.partition("=")[2]
        for key, word in space.fixed.items()
        if key.lstrip("+") not in settings.not_compared and key != "search"
    }
    found |= {key: parameter.text for key, parameter in space.choices.items()}
    for choices in space.branches():
        branch = " ".join(f"{key}={value}" for key, value in choices.items())
        for key, parameter in space.parameters(choices).items():
            found[f"{key} ({branch})" if branch else key] = parameter.text
    return found


def _function(name: str | None) -> Callable[..., None] | None:
    """Find the function (config, trial) that `custom_search_space` names."""
    if name is None:
        return None
    from hydra.utils import get_method

    try:
        found: Callable[..., None] = get_method(name)
    except (
        ImportError,
        ValueError,
    ) as error:  # Hydra's own text, in several lines, begins with the name
        raise UserError(
            f"custom_search_space={name}: there is no such function (module.function)"
        ) from error
    return found


def _refuse_password(config: DictConfig) -> None:
    """A password on the command line would be recorded in every folder."""
    text = OmegaConf.to_yaml(
        {"sweeper": config.hydra.sweeper, "overrides": config.hydra.overrides}, resolve=False
    )
    if redact(text) != text:
        raise UserError(
            "the storage's address holds a password, which would be recorded with every trial: set an environment "
            "variable to the address and write storage='${oc.env:MY_VARIABLE}'"
        )


def _write_multirun(application: Application) -> None:
    path = application.folder / "multirun.yaml"
    if not path.exists() or not path.stat().st_size:
        write_text(path, OmegaConf.to_yaml(application.config))
