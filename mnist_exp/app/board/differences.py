"""What the configurations of siblings differ in."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from mnist_exp.app.board.entry import Entry
from mnist_exp.comparison import describe_value, flat_config

PLACES = ("outputs", "data_dir", "cache_dir", "cache_gb", "search")  # they make no other result
TARGET = "_target_"
NOTHING: Mapping[str, Any] = {}


def family(entries: Sequence[Entry]) -> dict[str, dict[str, Any]]:
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
                option = entry.details.choices.get(section) or str(kind).rpartition(".")[2]
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
        for section, text in entry.details.config.items()
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


def study_name(entry: Entry) -> str | None:
    """The name that the configuration gives to the study of a search."""
    text = entry.details.config.get("search", "null")
    name = flat_section("search", text).get("search.study_name")
    return name if isinstance(name, str) else None
