"""The table of runs: which ones, in which order, and what each cell says; no page, no server."""

import json
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

from mnist_exp.app.board.folders import STAGES, Entry, Folders, Sweep
from mnist_exp.comparison import describe_value, display_path, flat_config

COLUMNS = {
    "state": "state",
    "accuracy": "accuracy, %",
    "changes": "what differs from its siblings",
    "stages": "stages",
    "seconds": "time",
    "bytes": "size",
    "started": "started",
}
MORE_COLUMNS = {
    "macro_f1": "macro F1",
    "top2_accuracy": "top-2 accuracy",
    "log_loss": "log loss",
    "ece": "calibration error",
    "fit_s": "fit, s",
    "predict_us_per_image": "µs per image",
    "n_train": "training images",
    "host": "machine",
}
ALL_COLUMNS = COLUMNS | MORE_COLUMNS
SORTABLE = ("run", *(key for key in ALL_COLUMNS if key not in ("changes", "stages")))
GROUPS = {"bytes": "model", "n_train": "data", "fit_s": "time", "predict_us_per_image": "time"}
LONGEST_VALUE = 60  # letters
FEWEST_ROWS, MOST_ROWS = 100, 5_000
PLACES = ("outputs", "data_dir", "cache_dir", "cache_gb", "search")  # they make no other result
_WORD = re.compile(r"([^\s=<>]+)(<=|>=|=|<|>)(\S+)|(\S+)")
TARGET = "_target_"
NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True)
class View:
    """What the address asks for."""

    filter: str = ""
    sort: str = ""
    columns: tuple[str, ...] = tuple(COLUMNS)
    limit: int = FEWEST_ROWS

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> "View":
        """Read an address; what makes no sense in it is left out."""
        columns = tuple(key for key in query.get("columns", "").split(",") if key in ALL_COLUMNS)
        sort = query.get("sort", "")
        limit = query.get("limit", "")
        return cls(
            filter=" ".join(query.get("filter", "")[:500].split()),
            sort=sort if sort.removeprefix("-") in SORTABLE else "",
            columns=columns or tuple(COLUMNS),
            limit=min(max(int(limit), FEWEST_ROWS), MOST_ROWS)
            if limit.isascii() and limit.isdigit() and len(limit) < 6
            else FEWEST_ROWS,
        )

    def address(self, **changes: Any) -> str:
        """The query that asks for this, with changes."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__} | changes
        default = View()
        query = {
            name: ",".join(value) if isinstance(value, tuple) else str(value)
            for name, value in values.items()
            if value != getattr(default, name)
        }
        return "?" + urlencode(query) if query else "?"


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
            return [self.row(entry) for entry in self._selected(view)]

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
        entries = self._selected(view)
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
        progress = entry.progress
        end = entry.ended
        if end is None and entry.state == "running":
            end = time.time()
        seconds = entry.numbers.get("time.total_s")
        if seconds is None and end is not None and entry.started:
            seconds = max(end - entry.started, 0.0)
        size = entry.numbers.get("model.bytes")
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
            "choices": dict(entry.choices),
            "message": entry.problem,
            "started": entry.started or None,
            "ended": entry.ended,
            "seconds": seconds,
            "bytes": int(size) if size is not None else None,
            "stages": {
                stage: entry.numbers[key]
                for stage in STAGES
                if (key := f"time.{stage}_s") in entry.numbers
            },
            "val": {k.removeprefix("val."): v for k, v in progress.get("val", {}).items()},
            "curve": progress.get("curve", []),
            "host": entry.host,
            "metrics": entry.numbers,
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
                tuple((e.name, *e.config.values(), *e.choices.values()) for e in siblings)
            )
            if self._families.get(entry.sweep, (None,))[0] != signature:
                self._families[entry.sweep] = signature, _family(siblings)
        return self._families[entry.sweep][1].get(entry.name, {})

    def _selected(self, view: View) -> list[Entry]:
        entries = list(self.folders.entries.values())
        for match in _WORD.finditer(view.filter):
            passes = _condition(*match.groups())
            entries = [entry for entry in entries if passes(entry)]
        if view.sort:
            return _sorted(entries, view.sort)
        newest: dict[str | None, float] = {}
        for entry in entries:
            newest[entry.sweep] = max(newest.get(entry.sweep, 0.0), entry.started)
        return sorted(
            entries,
            key=lambda entry: (
                newest[entry.sweep] if entry.sweep is not None else entry.started,
                entry.sweep or "",
                entry.started,
                entry.name,
            ),
            reverse=True,
        )


def _family(entries: Sequence[Entry]) -> dict[str, dict[str, Any]]:
    """What siblings differ in; a search's winner is told by the keys of its trials."""
    changes = differences(entries)
    best = [entry.name for entry in entries if entry.sweep is not None and _is_best(entry)]
    keys = {key for name, config in changes.items() if name not in best for key in config}
    if keys and best:
        without = differences([entry for entry in entries if entry.name not in best])
        keys = {key for config in without.values() for key in config} or keys
        for name in changes:
            changes[name] = {key: v for key, v in changes[name].items() if key in keys}
    return changes


def _is_best(entry: Entry) -> bool:
    return re.fullmatch(r"best(-\d+)?", entry.name.rpartition("/")[2]) is not None


def differences(entries: Sequence[Entry]) -> dict[str, dict[str, Any]]:
    """By run, the keys in which its configuration differs from those of its siblings.

    Where siblings chose another object, a group's option says so, and only those that chose the
    same one are held against each other: that a forest has no learning rate is no news.
    """
    flat = {entry.name: _flat(entry) for entry in entries}
    changes: dict[str, dict[str, Any]] = {entry.name: {} for entry in entries}
    sections = dict.fromkeys(key for sections in flat.values() for key in sections)
    for section in sections:
        parts = {name: sections.get(section, NOTHING) for name, sections in flat.items()}
        if len({id(part) for part in parts.values()}) > 1:
            _differ(section, parts, entries, changes)
    return changes


def _differ(
    section: str,
    parts: Mapping[str, Mapping[str, Any]],
    entries: Sequence[Entry],
    changes: dict[str, dict[str, Any]],
) -> None:
    target = f"{section}.{TARGET}"
    kinds: dict[Any, list[Entry]] = {}
    for entry in entries:
        kinds.setdefault(parts[entry.name].get(target), []).append(entry)
    for kind, alike in kinds.items():
        if len(kinds) > 1 and kind is not None:
            for entry in alike:
                option = entry.choices.get(section) or str(kind).rpartition(".")[2]
                changes[entry.name][section] = option
        distinct = {id(parts[e.name]): parts[e.name] for e in alike}
        values: dict[str, set[Any]] = {}
        for part in distinct.values():
            for key in part:
                values.setdefault(key, set())
        missing = object()
        for key, seen in values.items():
            seen.update(repr(part.get(key, missing)) for part in distinct.values())
        varied = [key for key, seen in values.items() if len(seen) > 1 and key != target]
        words = {
            number: {key: part[key] for key in varied if key in part}
            for number, part in distinct.items()
        }
        for entry in alike:
            changes[entry.name] |= words[id(parts[entry.name])]


def _flat(entry: Entry) -> dict[str, Mapping[str, Any]]:
    return {
        section: flat_section(section, text)
        for section, text in entry.config.items()
        if section not in PLACES
    }


@lru_cache(maxsize=1 << 16)
def flat_section(section: str, text: str) -> Mapping[str, Any]:
    """A section of a configuration as flat keys; the same object for the same text."""
    return flat_config({section: _with_short_lists(json.loads(text))})


def _with_short_lists(value: Any) -> Any:
    """Lists of numbers and words as the command line has them, not key by key."""
    if isinstance(value, dict):
        return {key: _with_short_lists(part) for key, part in value.items()}
    if isinstance(value, list) and not any(isinstance(part, dict | list) for part in value):
        return f"[{','.join(map(describe_value, value))}]"
    return value


def brief(value: Any) -> str:
    """A configuration's value in few letters."""
    text = f"{value:.4g}" if isinstance(value, float) else describe_value(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def values_of(entry: Entry, key: str) -> Iterable[Any]:
    """What a filter's key may mean: state, a group's option, a metric, a configuration's key."""
    simple = {"state": entry.state, "split": entry.split, "host": entry.host, "sweep": entry.sweep}
    if key in simple:
        return [simple[key] or ""]
    if key in ("run", "name"):
        return [entry.name]
    if key in ("seconds", "bytes", "accuracy"):
        return [value for value in [_value(entry, key)] if value is not None]
    if key in entry.choices:
        return [entry.choices[key]]
    if key in entry.numbers:
        return [entry.numbers[key]]
    section = key.partition(".")[0]
    flat = flat_section(section, entry.config[section]) if section in entry.config else {}
    return [describe_value(flat[key])] if key in flat else []


def _condition(key: str, sign: str, wanted: str, word: str) -> Callable[[Entry], bool]:
    if word:
        folded = word.casefold()
        return lambda entry: (
            folded in entry.name.casefold()
            or any(folded in part.casefold() for part in entry.overrides)
        )
    if sign == "=":
        choices = wanted.casefold().split(",")
        return lambda entry: any(str(v).casefold() in choices for v in values_of(entry, key))
    try:
        limit = float(wanted)
    except ValueError:
        return lambda entry: False
    compare: Callable[[float], bool] = {
        "<": lambda value: value < limit,
        ">": lambda value: value > limit,
        "<=": lambda value: value <= limit,
        ">=": lambda value: value >= limit,
    }[sign]

    def passes(entry: Entry) -> bool:
        for value in values_of(entry, key):
            try:
                return compare(float(value))
            except ValueError:
                return False
        return False

    return passes


def _value(entry: Entry, key: str) -> Any:
    if key == "run":
        return entry.name
    if key in ("state", "host", "started", "accuracy"):
        return getattr(entry, key)
    if key == "seconds":
        return entry.numbers.get("time.total_s")
    return entry.numbers.get(f"{GROUPS.get(key, entry.split)}.{key}")


def _sorted(entries: list[Entry], sort: str) -> list[Entry]:
    """By a column, ascending or with `-` descending; runs without a value come last."""
    key = sort.removeprefix("-")
    valued = [(value, entry) for entry in entries if (value := _value(entry, key)) is not None]
    valued.sort(key=lambda pair: (pair[0], pair[1].name), reverse=sort.startswith("-"))
    there = {id(entry) for _, entry in valued}
    return [entry for _, entry in valued] + [e for e in entries if id(e) not in there]


def cell(row: Mapping[str, Any], key: str) -> str:
    """What a cell shows, as text."""
    match key:
        case "accuracy":
            return _accuracy(row)
        case "seconds":
            return duration(row["seconds"])
        case "bytes":
            return size(row["bytes"])
        case "started":
            return moment(row["started"])
        case "changes":
            return " ".join(f"{name}={brief(value)}" for name, value in row["config"].items())
        case "stages":
            return ", ".join(f"{name} {duration(s)}" for name, s in row["stages"].items())
        case "host" | "state":
            return str(row[key])
    value = row["metrics"].get(f"{GROUPS.get(key, row['split'])}.{key}")
    if value is None:
        return ""
    return f"{value:,.0f}" if key == "n_train" else f"{value:.4g}"


def _accuracy(row: Mapping[str, Any]) -> str:
    if row["accuracy"] is None:
        return f"{100 * row['val']['accuracy']:.2f} so far" if "accuracy" in row["val"] else ""
    interval = row["accuracy_interval"]
    bounds = " [{:.2f}, {:.2f}]".format(*(100 * end for end in interval)) if interval else ""
    return f"{100 * row['accuracy']:.2f}{bounds}"


def duration(seconds: float | None) -> str:
    """Seconds as people read them."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02} min"
    return f"{minutes // 60}:{minutes % 60:02} h"


def size(value: float | None) -> str:
    """A number of bytes."""
    if value is None:
        return ""
    return f"{value / 1e6:.1f} MB" if value >= 1e6 else f"{value / 1e3:.0f} kB"


def moment(seconds: float | None) -> str:
    """A time of this machine's clock and zone."""
    if not seconds:
        return ""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    except (OverflowError, OSError, ValueError):
        return ""
