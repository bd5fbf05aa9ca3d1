"""Configurations as flat keys, and what is worth saying about two that differ."""

import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from yaml import YAMLError

from mnist_exp.errors import UserError
from mnist_exp.runs import Run, current_targets, parse_yaml

Config = dict[str, Any]  # dotted key -> number, text, truth value or None

TARGET = "_target_"
# Where things lie, which changes nothing in a result.
PLACES = frozenset(
    {"cache_dir", "cache_gb", "data_dir", "outputs", "dataset.cache_dir", "dataset.data_dir"}
)
THREADS = frozenset({"n_jobs"})  # changes times, so it is shown; it makes no other recipe
MOST_KEYS = 10_000
ABSENT = object()
_SECTION = re.compile(r"^(?=[A-Za-z_])", re.MULTILINE)  # where a top-level key starts


def read_config(run: Run) -> Config | None:
    """A run's configuration, flat; None where the folder came without it.

    Sections that many runs share are parsed once. Where a configuration cannot be cut (an alias
    points from one section to another, a text goes on at the margin), a part does not parse, and
    the whole is read at once.
    """
    if not run.config_path.exists():
        return None
    sections = [section for section in _SECTION.split(run.config_text) if section]
    try:
        parsed = [_read_section(section) for section in sections or [""]]
    except (YAMLError, TypeError):
        return flatten(run.config)
    return _bounded({key: value for section in parsed for key, value in section.items()})


@lru_cache(maxsize=1024)
def _read_section(text: str) -> Config:
    return flatten(current_targets({**parse_yaml(text)}))


def flatten(config: Mapping[str, Any]) -> Config:
    """Nested mappings and lists as dotted keys; runs share keys and texts, which saves memory."""
    flat: Config = {}
    for key, value in _leaves(config, ""):
        if key not in PLACES:
            _bounded(flat)
            flat[sys.intern(key)] = sys.intern(value) if isinstance(value, str) else value
    return flat


def _bounded(flat: Config) -> Config:
    if len(flat) > MOST_KEYS:
        raise UserError(f"its configuration has more than {MOST_KEYS:,} keys")
    return flat


def _leaves(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping | list) and value:
        for name, part in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _leaves(part, f"{key}.{name}" if key else str(name))
    elif isinstance(value, str | int | None) or (isinstance(value, float) and math.isfinite(value)):
        yield key, value
    else:  # JSON has no NaN, and NaN is not even equal to itself
        yield key, str(value)


def changed_keys(configs: Sequence[Config]) -> list[str]:
    """The keys whose value is not the same in all configurations, as they first appear."""
    return [
        key
        for key in dict.fromkeys(key for config in configs for key in config)
        if any(config.get(key, ABSENT) != configs[0].get(key, ABSENT) for config in configs)
    ]


def describe_changes(before: Config, after: Config) -> str:
    """What makes `after` another recipe than `before`, in the words of the command line.

    Where another object was chosen, its name says it: that a forest has no learning rate is no
    news.
    """
    changed = changed_keys([before, after])
    swapped = [key.removesuffix(TARGET) for key in changed if key.endswith(TARGET)]
    words = []
    for key in changed:
        holder = next((prefix for prefix in swapped if key.startswith(prefix)), None)
        if holder is None:
            words.append(f"{key}={text(after[key])}" if key in after else f"~{key}")
        elif key == holder + TARGET:
            name = text(after[key]).rpartition(".")[2] if key in after else "-"
            words.append(f"{holder.rstrip('.')}={name}")
    return " ".join(words)


def text(value: Any) -> str:
    """A value as the command line writes it."""
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value))


def recipe(config: Config, varied: str) -> frozenset[tuple[str, str]]:
    """What two runs share that differ in the key `varied` only: they repeat one recipe."""
    return frozenset(
        (key, repr(value)) for key, value in config.items() if key not in THREADS | {varied}
    )
