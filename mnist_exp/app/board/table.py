"""The table of runs: its rows, in groups; no page, no server."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from mnist_exp.app.board.differences import family
from mnist_exp.app.board.entry import Entry
from mnist_exp.app.board.folders import Folders, Sweep
from mnist_exp.app.board.view import View, select
from mnist_exp.comparison import display_path

STAGES = ("load", "augment", "features", "fit", "predict")


@dataclass(frozen=True)
class Group:
    """A sweep with its rows, or rows by themselves."""

    sweep: Sweep | None
    counts: dict[str, int]
    best: float | None
    rows: list[dict[str, Any]]


@dataclass
class Table:
    """The table of what `Folders` has; what siblings differ in is computed once for each change."""

    folders: Folders
    _version: int = -1
    _siblings: dict[str | None, list[Entry]] = field(default_factory=dict)
    _families: dict[str | None, tuple[Any, dict[str, dict[str, Any]]]] = field(default_factory=dict)

    def rows(self, view: View) -> list[dict[str, Any]]:
        """Every run that passes the filter, in order."""
        with self.folders.lock:
            return [self.row(entry) for entry in select(self.folders.entries.values(), view)]

    def counts(self, entries: Iterable[Entry] | None = None) -> dict[str, int]:
        """How many runs are in which state."""
        counts: dict[str, int] = {}
        for entry in self.folders.entries.values() if entries is None else entries:
            counts[entry.state] = counts.get(entry.state, 0) + 1
        return dict(sorted(counts.items()))

    def groups(self, view: View) -> tuple[list[Group], int]:
        """The first rows in groups, and how many passed the filter; sorted ones are one group."""
        with self.folders.lock:
            return self._groups(view)

    def _groups(self, view: View) -> tuple[list[Group], int]:
        entries = select(self.folders.entries.values(), view)
        shown = entries[: view.limit]
        groups: list[tuple[str | None, list[Entry]]] = []
        for entry in shown:
            sweep = None if view.sort else entry.sweep
            if not groups or groups[-1][0] != sweep:
                groups.append((sweep, []))
            groups[-1][1].append(entry)
        whole: dict[str | None, list[Entry]] = {}
        for entry in entries:
            whole.setdefault(entry.sweep, []).append(entry)
        return [
            Group(
                sweep=self.folders.sweeps.get(sweep) if sweep is not None else None,
                counts=self.counts(whole[sweep]) if sweep is not None else {},
                best=max((e.accuracy for e in whole[sweep] if e.accuracy is not None), default=None)
                if sweep is not None
                else None,
                rows=[self.row(entry) for entry in some],
            )
            for sweep, some in groups
        ], len(entries)

    def row(self, entry: Entry) -> dict[str, Any]:
        """What is to be said of one run, as `/api/runs` returns it."""
        progress, details, numbers = entry.progress, entry.details, entry.numbers
        end = entry.ended
        if end is None and entry.state == "running":
            end = time.time()
        seconds = numbers.get("time.total_s")
        if seconds is None and end is not None and entry.started:
            seconds = max(end - entry.started, 0.0)
        size = numbers.get("model.bytes")
        return {
            "run": display_path(entry.run.path),
            "name": entry.name,
            "sweep": entry.sweep,
            "state": entry.state,
            "stage": progress.get("stage"),
            "share": progress.get("share"),
            "accuracy": entry.accuracy,
            "accuracy_interval": list(entry.interval) if entry.interval else None,
            "split": entry.split,
            "config": self._differences(entry),
            "choices": dict(details.choices),
            "message": entry.problem,
            "started": entry.started or None,
            "ended": entry.ended,
            "seconds": seconds,
            "bytes": int(size) if size is not None else None,
            "stages": {
                stage: numbers[key] for stage in STAGES if (key := f"time.{stage}_s") in numbers
            },
            "val": {k.removeprefix("val."): v for k, v in progress.get("val", {}).items()},
            "curve": entry.curve,
            "host": entry.host,
            "metrics": numbers,
        }

    def _differences(self, entry: Entry) -> dict[str, Any]:
        """What a run differs in from its siblings, worked out when one of them is first shown."""
        if self._version != self.folders.version:
            self._version, self._siblings = self.folders.version, {}
            for other in list(self.folders.entries.values()):
                self._siblings.setdefault(other.sweep, []).append(other)
        siblings = self._siblings.pop(entry.sweep, None)
        if siblings:
            signature = hash(
                tuple(
                    (e.name, *e.details.config.values(), *e.details.choices.values())
                    for e in siblings
                )
            )
            if self._families.get(entry.sweep, (None,))[0] != signature:
                self._families[entry.sweep] = signature, family(siblings)
        return self._families[entry.sweep][1].get(entry.name, {})
