"""Signals and cpus: what the system, Slurm or a pool of workers asks of a process and allows it.

SIGTERM and Ctrl-C end a run in order, even while a solver written in C holds the interpreter.
"""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

GRACE_SECONDS = 5.0
_LIMIT = "LOKY_MAX_CPU_COUNT"  # joblib's, so that whatever asks joblib sees the same number


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised as Ctrl-C is, so that everything between closes in the same way."""


def raise_on_sigterm() -> None:
    """Turn SIGTERM into `Terminated` in the main thread."""

    def handler(number: int, frame: FrameType | None) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, handler)


@contextmanager
def marked_when_stuck(mark: Callable[[str], None]) -> Iterator[None]:
    """Call `mark` with the reason and exit if Python has not handled a signal after some seconds.

    Python handles a signal between two bytecodes of its main thread; libsvm may hold that for
    minutes, and a scheduler kills after 30 s. The wake-up descriptor is written at once, and a
    thread can read it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    over = threading.Event()
    listener = threading.Thread(
        target=_listen, args=(mark, reader, over), daemon=True, name="signals"
    )
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    listener.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        over.set()
        writer.close()
        listener.join()
        reader.close()


def _listen(mark: Callable[[str], None], reader: socket.socket, over: threading.Event) -> None:
    while number := reader.recv(1):
        if number[0] in (signal.SIGTERM, signal.SIGINT) and not over.wait(GRACE_SECONDS):
            mark(f"stopped by {signal.Signals(number[0]).name}")
            os._exit(128 + number[0])


def cpus() -> int:
    """Affinity and cgroup as joblib reads them, and no more than Slurm gives the job.

    Not every Slurm binds a job to its cpus.
    """
    from joblib import cpu_count

    given = os.environ.get("SLURM_CPUS_PER_TASK") or os.environ.get("SLURM_CPUS_ON_NODE")
    return min(int(cpu_count()), int(given)) if given else int(cpu_count())


@contextmanager
def divided(n_processes: int) -> Iterator[None]:
    """Let each process started here see its share of the cpus."""
    before = os.environ.get(_LIMIT)
    os.environ[_LIMIT] = str(max(1, cpus() // n_processes))
    try:
        yield
    finally:
        forget_share()
        if before is not None:
            os.environ[_LIMIT] = before


def forget_share() -> None:
    """See all cpus again: on another machine the environment is inherited, the share is not."""
    os.environ.pop(_LIMIT, None)
