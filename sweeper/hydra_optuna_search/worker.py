"""One process's share of a search: run trials as Hydra jobs until the budget is spent."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig
from optuna import TrialPruned
from optuna.trial import FrozenTrial, Trial, TrialState

from hydra_optuna_search.errors import JobLost, LaunchRefused, Pruned, SearchError
from hydra_optuna_search.pruning import Reporter, reporting
from hydra_optuna_search.settings import Settings
from hydra_optuna_search.space import Space
from hydra_optuna_search.study import quiet
from hydra_optuna_search.trials import ERROR, TrialQueue, failed, finished

FEWEST = 4  # trials that a failure rate is of, at least


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
                self.queue.give_back(trial)
                raise
            after_each()

    def _run(self, trial: Trial) -> None:
        words = self._words(trial)
        pruner = self.settings.pruner
        reporter = None if pruner == "none" else Reporter(trial, paired=pruner == "wilcoxon")
        state, values = TrialState.FAIL, None
        try:
            with reporting(reporter), self.queue.beating(trial):
                (result,) = self._launcher.launch([words], initial_job_idx=trial.number)
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
        except Exception as error:
            trial.set_user_attr(ERROR, f"{type(error).__name__}: {error}")
        except SystemExit as error:
            trial.set_user_attr(ERROR, f"the job called sys.exit({error.code!r})")
        self.queue.study.tell(trial, values, state, skip_if_finished=True)

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
        """The job's return value as numbers; raises what the job raised, or ValueError."""
        returned = returned_value(result)
        n_values = len(self.settings.metrics)
        numbers = returned if n_values > 1 else [returned]
        if not isinstance(numbers, Sequence) or len(numbers) != n_values:
            raise ValueError(f"the job returned {returned!r} where {n_values} numbers are needed")
        try:
            values = [float(number) for number in numbers]
        except (TypeError, ValueError) as error:
            raise ValueError(f"the job returned {returned!r}, which is not a number") from error
        if any(map(math.isnan, values)):
            raise ValueError(f"the job returned {returned!r}")
        return values


def returned_value(result: JobReturn) -> Any:
    """Return what a job returned, or raise what it raised (`return_value` would print it first)."""
    if result.status == JobStatus.FAILED:
        raise result._return_value
    return result.return_value


def check_failures(trials: Sequence[FrozenTrial], settings: Settings, n_trials: int) -> None:
    """SearchError, with the first failure's reason, if more trials failed than may."""
    failures = [trial for trial in trials if failed(trial)]
    n_finished = sum(map(finished, trials))
    bearable = settings.max_failure_rate * max(n_finished, min(n_trials, FEWEST))
    if failures and (len(failures) > bearable or len(failures) >= n_trials):
        first = failures[0]
        raise SearchError(
            f"{len(failures)} of {n_finished} trials failed "
            f"(max_failure_rate={settings.max_failure_rate:g}). "
            f"The first, trial {first.number} with {first.params}: {first.user_attrs[ERROR]}"
        )
