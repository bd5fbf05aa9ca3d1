"""Where a search's study lives, what prunes it, and whether it is the one described."""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

import optuna
from filelock import FileLock
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
    WilcoxonPruner,
)
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from hydra_optuna_search.errors import SearchError
from hydra_optuna_search.settings import MIGRATION, Settings

JOURNAL = "study.journal"
DEFINITION = "definition"
FIRST_JUDGED = 4  # stages: forests of 10 or 20 trees rank by chance, and searches lost their best


def search_lock(address: Any, folder: Path) -> AbstractContextManager[Any]:
    """A lock that all processes on one storage share; one that dies loses it. It may be nested."""
    if not isinstance(address, str):
        return FileLock(folder / ".search.lock")
    if "://" not in address:
        return FileLock(f"{Path(address).absolute()}.search.lock")
    from hydra_optuna_search.database import database_lock

    return database_lock(address) or FileLock(folder / ".search.lock")


def open_storage(
    address: Any,
    folder: Path,
    patient: bool = False,
    lock: AbstractContextManager[Any] | None = None,
) -> BaseStorage:
    """Open a journal file, or whatever else Optuna understands; tables are made under the lock.

    A database that does not answer is tried again for minutes if `patient`. SearchError, any
    password blanked, if it cannot be opened.
    """
    if isinstance(address, BaseStorage):
        return address
    if not isinstance(address, str | None):
        raise SearchError(f"storage={address!r}: must be null, an address, or a storage of Optuna")
    name = str(folder / JOURNAL if address is None else address)
    if "://" in name and not name.startswith("sqlite") and name.count("@") > 1:
        # what follows the first would be taken for the host
        raise SearchError(
            "the storage's address has more than one @: write @ in a user's name or a password "
            "as %40"
        )
    try:
        if "://" not in name:
            return _journal(Path(name))
        from hydra_optuna_search.database import open_database

        with quiet():
            return open_database(name, patient, lock or nullcontext())
    except SearchError:
        raise
    except Exception as error:  # each driver has its own, and a file that is no journal raises any
        from hydra_optuna_search.database import short_cause, without_password

        message = f"storage={name} cannot be opened: {short_cause(error)}"
        raise SearchError(without_password(message, name)) from error


def _journal(path: Path) -> BaseStorage:
    path.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{path}.lock").touch()  # where that is impossible, the lock would be waited for forever
    with FileLock(f"{path}.lock"):
        content = path.read_bytes() if path.exists() else b""
        # A process killed while it wrote leaves half a line, after which Optuna refuses the file.
        if content and not content.endswith(b"\n"):
            content = content[: content.rfind(b"\n") + 1]
            with path.open("r+b") as file:
                file.truncate(len(content))
    if first := content.partition(b"\n")[0]:
        json.loads(first)  # Optuna would write to a file that is no journal, and then refuse it
    # Optuna's own locks outlive a killed process by 30 s.
    lock: Any = FileLock(f"{path}.lock")
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Optuna's warnings of what is chosen on purpose: heartbeats, groups, newer parts."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=ExperimentalWarning)
        warnings.filterwarnings("ignore", message="Heartbeat of storage", category=UserWarning)
        warnings.filterwarnings("ignore", message="`constraints_func`", category=FutureWarning)
        yield


def open_study(
    settings: Settings, storage: BaseStorage, name: str, definition: Mapping[str, str]
) -> Study:
    """Create the study, or load it; SearchError shows the difference if it is defined otherwise.

    Call this under the folder's lock.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with quiet():
        study = optuna.create_study(
            study_name=name,
            storage=storage,
            directions=settings.directions,
            load_if_exists=True,
            pruner=make_pruner(settings.pruner),
        )
    recorded = study.user_attrs.get(DEFINITION)
    if recorded is None:
        if study.get_trials(deepcopy=False):
            raise SearchError(
                f"the study {name} was not made by this sweeper, so it may be another search: "
                "name another with study_name=..., and copy the old trials with "
                f"study.add_trials(old.trials) if they are to count ({MIGRATION})"
            )
        study.set_user_attr(DEFINITION, dict(definition))
        if settings.metric is not None:  # else trials_dataframe() has a column "value"
            with quiet():
                study.set_metric_names(list(settings.metrics))
    elif recorded != definition:
        keys = sorted({*recorded, *definition})
        differences = [
            f"  {key}: begun with {recorded.get(key, 'nothing')}, "
            f"now {definition.get(key, 'nothing')}"
            for key in keys
            if recorded.get(key) != definition.get(key)
        ]
        raise SearchError(
            "this folder's search is another one; it can only be resumed as it was begun "
            "(or name another hydra.sweep.dir or study_name):\n" + "\n".join(differences)
        )
    return study


class _WithoutFailures:
    """A study that shows no failed trials."""

    def __init__(self, study: Study) -> None:
        self._study = study

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def get_trials(
        self, deepcopy: bool = True, states: Sequence[TrialState] | None = None
    ) -> list[FrozenTrial]:
        trials = self._study.get_trials(deepcopy, states)
        return [trial for trial in trials if trial.state != TrialState.FAIL]


class FairHalving(SuccessiveHalvingPruner):
    """Leaves failed trials out: all others would lose to a good one that failed at its end."""

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the trial is not among the best of those that came as far."""
        return super().prune(cast("Study", _WithoutFailures(study)), trial)


def make_pruner(name: str) -> BasePruner:
    """Make the pruner that the settings name.

    `hyperband` is Hyperband's first bracket alone, so that every trial is compared with all others:
    of those that reach stage 4 a third go on, and so after stages 12 and 36 (or the next ones that
    are reported).
    """
    match name:
        case "median":
            return MedianPruner(n_startup_trials=4, n_warmup_steps=FIRST_JUDGED)
        case "hyperband":
            return FairHalving(min_resource=FIRST_JUDGED, reduction_factor=3)
        case "wilcoxon":
            return WilcoxonPruner(p_threshold=0.1)
        case _:
            return NopPruner()
