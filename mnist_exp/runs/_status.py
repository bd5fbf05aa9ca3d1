"""The life of a run: who runs it, whether it still lives, how it ended."""

import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self
from uuid import uuid4

import psutil

from mnist_exp.errors import UserError
from mnist_exp.process import write_json, write_new
from mnist_exp.runs._reading import read_text

SCHEMA = 1
HEARTBEAT_SECONDS = 30
STALE_SECONDS = 120  # for so long a run on another host may leave its status untouched

State = Literal["running", "completed", "failed", "interrupted", "pruned", "stale"]

_SECRET = re.compile(
    r"(?<=://)([^:/@\s]*):\S+@|((?:password|passwd|secret|token|auth)\w*[=:])[^\s,}\]]+",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """Blank out passwords in URLs and in `password=...`, `token=...` and the like."""
    return _SECRET.sub(
        lambda match: f"{match[1]}:***@" if match[2] is None else f"{match[2]}***", text
    )


@dataclass(frozen=True)
class Status:
    """What `status.json` holds: who runs it, since when, how it ended (ISO 8601 times, UTC)."""

    schema: int
    run_id: str
    state: State
    pid: int
    pid_started: float
    host: str
    started: str
    ended: str | None
    error: str | None
    argv: Sequence[str]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Lifetime:
    """What `status.json` in a run's folder says, and how it is written; `Run` has the rest."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @classmethod
    def claim(cls, path: Path, argv: Sequence[str]) -> Self:
        """Make `path` this process's run; FileExistsError if it holds one: none is overwritten."""
        run = cls(path)
        make_folder(path)
        process = psutil.Process()
        status = Status(
            schema=SCHEMA,
            run_id=uuid4().hex,
            state="running",
            pid=process.pid,
            pid_started=process.create_time(),
            host=socket.gethostname(),
            started=_now(),
            ended=None,
            error=None,
            argv=[redact(word) for word in argv],
        )
        write_new(run._status_path, json.dumps(asdict(status), indent=2))
        return run

    def withdraw(self) -> None:
        """Leave the folder to a job that starts over: its first process is gone for certain."""
        self._status_path.unlink()

    def finish(self, state: State, error: str | None = None) -> None:
        """Write the final state; `completed` marks that everything else in the folder is whole."""
        ending = {"state": state, "ended": _now(), "error": error and redact(error)}
        write_json(self._status_path, asdict(self.status) | ending)

    @contextmanager
    def recording(self, *pruned: type[BaseException]) -> Iterator[Self]:
        """Touch the status while the body runs, and write how it ended; `pruned` are ends of it."""
        stop = threading.Event()
        heartbeat = threading.Thread(target=self._beat, args=(stop,), daemon=True, name="heartbeat")
        heartbeat.start()
        try:
            yield self
        except KeyboardInterrupt:
            self.finish("interrupted", "stopped by a signal")
            raise
        except pruned as reason:
            self.finish("pruned", str(reason))
            raise
        except BaseException as error:
            kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
            self.finish("failed", f"{kind}{error}")
            raise
        else:
            self.finish("completed")
        finally:
            stop.set()
            heartbeat.join()

    def _beat(self, stop: threading.Event) -> None:
        while not stop.wait(HEARTBEAT_SECONDS):
            os.utime(self._status_path)

    @property
    def status(self) -> Status:
        """The status as written; raises UserError where it cannot be read as one."""
        try:
            content = json.loads(read_text(self._status_path))
            if content["schema"] == SCHEMA:
                return Status(**content)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"{self.path} is not a readable run: {self._status_path.name}: {error!r}"
            ) from error
        raise UserError(
            f"{self.path} has run schema {content['schema']}; this version reads {SCHEMA}"
        )

    @property
    def state(self) -> State:
        """The state, with `stale` for a run that says `running` but whose process is gone."""
        return self.current_state(self.status)

    def current_state(self, status: Status) -> State:
        """The state of a run whose status was read before."""
        if status.state != "running":
            return status.state
        living = (
            alive(status.pid, status.pid_started)
            if status.host == socket.gethostname()
            else time.time() - self._status_path.stat().st_mtime < STALE_SECONDS
        )
        return "running" if living else "stale"

    @property
    def exists(self) -> bool:
        """Whether the folder was ever claimed by a run; what is there may yet be unreadable."""
        return os.path.lexists(self._status_path)

    @property
    def _status_path(self) -> Path:
        return self.path / "status.json"


def alive(pid: int, started: float) -> bool:
    """Whether the process of this machine that had this number, and began then, still works.

    Numbers are given out again: a later start is another process. An earlier one is not, for a
    clock that was set back makes the same process seem to have started earlier.
    """
    try:
        process = psutil.Process(pid)
        return process.create_time() <= started + 2 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def make_folder(path: Path) -> None:
    """Make a folder and those above it; FileExistsError is left to mean that it is claimed."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UserError(f"{path} is a file where a folder is needed") from error
