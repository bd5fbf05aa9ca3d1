"""Which runs an address asks for, and in which order."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from mnist_exp.app.board.differences import flat_section
from mnist_exp.app.board.entry import Entry, is_number
from mnist_exp.comparison import describe_value

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
FEWEST_ROWS, MOST_ROWS = 100, 5_000
_WORD = re.compile(r"([^\s=<>]+)(<=|>=|=|<|>)(\S+)|(\S+)")


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


def select(entries: Iterable[Entry], view: View) -> list[Entry]:
    """The runs that pass the filter, in order; unsorted ones by sweep, newest first."""
    selected = list(entries)
    for match in _WORD.finditer(view.filter):
        passes = _condition(*match.groups())
        selected = [entry for entry in selected if passes(entry)]
    if view.sort:
        return _sorted(selected, view.sort)
    newest: dict[str | None, float] = {}
    for entry in selected:
        newest[entry.sweep] = max(newest.get(entry.sweep, 0.0), entry.started)

    def place(entry: Entry) -> tuple[Any, ...]:
        group = entry.started if entry.sweep is None else newest[entry.sweep]
        return group, entry.sweep or "", entry.started, entry.name

    return sorted(selected, key=place, reverse=True)


def values_of(entry: Entry, key: str) -> Iterable[Any]:
    """What a filter's key may mean: state, a group's option, a metric, a configuration's key."""
    simple = {"state": entry.state, "split": entry.split, "host": entry.host, "sweep": entry.sweep}
    if key in simple:
        return [simple[key] or ""]
    if key in ("run", "name"):
        return [entry.name]
    if key in ("seconds", "bytes", "accuracy"):
        return [value for value in [_value(entry, key)] if value is not None]
    choices, config, numbers = entry.details.choices, entry.details.config, entry.numbers
    if key in choices:
        return [choices[key]]
    if key in numbers:
        return [numbers[key]]
    section = key.partition(".")[0]
    flat = flat_section(section, config[section]) if section in config else {}
    return [describe_value(flat[key])] if key in flat else []


def _condition(key: str, sign: str, wanted: str, word: str) -> Callable[[Entry], bool]:
    if word:
        folded = word.casefold()
        return lambda entry: (
            folded in entry.name.casefold()
            or any(folded in part.casefold() for part in entry.details.overrides)
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
    group, name = ("time", "total_s") if key == "seconds" else (GROUPS.get(key, entry.split), key)
    values = entry.details.metrics.get(str(group))
    value = values.get(name) if isinstance(values, dict) else None
    return value if is_number(value) else None


def _sorted(entries: list[Entry], sort: str) -> list[Entry]:
    """By a column, ascending or with `-` descending; runs without a value come last."""
    key = sort.removeprefix("-")
    valued = [(value, entry) for entry in entries if (value := _value(entry, key)) is not None]
    valued.sort(key=lambda pair: (pair[0], pair[1].name), reverse=sort.startswith("-"))
    there = {id(entry) for _, entry in valued}
    return [entry for _, entry in valued] + [e for e in entries if id(e) not in there]
