"""What a search needs of its machine: processes and whether they live, cpus, whole files."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil
from rich.console import Console

HEARTBEAT_SECONDS = 30
STALE_SECONDS = 120  # what has not beaten for so long is taken for dead

console = Console(stderr=True)  # stdout belongs to the application


@dataclass(frozen=True)
class Process:
    """One process, distinguished from a later one with the same number by its start."""

    host: str
    pid: int
    started: float

    @classmethod
    def current(cls) -> "Process":
        """Describe this process."""
        return cls(socket.gethostname(), os.getpid(), psutil.Process().create_time())

    @property
    def is_local(self) -> bool:
        """Whether it runs, or ran, on this machine."""
        return self.host == socket.gethostname()

    def is_dead(self) -> bool:
        """Whether it is known to be gone; nothing is known of a process elsewhere.

        A later start means another process, whose number was given out again. An earlier one does
        not: a clock that was set back makes the same process seem to have started earlier.
        """
        if not self.is_local:
            return False
        try:
            process = psutil.Process(self.pid)
            return (
                process.create_time() > self.started + 2 or process.status() == psutil.STATUS_ZOMBIE
            )
        except psutil.NoSuchProcess:
            return True


@contextmanager
def beating(beat: Callable[[], object]) -> Iterator[None]:
    """Call `beat` now, and every 30 s from a thread while the body runs."""
    over = threading.Event()

    def keep_beating() -> None:
        while not over.wait(HEARTBEAT_SECONDS):
            beat()

    beat()
    thread = threading.Thread(target=keep_beating, daemon=True, name="trial heartbeat")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def touching(path: Path) -> Iterator[None]:
    """Keep a file's time fresh while the body runs; it is removed in the end, but not by a kill."""
    path.parent.mkdir(exist_ok=True)
    try:
        with beating(path.touch):
            yield
    finally:
        path.unlink(missing_ok=True)


def is_stale(path: Path) -> bool:
    """Whether a file is there that nobody has touched for 120 s."""
    return path.exists() and time.time() - path.stat().st_mtime > STALE_SECONDS


@contextmanager
def divided_cpus(n_processes: int) -> Iterator[None]:
    """Let each process started here see its share of the cpus, through joblib's own variable.

    Not every Slurm binds a job to its cpus, so the number that it gives counts as well.
    """
    if find_spec("joblib") is None:  # nothing would read it
        yield
        return
    from joblib import cpu_count

    limit, before = "LOKY_MAX_CPU_COUNT", os.environ.get("LOKY_MAX_CPU_COUNT")
    given = os.environ.get("SLURM_CPUS_PER_TASK") or os.environ.get("SLURM_CPUS_ON_NODE")
    cpus = min(cpu_count(), int(given)) if given else cpu_count()
    os.environ[limit] = str(max(1, cpus // n_processes))
    try:
        yield
    finally:
        del os.environ[limit]
        if before is not None:
            os.environ[limit] = before


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content.encode())
        temporary.replace(path)
    except OSError as error:  # a write to an open file fails namelessly, as on a full disk
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)
