"""The one task that looks at the folders while somebody watches."""

import asyncio
import logging
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool

from mnist_exp.app.board.folders import Folders

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 5.0
SHARE_OF_CPU = 0.02  # that looking may take while nothing happens
KEEP_ALIVE_SECONDS = 15.0


class Live:
    """Tells open pages that something has changed."""

    def __init__(self, folders: Folders) -> None:
        self.folders = folders
        self._watchers: set[asyncio.Event] = set()
        self._task: asyncio.Task[None] | None = None
        self._ending = False

    def close(self) -> None:
        """End the answers that would go on forever."""
        self._ending = True
        for news in self._watchers:
            news.set()

    async def changes(self) -> AsyncIterator[str]:
        """The version of what there is, at once and after every change, as server-sent events."""
        news = asyncio.Event()
        self._watchers.add(news)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())
        try:
            yield f"data: {self.folders.version}\n\n"
            while not self._ending:
                try:
                    await asyncio.wait_for(news.wait(), KEEP_ALIVE_SECONDS)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                news.clear()
                yield f"data: {self.folders.version}\n\n"
        finally:
            self._watchers.discard(news)

    async def _look(self) -> None:
        """Look at the folders as long as anybody watches; less often if it takes long for nothing.

        A look that reads what is new takes longer than those that find nothing, and says nothing
        of what these will take.
        """
        announced = self.folders.version
        while self._watchers:
            pause = LOOK_SECONDS
            try:
                version = await run_in_threadpool(self.folders.refresh, LOOK_SECONDS / 2)
                if version == announced:
                    long = self.folders.cost / SHARE_OF_CPU / 2
                    pause = min(max(LOOK_SECONDS, long), LONGEST_PAUSE_SECONDS)
                else:
                    announced = version
                    for news in self._watchers:
                        news.set()
            except Exception:  # whatever was wrong with a folder, the others are looked at again
                log.exception("the board could not look at %s", self.folders.root)
            await asyncio.sleep(pause)
