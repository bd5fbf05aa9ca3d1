"""A study in a database: the driver, heartbeats, and patience with a server that is away."""

import logging
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage, get_storage
from optuna.storages._heartbeat import BaseHeartbeat
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    OperationalError,
    ProgrammingError,
)

from hydra_optuna_search.errors import SearchError
from hydra_optuna_search.machine import HEARTBEAT_SECONDS, STALE_SECONDS

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 300.0  # a restart of a server takes seconds, its move to another machine minutes
RETRY_SECONDS = 1.0
CLASHES = 10  # of processes that find an empty database together


def open_database(address: str, patient: bool) -> BaseStorage:
    """Open a database, trying for minutes if `patient`; raises what its driver raises."""
    if address.partition("://")[::2] in (("sqlite", ""), ("sqlite", "/"), ("sqlite", "/:memory:")):
        raise SearchError(
            f"storage={address}: a database in memory is lost with the process; "
            "name a file, sqlite:///..."
        )
    began, clashes = time.monotonic(), 0
    while True:
        try:
            return PatientStorage(get_storage(_connect(address)), without_password(address))
        except OperationalError:
            if not patient or time.monotonic() > began + PATIENCE_SECONDS:
                raise
        except (IntegrityError, ProgrammingError):  # another process makes the tables right now
            clashes += 1
            if clashes == CLASHES:
                raise
        time.sleep(RETRY_SECONDS)


def _connect(address: str) -> BaseStorage:
    scheme, _, rest = address.partition("://")
    if scheme in ("postgresql", "postgres"):  # psycopg reads PGPASSWORD and .pgpass
        if find_spec("psycopg") is None:
            raise SearchError(
                'storage=postgresql://... needs a driver: pip install "psycopg[binary]"'
            )
        address = f"postgresql+psycopg://{rest}"
    # A server that was started again has forgotten its connections.
    sqlite = address.startswith("sqlite")
    options: dict[str, Any] = (
        {"connect_args": {"timeout": 60}} if sqlite else {"pool_pre_ping": True}
    )
    return RDBStorage(
        address,
        engine_kwargs=options,
        heartbeat_interval=HEARTBEAT_SECONDS,
        grace_period=STALE_SECONDS,
    )


def password_in(address: str) -> str | None:
    """The part of an address that holds a password, as it is written there; None if none does."""
    before, at, _ = address.partition("://")[2].rpartition("@")
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        return before or None
    if url.password is not None:
        return f":{before.partition(':')[2]}{at}"
    return f"password={url.query['password']}" if "password" in url.query else None


def without_password(address: str) -> str:
    """The address as it may be shown."""
    secret = password_in(address)
    return address.replace(secret, ":***@" if secret[0] == ":" else "***") if secret else address


def short_cause(error: Exception, address: str | None = None) -> str:
    """The first line of what a driver says, without the address's password."""
    line = str(error.__cause__ or error).strip().splitlines()[0]
    secret = address and password_in(address)
    return line.replace(secret.strip(":@"), "***") if secret else line


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

    def __init__(self, storage: BaseStorage, name: str) -> None:
        self._storage, self._name = storage, name

    def ask(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        """Call a method of the storage, again and again while the server does not answer."""
        deadline = None
        while True:
            try:
                return getattr(self._storage, name)(*arguments, **keywords)
            except IntegrityError:  # an answer, not a silence
                raise
            except UpdateFinishedTrialError:
                if deadline is None:
                    raise
                return True  # the server had done it before its answer was lost
            except (StorageInternalError, DBAPIError) as error:
                cause = short_cause(error)
                if deadline is None:
                    deadline = time.monotonic() + PATIENCE_SECONDS
                    message = "%s does not answer (%s); trying for %.0f s"
                    log.warning(message, self._name, cause, PATIENCE_SECONDS)
                elif time.monotonic() > deadline:
                    raise SearchError(
                        f"storage={self._name} has not answered for {PATIENCE_SECONDS:.0f} s: "
                        f"{cause}"
                    ) from error
                time.sleep(RETRY_SECONDS)
