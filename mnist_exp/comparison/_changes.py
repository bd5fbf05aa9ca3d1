"""Configurations as flat keys, and what is worth saying about two that differ."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mnist_exp.errors import UserError

Config = dict[str, Any]  # dotted key -> number, text, truth value or None

TARGET = "_target_"
# Where things lie, which changes nothing in a result.
PLACES = frozenset({"cache_dir", "cache_gb", "data_dir", "outputs", "dataset.cache_dir", "dataset.data_dir"})
THREADS = frozenset({"n_jobs"})  # changes times, so it is shown, but no prediction, so it makes no other recipe
MOST_KEYS = 10_000
ABSENT = object()


def flatten(config: Mapping[str, Any]) -> Config:
    """Nested mappings and lists as dotted keys; keys and texts are shared among runs, which saves much memory."""
    flat: Config = {}
    for key, value in _leaves(config, ""):
        if key in PLACES:
            continue
        if len(flat) >= MOST_KEYS:
            raise UserError(f"its configuration has more than {MOST_KEYS} keys")
        flat[sys.intern(key)] = sys.intern(value) if isinstance(value, str) else value
    return flat


def _leaves(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    below: Iterable[tuple[Any, Any]]
    if isinstance(value, Mapping) and value:
        below = value.items()
    elif isinstance(value, list) and value:
        below = enumerate(value)
    else:
        yield key, value if isinstance(value, str | int | float | None) else str(value)
        return
    for name, part in below:
        yield from _leaves(part, f"{key}.{name}" if key else str(name))


def changed_keys(configs: Iterable[Config]) -> list[str]:
    """The keys whose value is not the same in all configurations, in the order of their first appearance."""
    every = list(configs)
    keys = dict.fromkeys(key for config in every for key in config)
    return [key for key in keys if any(config.get(key, ABSENT) != every[0].get(key, ABSENT) for config in every)]


def describe_changes(before: Config, after: Config) -> str:
    """What makes `after` another recipe than `before`, in the words of the command line.

    Where another object was chosen, its name says it: that a forest has no learning rate is no news.
    """
    keys = dict.fromkeys((*before, *after))
    changed = [key for key in keys if before.get(key, ABSENT) != after.get(key, ABSENT)]
    swapped = [key.removesuffix(TARGET) for key in changed if key.endswith(TARGET)]
    told = []
    for key in changed:
        holder = next((prefix for prefix in swapped if key.startswith(prefix)), None)
        if holder is None:
            told.append(f"{key}={text(after[key])}" if key in after else f"~{key}")
        elif key == holder + TARGET:
            name = text(after[key]).rpartition(".")[2] if key in after else "-"
            told.append(f"{holder.rstrip('.')}={name}")
    return " ".join(told)


def text(value: Any) -> str:
    """A value as the command line writes it."""
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value))


def recipe(config: Config, varied: str) -> frozenset[tuple[str, str]]:
    """What two runs share that differ in the key `varied` only: they are repeats of one recipe."""
    left_out = THREADS | {varied}
    return frozenset((key, repr(value)) for key, value in config.items() if key not in left_out)
