"""A search as its worker processes receive it: the application, the space, the study, a sampler."""

import functools
import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np
from hydra._internal.utils import get_args_parser  # the options as Hydra reads them
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf
from optuna import TrialPruned
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from hydra_optuna_search.errors import (
    JobLost,
    LaunchRefused,
    Pruned,
    SearchError,
    ValueRejected,
)
from hydra_optuna_search.machine import Process
from hydra_optuna_search.pruning import Reporter, reporting
from hydra_optuna_search.settings import Settings
from hydra_optuna_search.space import LARGEST_GRID, Space
from hydra_optuna_search.study import open_storage, open_study, quiet, search_lock
from hydra_optuna_search.trials import ERROR, LOG, REJECTED, TWIN, TrialQueue, failed, finished

NEEDED = ("hydra.searchpath=", "hydra/sweeper")  # to compose a configuration that sets their keys
FEWEST = 4  # trials that a failure rate is of, at least


@dataclass(frozen=True)
class Application:
    """What Hydra hands a sweeper: the application that a trial runs."""

    context: HydraContext
    function: TaskFunction
    config: DictConfig

    @property
    def folder(self) -> Path:
        """The sweep folder."""
        return Path(str(self.config.hydra.sweep.dir)).absolute()

    @property
    def which(self) -> tuple[str, ...]:
        """The options that name the configuration, such as --config-name, spelt in one way."""
        given = vars(get_args_parser().parse_known_args(sys.argv[1:])[0])
        names = ("config_path", "config_name", "config_dir")
        return tuple(
            word
            for name in names
            if given[name] is not None
            for word in (f"--{name.replace('_', '-')}", given[name])
        )

    @property
    def command(self) -> list[str]:
        """How the application is started, with the options that name its configuration."""
        main = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)
        if spec is None and not hasattr(main, "__file__"):
            return []  # a notebook, where only the words are of use
        module = spec and spec.name.removesuffix(".__main__")
        start = ["python", "-m", module] if module else ["python", sys.argv[0]]
        return [*start, *self.which]

    def run_once(self, words: list[str]) -> list[str]:
        """The words of a single run: with those that its configuration needs, and no sweep."""
        overrides = OmegaConf.to_container(self.config.hydra.overrides.hydra, resolve=False)
        needed = [word for word in cast("list[str]", overrides) if word.startswith(NEEDED)]
        loader, name = self.context.config_loader, self.config.hydra.job.config_name
        composed = loader.load_configuration(name, [*needed, *words], RunMode.MULTIRUN)
        is_sweep = composed.hydra.mode == RunMode.MULTIRUN
        return [*needed, *words, *(["hydra.mode=RUN"] if is_sweep else [])]

    def compose(self, words: list[str]) -> DictConfig:
        """Compose a job's configuration."""
        return self.context.config_loader.load_sweep_config(self.config, words)

    def launcher(self) -> Any:
        """Make the launcher that the configuration names."""
        return Plugins.instance().instantiate_launcher(
            config=self.config, hydra_context=self.context, task_function=self.function
        )


class Worker:
    """Runs trials one after another with a launcher of Hydra; a job has its trial's number."""

    def __init__(
        self,
        queue: TrialQueue,
        space: Space,
        settings: Settings,
        launcher: Launcher,
        config: DictConfig,
    ) -> None:
        self.queue, self.space, self.settings = queue, space, settings
        self._launcher, self._config = launcher, config
        self._extend = settings.function("custom_search_space")

    def work(
        self, until: float | None, after_each: Callable[[], None], go_on: Callable[[], bool]
    ) -> None:
        """Run trials while the budget lasts; none is begun after `until` (a time.time() value)."""
        while (until is None or time.time() < until) and go_on():
            trial = self.queue.next()
            if trial is None:
                return
            try:
                self._run(trial)
            except BaseException:
                # Closed without a reason, it is run again when the search goes on.
                self.queue.study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
                raise
            after_each()

    def _run(self, trial: Trial) -> None:
        words = self._words(trial)
        state, values = TrialState.FAIL, self._values_of_twin(trial)
        if values:
            self.queue.study.tell(trial, values)
            return
        try:
            with reporting(Reporter(trial, self.settings.pruner)), self.queue.beating(trial):
                (result,) = self._launcher.launch([words], initial_job_idx=trial.number)
            self._log_traceback(trial, result)
            state, values = TrialState.COMPLETE, self._values(result)
        except LaunchRefused:
            raise
        except JobLost as error:
            self.queue.lose(trial, str(error))
            return
        except (Pruned, TrialPruned):
            state = TrialState.PRUNED
        except CompactHydraException as error:  # a mistake, which explains itself
            trial.set_user_attr(ERROR, str(error))
            if isinstance(error, ValueRejected):
                trial.set_user_attr(REJECTED, True)
        except Exception as error:
            trial.set_user_attr(ERROR, f"{type(error).__name__}: {error}")
        except SystemExit as error:
            trial.set_user_attr(ERROR, f"the job called sys.exit({error.code!r})")
        self.queue.study.tell(trial, values, state, skip_if_finished=True)

    def _values_of_twin(self, trial: Trial) -> list[float] | None:
        """With `duplicates=tell`, the values of an earlier trial at the same point."""
        if self.settings.duplicates != "tell":
            return None
        for other in self.queue.trials():
            if other.state == TrialState.COMPLETE and other.params == trial.params:
                trial.set_user_attr(TWIN, other.number)
                return list(other.values)
        return None

    def _log_traceback(self, trial: Trial, result: JobReturn) -> None:
        """Put a defect's traceback in the trial's log; a mistake explains itself."""
        error = result._return_value
        if result.status != JobStatus.FAILED or isinstance(
            error, CompactHydraException | Pruned | TrialPruned
        ):
            return
        hydra = result.hydra_cfg.hydra if result.hydra_cfg else self._config.hydra
        output = OmegaConf.select(hydra, "runtime.output_dir")  # None if the job never began
        log = Path(str(output or self.queue.folder)) / f"{hydra.job.name}.log"
        named = output and OmegaConf.select(hydra, "job_logging.handlers.file.filename")
        log = Path(str(named)) if named else log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.writelines(traceback.format_exception(error))
        trial.set_user_attr(LOG, str(log.absolute()))

    def _words(self, trial: Trial) -> list[str]:
        space = self.space
        with quiet():
            choices = {key: parameter.suggest(trial) for key, parameter in space.choices.items()}
            parameters = space.parameters(choices)
            words = [space.choices[key].word(value) for key, value in choices.items()]
            words += [parameter.word(parameter.suggest(trial)) for parameter in parameters.values()]
            if self._extend is not None:
                self._extend(self._config, trial)
                if both := set(trial.params) & set(space.fixed):
                    raise SearchError(
                        f"{', '.join(sorted(both))}: fixed on the command line and searched as well"
                    )
                known = {*choices, *(parameter.name for parameter in parameters.values())}
                words += [f"{key}={trial.params[key]}" for key in trial.params if key not in known]
        return [*space.fixed.values(), *words]

    def _values(self, result: JobReturn) -> list[float]:
        """The job's return value as numbers; raises what the job raised, or why it is none."""
        returned = returned_value(result)
        n_values = len(self.settings.metrics)
        several = isinstance(returned, Sequence) and not isinstance(returned, str)
        numbers = returned if several else [returned]
        if len(numbers) != n_values:
            wanted = "a number is" if n_values == 1 else f"{n_values} numbers are"
            raise ValueRejected(f"the job returned {returned!r} where {wanted} needed")
        try:
            values = [float(number) for number in numbers]
        except (TypeError, ValueError) as error:
            raise ValueError(f"the job returned {returned!r}, which is not a number") from error
        if any(map(math.isnan, values)):
            raise ValueRejected(f"the job returned {returned!r}")
        return values


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

    def queue(self, space: Space) -> TrialQueue:
        """Open the study, which must be the one that the space describes."""
        settings, folder = self.settings, self.application.folder
        # A worker that replaces another does not give up.
        patient, lock = self.supervisor is not None, search_lock(settings.storage, folder)
        storage = open_storage(settings.storage, folder, patient, lock)
        name = settings.study_name or ("search" if settings.storage is None else folder.as_posix())
        with lock:
            which = self.application.which
            study = open_study(settings, storage, name, definition(space, settings, which))
            _enqueue(study, space, settings, self.n_trials)
        sampler = functools.partial(make_sampler, settings)
        return TrialQueue(study, storage, folder, self.n_trials, sampler, lock, self.supervisor)

    def worker(self, queue: TrialQueue | None = None) -> Worker:
        """Make a worker; in another process than the one that made the task, with Hydra's state."""
        if self.supervisor:
            Singleton.set_state(self.singletons)
        space, application = self.space(), self.application
        queue = queue or self.queue(space)
        return Worker(queue, space, self.settings, application.launcher(), application.config)


def definition(space: Space, settings: Settings, which: Sequence[str]) -> dict[str, str]:
    """What makes a study the same one when it is resumed: objective, space, all that is fixed."""
    values = {"metric": ", ".join(settings.metrics), "direction": ", ".join(settings.directions)}
    if which:
        values["configuration"] = " ".join(which)
    if settings.custom_search_space:
        values["custom_search_space"] = settings.custom_search_space
    values |= {
        key: word.partition("=")[2]
        for key, word in space.fixed.items()
        if key.lstrip("+") not in settings.not_compared
    }
    values |= {key: parameter.text for key, parameter in space.choices.items()}
    for choices in space.branches():
        branch = " ".join(f"{key}={value}" for key, value in choices.items())
        for key, parameter in space.parameters(choices).items():
            values[f"{key} ({branch})" if branch else key] = parameter.text
    return values


def combinations(space: Space) -> list[dict[str, Any]]:
    """Every combination of a grid, branch by branch of a conditional space."""
    groups = {
        key: [choice.value for choice in parameter.choices]
        for key, parameter in space.choices.items()
    }
    points: list[dict[str, Any]] = []
    for chosen in product(*groups.values()):
        choices = dict(zip(groups, chosen, strict=True))
        values = {
            parameter.name: parameter.values() for parameter in space.parameters(choices).values()
        }
        if math.prod(map(len, values.values())) > LARGEST_GRID:
            raise SearchError("the grid has more than a million points")
        points += [
            {**choices, **dict(zip(values, point, strict=True))}
            for point in product(*values.values())
        ]
    return points


def _enqueue(study: Study, space: Space, settings: Settings, n_trials: int) -> None:
    """Queue the configuration as it stands, so that a search never ends below it, or a whole grid.

    So is what a larger budget adds to a grid that is resumed.
    """
    trials = study.get_trials(deepcopy=False)
    with quiet():
        if settings.grid:
            begun = [
                {**trial.system_attrs.get("fixed_params", {}), **trial.params} for trial in trials
            ]
            points = combinations(space)
            left = [point for point in points if point not in begun]
            n_wanted = max(0, n_trials - (len(points) - len(left)))
            rng = np.random.default_rng(settings.sampler_keywords.get("seed") or 0)
            for i in sorted(rng.choice(len(left), n_wanted, replace=False)):
                study.enqueue_trial(left[i])
        elif settings.default_first and not trials:
            study.enqueue_trial(space.default(next(space.branches())))


def make_sampler(settings: Settings, begun: int) -> BaseSampler:
    """A sampler with a seed made of the search's and the number of trials begun.

    One seed alone would, in every worker and after every resume, suggest the same points again. A
    quasi-random sequence is one sequence; its sampler counts in the study.
    """
    keywords = dict(settings.sampler_keywords)
    seed = keywords.pop("seed", None)
    if settings.grid:
        return RandomSampler(seed)  # every point of a grid is queued
    kind = settings.sampler_class
    if kind is TPESampler and keywords.get("multivariate") is not False:
        keywords = {"multivariate": True, "group": True, **keywords}
    if seed is not None and kind is not QMCSampler:
        seed = int(np.random.SeedSequence([seed, begun]).generate_state(1)[0])
    sampler: BaseSampler = kind(**keywords, **({} if seed is None else {"seed": seed}))
    return sampler


def returned_value(result: JobReturn) -> Any:
    """Return what a job returned, or raise what it raised (`return_value` would print it first)."""
    if result.status == JobStatus.FAILED:
        raise result._return_value
    return result.return_value


def check_failures(trials: Sequence[FrozenTrial], settings: Settings, n_trials: int) -> None:
    """SearchError, with the first failure's reason, if more trials failed than may."""
    failures = [t for t in trials if failed(t) and REJECTED not in t.user_attrs]
    n_finished = sum(map(finished, trials))
    bearable = settings.max_failure_rate * max(n_finished, min(n_trials, FEWEST))
    if len(failures) > bearable:
        first = failures[0]
        log = first.user_attrs.get(LOG)
        raise SearchError(
            f"{len(failures)} of {n_finished} trials failed "
            f"(max_failure_rate={settings.max_failure_rate:g}). "
            f"The first, trial {first.number} with {first.params}: {first.user_attrs[ERROR]}"
            + (f"; its traceback is in {os.path.relpath(log)}" if log else "")
        )
