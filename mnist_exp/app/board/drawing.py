"""The process that makes the pages which take seconds and large libraries."""

import asyncio
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from mnist_exp.errors import UserError


class Drawing:
    """Calls functions in a process of its own, which begins with the first call."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._ending = asyncio.Event()

    def close(self) -> None:
        """End the process, and whoever waits for it."""
        self._ending.set()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, make: Callable[..., str], *arguments: object) -> str:
        """Make a page; UserError where it cannot be made, or not any more."""
        if self._pool is None:
            # Ctrl-C is for this process, which then lets the other one end.
            ignore = (signal.SIGINT, signal.SIG_IGN)
            self._pool = ProcessPoolExecutor(1, get_context("spawn"), signal.signal, ignore)
        made: asyncio.Future[str] = asyncio.wrap_future(self._pool.submit(make, *arguments))
        ending: asyncio.Future[Any] = asyncio.create_task(self._ending.wait())
        either: set[asyncio.Future[Any]] = {made, ending}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if not made.done():
            raise UserError("the board ends")
        try:
            return made.result()
        except BrokenProcessPool as error:
            self._pool = None
            raise UserError("the process that makes such pages was killed; try again") from error
