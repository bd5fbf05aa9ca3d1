"""`progress.json`: how far a run is, for whoever watches; written off the training's path.

What validation said on the way stays, as `curve.json`.
"""

import math
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from mnist_exp.process import write_json

PROGRESS, CURVE = "progress.json", "curve.json"
PROGRESS_SECONDS = 1.0  # the file is written at most so often
AXES = ("share", "seconds")  # what a point of the curve stands at; the others are its metrics
MOST_POINTS = 100  # of the curve of validation metrics; then every other one is dropped


class Progress:
    """Keeps `progress.json` up to date while the body runs; a thread of its own writes it.

    It disappears when the body ends well, for metrics say more then, and the curve of validation
    stays. After a failure all of it stays, as the last word of how far the run was.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, Progress(Path(folder)) as progress:
    ...     progress.show("fit", 0.25)
    ...     progress.write()
    ...     print((Path(folder) / "progress.json").read_text()[:35])
    {
      "stage": "fit",
      "share": 0.25
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._began = time.perf_counter()
        self._stage = "start"
        self._share: float | None = None
        self._curve: list[dict[str, float]] = []
        self._news, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True, name="progress")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._news.set()
        self._thread.join()
        if kind is None:
            if len(self._curve) > 1:
                write_json(self._folder / CURVE, {"curve": self._points()})
            (self._folder / PROGRESS).unlink(missing_ok=True)
        else:
            self.write()

    def show(
        self, stage: str, share: float | None, metrics: Mapping[str, float] | None = None
    ) -> None:
        """Note the stage, how much of it is done (0..1, if known), and what validation says."""
        self._stage, self._share = stage, share
        if metrics is not None:
            seconds = round(time.perf_counter() - self._began, 3)
            self._curve.append({"share": share or 0.0, "seconds": seconds, **metrics})
            if len(self._curve) > MOST_POINTS:
                self._curve = self._curve[1::2]
        self._news.set()

    def write(self) -> None:
        """Write the file now."""
        curve = self._points()
        latest = {name: curve[-1][name] for name in curve[-1] if name not in AXES} if curve else {}
        content = {
            "stage": self._stage,
            "share": self._share,
            "seconds": round(time.perf_counter() - self._began, 3),
            "val": latest,
            "curve": curve,
        }
        write_json(self._folder / PROGRESS, content)

    def _points(self) -> list[dict[str, float]]:
        return [
            {name: value for name, value in point.items() if math.isfinite(value)}
            for point in self._curve
        ]

    def _work(self) -> None:
        while self._news.wait() and not self._over.is_set():
            self._news.clear()
            try:
                self.write()
            except OSError:  # a full disk ends the run where it writes what matters
                return
            self._over.wait(PROGRESS_SECONDS)
