"""A study in a database: the driver, heartbeats, and patience with a server that is gone for a
while.
"""

import functools
import logging
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from mnist_exp.errors import UserError
from mnist_exp.runs import redact

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 30
PATIENCE_SECONDS = 300.0  # a restart of a server takes seconds, its move to another machine minutes
RETRY_SECONDS = 1.0
CLASHES = 10  # of processes that find an empty database together


def open_database(address: str, patience: float = 0.0) -> "BaseStorage":
    """Open a database, for as long as `patience` if it does not answer; raises what its driver
    raises.
    """
    from optuna.storages import get_storage
    from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

    if address.partition("://")[::2] in (("sqlite", ""), ("sqlite", "/"), ("sqlite", "/:memory:")):
        raise UserError(
            f"storage={address}: a database in memory is lost with the process; name a file, sqlite:///..."
        )
    began, clashes = time.monotonic(), 0
    while True:
        try:
            storage = get_storage(_connect(address))
        except OperationalError:
            if time.monotonic() > began + patience:
                raise
        except (
            IntegrityError,
            ProgrammingError,
        ):  # another process makes the tables at this moment
            clashes += 1
            if clashes == CLASHES:
                raise
        else:
            _make_patient(storage, redact(address))
            return storage
        time.sleep(RETRY_SECONDS)


def _connect(address: str) -> "BaseStorage":
    from optuna.storages import RDBStorage

    # A server that was started again has forgotten its connections.
    sqlite = address.startswith("sqlite")
    options: dict[str, Any] = (
        {"connect_args": {"timeout": 60}} if sqlite else {"pool_pre_ping": True}
    )
    return RDBStorage(
        _with_driver(address),
        engine_kwargs=options,
        heartbeat_interval=HEARTBEAT_SECONDS,
        grace_period=4 * HEARTBEAT_SECONDS,
    )


def _with_driver(address: str) -> str:
    """Take psycopg, which reads PGPASSWORD and .pgpass, where the address leaves the driver
    open.
    """
    scheme, _, rest = address.partition("://")
    if scheme not in ("postgresql", "postgres"):
        return address
    if find_spec("psycopg") is None:
        raise UserError(
            'storage=postgresql://... needs an extra: pip install "mnist-exp[postgres]"'
        )
    return f"postgresql+psycopg://{rest}"


def _make_patient(storage: "BaseStorage", name: str) -> None:
    """Have every call of a storage wait for its server, in one place instead of at each call."""
    from optuna.storages import BaseStorage
    from optuna.storages._heartbeat import BaseHeartbeat

    for kind in (BaseStorage, BaseHeartbeat):
        for method in vars(kind):
            if not method.startswith("__") and callable(getattr(storage, method, None)):
                setattr(storage, method, _patient(getattr(storage, method), name))


def _patient(call: Callable[..., Any], name: str) -> Callable[..., Any]:
    from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
    from sqlalchemy.exc import DBAPIError, IntegrityError

    @functools.wraps(call)
    def patiently(*arguments: Any, **keywords: Any) -> Any:
        deadline = None
        while True:
            try:
                return call(*arguments, **keywords)
            except IntegrityError:  # an answer, not a silence
                raise
            except UpdateFinishedTrialError:
                if deadline is None:
                    raise
                return True  # the server had done it before its answer was lost
            except (StorageInternalError, DBAPIError) as error:
                cause = redact(str(error.__cause__ or error).strip().splitlines()[0])
                if deadline is None:
                    deadline = time.monotonic() + PATIENCE_SECONDS
                    log.warning(
                        "%s does not answer (%s); trying for %.0f s", name, cause, PATIENCE_SECONDS
                    )
                elif time.monotonic() > deadline:
                    raise UserError(
                        f"storage={name} has not answered for {PATIENCE_SECONDS:.0f} s: {cause}"
                    ) from error
                time.sleep(RETRY_SECONDS)

    return patiently
