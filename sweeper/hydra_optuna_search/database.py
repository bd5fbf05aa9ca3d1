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
                server = without_password(self._address, self._address)
                cause = without_password(short_cause(error), self._address)
                if deadline is None:
                    deadline = time.monotonic() + PATIENCE_SECONDS
                    message = "%s does not answer (%s); trying for %.0f s"
                    log.warning(message, server, cause, PATIENCE_SECONDS)
                elif time.monotonic() > deadline:
                    raise SearchError(
                        f"storage={server} has not answered for {PATIENCE_SECONDS:.0f} s: {cause}"
                    ) from error
                time.sleep(RETRY_SECONDS)
