"""What a person sees while a run works: a bar on stderr, and the seconds of each stage kept."""

import functools
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

log = logging.getLogger(__name__)


@functools.cache
def stderr_console() -> Console:
    """The one console for all bars, so that they nest; stdout carries the run's folder alone."""
    return Console(stderr=True)


class LogFile(logging.FileHandler):
    """A run's log: a line that cannot be written fails the run.

    `logging` would print a traceback and go on.
    """

    def flush(self) -> None:
        """Close a file that cannot be written: `logging.shutdown` would leave it open for good."""
        try:
            super().flush()
        except OSError:
            if self.stream:
                with suppress(OSError):  # the same error once more
                    self.stream.close()
            self.stream = None
            raise

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        """Hand on the error that is being handled."""
        error = sys.exception()
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, self.baseFilename) from error
        raise


class Watcher(Protocol):
    """Learns of a stage's beginning and course; it must return at once."""

    def __call__(
        self, stage: str, share: float | None, metrics: Mapping[str, float] | None = None
    ) -> None:
        """Take the stage, its share that is done (0..1, if known), validation metrics so far."""


class Stages:
    """Times the stages of a run.

    On a terminal a stage shows a bar while it lasts; it leaves a line in the log. `watcher` is
    told as well.

    Examples
    --------
    >>> stages = Stages(bars=False)
    >>> with stages("fit", "10 trees") as advance:
    ...     advance(0.5)
    >>> list(stages.seconds)
    ['fit']
    """

    def __init__(self, bars: bool = True, watcher: Watcher | None = None) -> None:
        self._bars, self.watcher = bars, watcher
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str, note: str = "") -> Iterator[Callable[[float], None]]:
        """Time a stage; yields a function that takes the share that is done (0..1), if known."""
        started = time.perf_counter()
        with Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            TextColumn(note),
            TimeElapsedColumn(),
            console=stderr_console(),
            transient=True,
            disable=not (self._bars and sys.stderr.isatty()),
        ) as bar:
            task = bar.add_task(name, total=None)

            def advance(share: float) -> None:
                bar.update(task, total=1.0, completed=share)
                if self.watcher:
                    self.watcher(name, share)

            if self.watcher:
                self.watcher(name, None)
            yield advance
        self.seconds[name] = time.perf_counter() - started
        log.info("%-9s %7.2f s  %s", name, self.seconds[name], note)


@contextmanager
def progress_bar(what: str, after_s: float = 1.0) -> Iterator[Callable[[int, int], None]]:
    """Yield `show(done, total)`, which draws on a terminal once `after_s` seconds have passed."""
    started = time.monotonic()
    bar = Progress(console=stderr_console(), transient=True, disable=not sys.stderr.isatty())
    task = bar.add_task(what, total=None)

    def show(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total or None)
        if time.monotonic() - started > after_s:
            bar.start()

    try:
        yield show
    finally:
        bar.stop()
