"""Where a search's study lives, and whether it is the one that the command line describes."""

import contextlib
import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_exp.errors import UserError
from mnist_exp.runs import redact
from hydra_optuna_search.database import open_database

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from optuna.pruners import BasePruner
    from optuna.storages import BaseStorage
    from optuna.study import Study

    from hydra_optuna_search.settings import Settings

JOURNAL = "study.journal"
DEFINITION = "definition"
FIRST_JUDGED = 4  # stages: forests of 10 or 20 trees rank too much by chance, and searches lost their best to it


def folder_lock(folder: Path) -> "BaseFileLock":
    """A lock that the processes of a search share; the system takes it from a process that dies."""
    from filelock import FileLock

    return FileLock(folder / ".search.lock")


def open_storage(address: Any, folder: Path, patience: float = 0.0) -> "BaseStorage":
    """Open a journal file or whatever else Optuna understands; UserError, any password blanked, if
    it cannot be.

    A database that does not answer is tried again for `patience` seconds.
    """
    if address is not None and not isinstance(address, str):
        return _opened_object(address)
    if address and "://" in address and not address.startswith("sqlite") and address.count("@") > 1:
        # what follows the first would be taken for the host
        raise UserError(
            "the storage's address has more than one @: write @ in a user's name or a password as %40"
        )
    try:
        with quiet():
            if address is None or "://" not in address:
                return _journal(folder / JOURNAL if address is None else Path(address))
            return open_database(address, patience)
    except UserError:
        raise
    except (
        Exception
    ) as error:  # each database driver has its own, and a file that is no journal raises any
        cause = redact(str(error.__cause__ or error).strip().splitlines()[0])
        name = folder / JOURNAL if address is None else redact(address)
        raise UserError(f"storage={name} cannot be opened: {cause}") from error


def _opened_object(storage: Any) -> "BaseStorage":
    from optuna.storages import BaseStorage

    if not isinstance(storage, BaseStorage):
        raise UserError(f"storage={storage!r}: must be null, an address, or a storage of Optuna")
    return storage


class _SystemLock:
    """The journal's lock; Optuna's own ones outlive a killed process by 30 s."""

    def __init__(self, path: Path) -> None:
        from filelock import FileLock

        self._lock = FileLock(f"{path}.lock")

    def acquire(self) -> bool:
        """Wait for the lock."""
        self._lock.acquire()
        return True

    def release(self) -> None:
        """Let go of it."""
        self._lock.release()


def _journal(path: Path) -> "BaseStorage":
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{path}.lock").touch()  # where that cannot be, the lock would be waited for without end
    _cut_torn_line(path)
    if path.exists() and (first := path.read_bytes().partition(b"\n")[0]):
        json.loads(first)  # Optuna would write to a file that is no journal, and then refuse it
    return JournalStorage(JournalFileBackend(str(path), lock_obj=_SystemLock(path)))  # type: ignore[arg-type]


def _cut_torn_line(path: Path) -> None:
    """A process killed while it wrote leaves half a line, after which Optuna refuses the
    journal.
    """
    from filelock import FileLock

    with FileLock(f"{path}.lock"):
        if path.exists() and (content := path.read_bytes()) and not content.endswith(b"\n"):
            with path.open("r+b") as file:
                file.truncate(content.rfind(b"\n") + 1)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Optuna warns of what is chosen here on purpose: heartbeats outside its loop, grouped spaces,
    newer parts.
    """
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=ExperimentalWarning)
        warnings.filterwarnings("ignore", message="Heartbeat of storage", category=UserWarning)
        yield


def open_study(
    settings: "Settings", storage: "BaseStorage", name: str, definition: Mapping[str, str]
) -> "Study":
    """Create the study, or load it if it is defined in the same way; UserError shows the difference
    if it is not.

    Call this under the folder's lock.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with quiet():
        study = optuna.create_study(
            study_name=name,
            storage=storage,
            directions=settings.directions,
            load_if_exists=True,
            pruner=_pruner(settings),
        )
    recorded = study.user_attrs.get(DEFINITION)
    if recorded is None:
        if study.get_trials(deepcopy=False):
            raise UserError(
                f"the study {name} was not made by this sweeper: name another with study_name=..."
            )
        study.set_user_attr(DEFINITION, dict(definition))
        with quiet():
            study.set_metric_names(list(settings.metrics))
    elif differences := _differences(recorded, definition):
        raise UserError(
            "this folder's search is another one; it can only be resumed as it was begun "
            "(or name another hydra.sweep.dir or study_name):\n" + "\n".join(differences)
        )
    return study


def _differences(recorded: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    keys = [key for key in sorted({*recorded, *wanted}) if recorded.get(key) != wanted.get(key)]
    return [
        f"  {key}: begun with {recorded.get(key, 'nothing')}, now {wanted.get(key, 'nothing')}"
        for key in keys
    ]


def _pruner(settings: "Settings") -> "BasePruner":
    from optuna import pruners

    with quiet():
        match settings.pruner:
            case "median":
                return pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=FIRST_JUDGED)
            case "hyperband":
                # Hyperband's first bracket alone, so that every trial is compared with all others: of those that
                # reach stage 4 a third go on, and so after stages 12 and 36 (or the next ones that are told).
                from hydra_optuna_search.pruners import FairHalving

                return FairHalving(min_resource=FIRST_JUDGED, reduction_factor=3)
            case "wilcoxon":
                return pruners.WilcoxonPruner(p_threshold=0.1)
            case _:
                return pruners.NopPruner()
