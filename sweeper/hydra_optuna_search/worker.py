"""One process's share of a search: claim a trial, run it as a Hydra job, tell the study, until the
budget is spent.
"""

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus

from mnist_exp.errors import JobLost, LaunchRefused, Pruned, UserError
from hydra_optuna_search.trials import ERROR, Claims, failed, finished
from hydra_optuna_search.database import HEARTBEAT_SECONDS
from hydra_optuna_search.pruning import Reporter, reporting
from hydra_optuna_search.settings import Settings
from hydra_optuna_search.space import Space
from hydra_optuna_search.study import quiet

if TYPE_CHECKING:
    from hydra.plugins.launcher import Launcher
    from omegaconf import DictConfig
    from optuna.trial import FrozenTrial, Trial

log = logging.getLogger(__name__)

FEWEST = 4  # trials that a failure rate is of, at least


class Worker:
    """Runs trials one after another with a launcher of Hydra; the job number is the trial's
    number.
    """

    def __init__(
        self,
        claims: Claims,
        space: Space,
        settings: Settings,
        launcher: "Launcher",
        extend: "Callable[[DictConfig, Trial], None] | None",
        config: "DictConfig",
    ) -> None:
        self.claims, self.space, self.settings = claims, space, settings
        self._launcher, self._extend, self._config = launcher, extend, config

    def work(
        self, until: float | None, after_each: Callable[[], None], go_on: Callable[[], bool]
    ) -> None:
        """Run trials while the budget lasts; none is begun after `until` (a time.time() value)."""
        while (until is None or time.time() < until) and go_on():
            trial = self.claims.next()
            if trial is None:
                return
            try:
                self._run(trial)
            except BaseException:
                self.claims.give_back(trial)
                raise
            after_each()

    def _run(self, trial: "Trial") -> None:
        from optuna.trial import TrialState

        words = self._words(trial)
        reporter = (
            Reporter(trial, self.settings.pruner == "wilcoxon")
            if self.settings.pruner != "none"
            else None
        )
        tell = self.claims.study.tell
        try:
            with reporting(reporter), self._beating(trial):
                (result,) = self._launcher.launch([words], initial_job_idx=trial.number)
            values = self._values(result)
        except LaunchRefused:
            raise
        except JobLost as error:
            self.claims.lose(trial, str(error))
        except Exception as error:
            if _is_pruned(error):
                tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
                return
            message = (
                str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            )
            trial.set_user_attr(ERROR, message)
            tell(trial, state=TrialState.FAIL, skip_if_finished=True)
        except SystemExit as error:
            trial.set_user_attr(ERROR, f"the job called sys.exit({error.code!r})")
            tell(trial, state=TrialState.FAIL, skip_if_finished=True)
        else:
            tell(trial, values, skip_if_finished=True)

    def _words(self, trial: "Trial") -> list[str]:
        with quiet():
            choices = {
                key: parameter.suggest(trial) for key, parameter in self.space.choices.items()
            }
            own = self.space.parameters(choices)
            words = [self.space.choices[key].word(value) for key, value in choices.items()]
            words += [parameter.word(parameter.suggest(trial)) for parameter in own.values()]
            if self._extend is not None:
                self._extend(self._config, trial)
                known = {*choices, *(parameter.name for parameter in own.values())}
                if both := set(trial.params) & set(self.space.fixed):
                    raise UserError(
                        f"{', '.join(sorted(both))}: fixed on the command line and searched as well"
                    )
                words += [
                    f"{key}={value}" for key, value in trial.params.items() if key not in known
                ]
        return [*self.space.fixed.values(), *words]

    def _values(self, result: JobReturn) -> list[float]:
        """The job's return value as numbers; raises what the job raised, or ValueError for what is
        not a number.
        """
        returned = returned_value(result)
        names = self.settings.metrics
        found = returned if len(names) > 1 else [returned]
        if not isinstance(found, Sequence) or len(found) != len(names):
            raise ValueError(f"the job returned {returned!r} where {len(names)} numbers are needed")
        try:
            values = [float(value) for value in found]
        except (TypeError, ValueError) as error:
            raise ValueError(f"the job returned {returned!r}, which is not a number") from error
        if any(math.isnan(value) for value in values):
            raise ValueError(f"the job returned {returned!r}")
        return values

    @contextlib.contextmanager
    def _beating(self, trial: "Trial") -> Iterator[None]:
        """Let a database know, where it wants to, that the trial is alive."""
        from optuna.storages._heartbeat import BaseHeartbeat, is_heartbeat_enabled

        storage = self.claims.storage
        if not is_heartbeat_enabled(storage):
            yield
            return
        assert isinstance(storage, BaseHeartbeat)  # noqa: S101  (what is_heartbeat_enabled has just said)
        over = threading.Event()

        def beat() -> None:
            storage.record_heartbeat(trial._trial_id)
            while not over.wait(HEARTBEAT_SECONDS):
                storage.record_heartbeat(trial._trial_id)

        thread = threading.Thread(target=beat, daemon=True, name="trial heartbeat")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def returned_value(result: JobReturn) -> Any:
    """Return what a job returned, or raise what it raised (the public property prints to stderr
    before it raises).
    """
    if result.status == JobStatus.FAILED:
        raise result._return_value
    return result.return_value


def _is_pruned(error: Exception) -> bool:
    from optuna import TrialPruned

    return isinstance(error, Pruned | TrialPruned)


def check_failures(trials: "Sequence[FrozenTrial]", settings: Settings, n_trials: int) -> None:
    """Raise UserError, with the first failure's reason, if more trials failed than may."""
    failures = [trial for trial in trials if failed(trial)]
    n_finished = sum(finished(trial) for trial in trials)
    if failures and (
        len(failures) > settings.max_failure_rate * max(n_finished, min(n_trials, FEWEST))
        or len(failures) >= n_trials
    ):
        first = failures[0]
        raise UserError(
            f"{len(failures)} of {n_finished} trials failed (max_failure_rate={settings.max_failure_rate:g}). "
            f"The first, trial {first.number} with {first.params}: {first.user_attrs[ERROR]}"
        )
