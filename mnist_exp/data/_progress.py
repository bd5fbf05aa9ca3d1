"""A bar on stderr for what may take long: a download, thousands of pictures to decode."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import Progress

from mnist_exp.progress import stderr_console


@contextmanager
def progress_bar(what: str, after_s: float = 1.0) -> Iterator[Callable[[int, int], None]]:
    """Yield `show(done, total)`, which draws only on a terminal, and nothing in the first `after_s` seconds."""
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
