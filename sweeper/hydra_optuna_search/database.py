"""A study in a database: the driver, heartbeats, and patience with a server that is away."""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from filelock import FileLock
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage, get_storage
from optuna.storages._heartbeat import BaseHeartbeat
from sqlalchemy import create_engine, func, select
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.pool import NullPool

from hydra_optuna_search.errors import SearchError
from hydra_optuna_search.machine import HEARTBEAT_SECONDS, STALE_SECONDS

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 300.0  # a restart of a server takes seconds, its move to another machine minutes
RETRY_SECONDS = 1.0
LOCK = 7_640_105  # the key of the advisory lock, one for all studies of a database
LOCKABLE = ("sqlite", "postgresql", "postgres")
CLASHES = 10  # of processes that find an empty database together


def open_database(address: str, patient: bool, lock: AbstractContextManager[Any]) -> BaseStorage:
    """Open a database, trying for minutes if `patient`; raises what its driver raises."""
    if address.partition("://")[::2] in (("sqlite", ""), ("sqlite", "/"), ("sqlite", "/:memory:")):
        raise SearchError(
            f"storage={address}: a database in memory is lost with the process; "
            "name a file, sqlite:///..."
        )
    if address.partition("://")[0].partition("+")[0] not in LOCKABLE:
        raise SearchError(
            f"storage={without_password(address, address)} cannot be opened: only a journal file, "
            "sqlite:/// and postgresql:// have a lock that all processes of a search share"
        )
    began, clashes = time.monotonic(), 0
    while True:
        try:
            with lock:  # the first makes the tables
                return PatientStorage(get_storage(_connect(address)), address)
        except OperationalError:
            if not patient or time.monotonic() > began + PATIENCE_SECONDS:
                raise
        except (IntegrityError, ProgrammingError):  # another process makes the tables right now
            clashes += 1
            if clashes == CLASHES:
                raise
        time.sleep(RETRY_SECONDS)


def _connect(address: str) -> BaseStorage:
    # A server that was started again has forgotten its connections.
    sqlite = address.startswith("sqlite")
    options: dict[str, Any] = (
        {"connect_args": {"timeout": 60}} if sqlite else {"pool_pre_ping": True}
    )
    return RDBStorage(
        _with_driver(address),
        engine_kwargs=options,
        heartbeat_interval=HEARTBEAT_SECONDS,
        grace_period=STALE_SECONDS,
    )


def _with_driver(address: str) -> str:
    scheme, _, rest = address.partition("://")
    if scheme not in ("postgresql", "postgres"):
        return address
    if find_spec("psycopg") is None:  # it reads PGPASSWORD and .pgpass
        raise SearchError('storage=postgresql://... needs a driver: pip install "psycopg[binary]"')
    return f"postgresql+psycopg://{rest}"


def database_lock(address: str) -> AbstractContextManager[Any] | None:
    """A lock that all processes on one database share; None where there is no such lock."""
    if address.startswith(("postgresql", "postgres:")):
        return ServerLock(address)
    file = make_url(address).database if address.startswith("sqlite:///") else None
    # What is wrong with the address is said when it is opened.
    if not file or file.startswith((":", "file:")) or not Path(file).absolute().parent.is_dir():
        return None
    return FileLock(f"{Path(file).absolute()}.search.lock")


class ServerLock(AbstractContextManager[None]):
    """PostgreSQL's advisory lock; the server frees it when the connection goes."""

    def __init__(self, address: str) -> None:
        self._address, self._depth, self._answered = address, 0, False

    def __enter__(self) -> None:
        if self._depth == 0:
            # A server that never answered is a mistake; one that did is waited for.
            self._connection = (
                _patiently(self._address, self._take) if self._answered else self._take()
            )
            self._answered = True
        self._depth += 1

    def _take(self) -> Connection:
        connection = create_engine(_with_driver(self._address), poolclass=NullPool).connect()
        connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
        return connection

    def __exit__(self, *error: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._connection.close()


def password_in(address: str) -> str | None:
    """The password in an address, as it is written there; None if there is none."""
    credentials = address.partition("://")[2].rpartition("@")[0]
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        return credentials or None
    if url.password is not None:
        return credentials.partition(":")[2] or None
    return address.partition("password=")[2].partition("&")[0] or None


def without_password(text: str, address: str) -> str:
    """A text that may hold an address, or what its driver says of it, as it may be shown."""
    secret = password_in(address)
    return text.replace(secret, "***") if secret else text


def short_cause(error: Exception) -> str:
    """The first line of what went wrong in a driver."""
    return str(error.__cause__ or error).strip().partition("\n")[0]


def _delegating(name: str) -> Callable[..., Any]:
    def method(self: "PatientStorage", *arguments: Any, **keywords: Any) -> Any:
        return self.ask(name, *arguments, **keywords)

    return method


# A storage each of whose methods is one call of `ask`, whatever methods this Optuna has.
_Delegating: Any = type(
    "_Delegating",
    (BaseStorage, BaseHeartbeat),
    {
        name: _delegating(name)
        for kind in (BaseStorage, BaseHeartbeat)
        for name, method in vars(kind).items()
        if callable(method) and not name.startswith("__")
    },
)


class PatientStorage(_Delegating):  # type: ignore[misc]
    """A storage that waits for its server, in one place instead of at each call."""

    def __init__(self, storage: BaseStorage, address: str) -> None:
        self._storage, self._address = storage, address

    def ask(self, name: str, /, *arguments: Any, **keywords: Any) -> Any:
        """Call a method of the storage, again and again while the server does not answer."""
        return _patiently(
            self._address, lambda: getattr(self._storage, name)(*arguments, **keywords)
        )


def _patiently(address: str, call: Callable[[], Any]) -> Any:
    """Call again and again while the server does not answer."""
    deadline = None
    while True:
        try:
            return call()
        except IntegrityError:  # an answer, not a silence
            raise
        except UpdateFinishedTrialError:
            if deadline is None:
                raise
            return True  # the server had done it before its answer was lost
        except (StorageInternalError, DBAPIError) as error:
            server = without_password(address, address)
            cause = without_password(short_cause(error), address)
            if deadline is None:
                deadline = time.monotonic() + PATIENCE_SECONDS
                message = "%s does not answer (%s); trying for %.0f s"
                log.warning(message, server, cause, PATIENCE_SECONDS)
            elif time.monotonic() > deadline:
                raise SearchError(
                    f"storage={server} has not answered for {PATIENCE_SECONDS:.0f} s: {cause}"
                ) from error
            time.sleep(RETRY_SECONDS)
