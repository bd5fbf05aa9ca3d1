"""The runs below one folder, kept up to date by looking again: that works on any disk.

A folder's own time says whether a file in it came, went or was replaced, so that a look at a
thousand runs that have ended costs a thousand `stat`s. Their files, which somebody may have edited
in place, are looked at in turns.
"""

import gc
import math
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_exp.app.board.entry import STATES, UNREADABLE, Entry, progress_of
from mnist_exp.comparison import display_path, one_line
from mnist_exp.errors import UserError
from mnist_exp.runs import FILES, RECORD, Index, Run, Status, fingerprint, read_records

MOST_RUNS = 50_000
TURNS = 10  # looks in which every ended run's files are looked at once
STATUS = "status.json"
SWEEP, JOURNAL, RESULTS = "multirun.yaml", "study.journal", "optimization_results.yaml"


@dataclass(slots=True)
class Sweep:
    """A folder with jobs in it."""

    name: str
    path: Path
    is_search: bool
    journal: Path | None  # of a search whose study lies in its folder
    has_report: bool


class Folders:
    """What there is below a folder; `refresh` looks again."""

    def __init__(self, root: Path, index: Index | None = None) -> None:
        if not root.is_dir():
            raise UserError(f"{root}: there is no such folder")
        self.root = root
        self.real_root = os.path.realpath(root)
        self.entries: dict[str, Entry] = {}
        self.sweeps: dict[str, Sweep] = {}
        self.unlisted: list[str] = []  # folders that cannot be listed, and why
        self.version = 0  # rises with every change
        self.cost = 0.0  # seconds of cpu of the latest look that found nothing new
        self._index = index
        self._paths: dict[str, Entry] = {}  # by the path as the system spells it
        self._turn = 0
        self._looked = -math.inf
        self.lock = threading.RLock()  # for whoever reads many entries at once

    def refresh(self, newer_than: float = 0.0) -> int:
        """Look again, unless somebody has since `newer_than` seconds ago; returns the version."""
        with self.lock:
            if time.monotonic() - self._looked >= newer_than:
                before, began = self.version, time.thread_time()
                self._look()
                self._looked = time.monotonic()
                if self.version == before:
                    self.cost = time.thread_time() - began
            return self.version

    def inside(self, path: Path) -> Path | None:
        """A file, if it is a regular one and no link leads out of the folder; None otherwise."""
        real = os.path.realpath(path)
        if os.path.isfile(real) and real.startswith(self.real_root + os.sep):  # noqa: PTH113
            return Path(real)
        return None

    def _look(self) -> None:
        self._turn += 1
        sweeps: dict[str, Sweep] = {}
        unlisted: list[str] = []
        changed: list[Entry] = []
        present: dict[str, Entry] = {}
        for place, name, sweep in self._walk(sweeps, unlisted):
            entry = self._paths.get(place)
            try:
                folder_time = os.stat(place).st_mtime_ns  # noqa: PTH116  (thousands of them)
            except OSError:
                continue
            if entry is None:
                entry = Entry(name, Run(place), sweep, 0, b"")
                changed.append(entry)
            elif entry.folder_time != folder_time or self._has_new_files(entry):
                if not entry.run.exists:  # no run any more: next time it is listed like any folder
                    continue
                changed.append(entry)
            entry.folder_time = folder_time
            present[place] = entry
        news = len(present) != len(self._paths) or present.keys() != self._paths.keys()
        news = news or sweeps != self.sweeps or unlisted != self.unlisted
        gc.disable()  # which would go through ten thousand new entries again and again
        try:
            self._read(changed)
        finally:
            gc.enable()
        fresh = {id(entry) for entry in changed}
        for entry in present.values():
            if entry.state == "running" and id(entry) not in fresh:
                news = self._check_alive(entry) or news
        self._paths, self.sweeps, self.unlisted = present, sweeps, unlisted
        self.entries = {entry.name: entry for entry in present.values()}
        if news or changed:
            self.version += 1

    def _has_new_files(self, entry: Entry) -> bool:
        if entry.state != "running" and hash(entry.name) % TURNS != self._turn % TURNS:
            return False
        return fingerprint(str(entry.run.path), RECORD, FILES).key != entry.key

    def _walk(
        self, sweeps: dict[str, Sweep], unlisted: list[str]
    ) -> Iterator[tuple[str, str, str | None]]:
        """The paths and names of run folders and of their sweeps; no symbolic link is followed."""
        stack: list[tuple[str, str]] = [(str(self.root), "")]
        names: set[str] = set()
        n_runs = 0
        while stack:
            place, prefix = stack.pop()
            try:
                with os.scandir(place) as listing:
                    items = list(listing)
                    below = sorted(
                        item.name
                        for item in items
                        if not item.name.startswith(".") and item.is_dir(follow_symlinks=False)
                    )
            except OSError as error:
                unlisted.append(f"{display_path(Path(place))}: {error.strerror}")
                continue
            files = {item.name for item in items}
            is_run = STATUS in files
            if is_run:
                n_runs += 1
                if n_runs > MOST_RUNS:
                    unlisted.append(f"only the first {MOST_RUNS:,} runs are shown")
                    return
                name = _unique(printed(prefix) or ".", names)
                parent = printed(prefix.rpartition("/")[0])
                yield place, name, parent if parent in sweeps else None
                continue
            if SWEEP in files:
                sweeps[printed(prefix)] = _sweep(printed(prefix), Path(place), files)
            for folder in below:
                child = f"{place}{os.sep}{folder}"
                child_prefix = f"{prefix}/{folder}" if prefix else folder
                if child in self._paths:
                    n_runs += 1
                    name = _unique(printed(child_prefix), names)
                    parent = printed(prefix)
                    yield child, name, parent if parent in sweeps else None
                else:
                    stack.append((child, child_prefix))

    def _read(self, entries: list[Entry]) -> None:
        """Read what changed; a run with a file that is a link out of the folder is not."""
        safe, prints = [], []
        for entry in entries:
            looked_at = fingerprint(str(entry.run.path), RECORD, FILES)
            away = [name for name in looked_at.links if self._leads_out(entry.run.path / name)]
            if entry.key:
                entry.clear()
            entry.key = looked_at.key
            if away:
                root = display_path(self.root)
                entry.problem = f"{away[0]} is a link that leads out of {root}"
            else:
                safe.append(entry)
                prints.append(looked_at)
        records = read_records([entry.run for entry in safe], self._index, prints)
        for entry, record in zip(safe, records, strict=True):
            entry.fill(record)
            if record.status is not None:
                self._check_alive(entry, record.status)

    def _leads_out(self, path: Path) -> bool:
        return path.is_symlink() and not os.path.realpath(path).startswith(self.real_root + os.sep)

    def _check_alive(self, entry: Entry, status: Status | None = None) -> bool:
        """Whether the state, or what a running run says of itself, is another than before."""
        before = entry.state, entry.progress
        try:
            state = entry.run.current_state(status or entry.run.status)
            entry.state = state if state in STATES else UNREADABLE
            entry.progress = self._progress(entry.run) if entry.state != "completed" else {}
        except Exception as error:  # a folder from elsewhere can be broken in any way
            entry.state, entry.problem = UNREADABLE, one_line(str(error))
        return before != (entry.state, entry.progress)

    def _progress(self, run: Run) -> dict[str, Any]:
        if self._leads_out(run.progress_path):
            return {}
        try:
            content = run.progress
        except (UserError, RecursionError):  # half of it, on a disk without atomic moves
            return {}
        return progress_of(content) if content else {}


def _sweep(name: str, path: Path, files: set[str]) -> Sweep:
    journal = path / JOURNAL if JOURNAL in files else None
    is_search = journal is not None or RESULTS in files or _says_search(path / SWEEP)
    return Sweep(name, path, is_search, journal, "report.html" in files)


def _says_search(path: Path) -> bool:
    try:
        if not path.is_file() or path.stat().st_size > 10**6 or path.is_symlink():
            return False
        return "\nsearch:" in path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def printed(name: str) -> str:
    """A path's name as text that can be shown and sent; bytes that are no text become `?`."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def _unique(name: str, names: set[str]) -> str:
    while name in names:
        name += "'"
    names.add(name)
    return name
