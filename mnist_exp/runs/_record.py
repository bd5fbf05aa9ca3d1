"""What tables say of a run, read at once: from the index where the folder has not changed."""

import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from yaml import YAMLError

from mnist_exp.errors import UserError
from mnist_exp.runs._index import Fingerprint, Index, fingerprint
from mnist_exp.runs._reading import current_targets, parse_yaml
from mnist_exp.runs._run import Run
from mnist_exp.runs._status import Status

FILES = (
    "status.json",
    "metrics.json",
    "intervals.json",
    ".hydra/config.yaml",
    ".hydra",  # with Hydra's other files, which nobody edits in place
)
RECORD = "record"  # the kind of the index's entries
SPLITS = ("test", "val")
MOST_KEYS = 10_000  # of a configuration
_SECTION = re.compile(r"^(?=[A-Za-z_])", re.MULTILINE)  # where a top-level key starts
_CHOICES = re.compile(r"^  runtime:\n(?:    .*\n)*?    choices:\n((?:      .*\n)+)", re.MULTILINE)


@dataclass(frozen=True)
class Details:
    """What only a run's own row, its page and comparisons need.

    Attributes
    ----------
    intervals : dict of pairs
        Metric name to low and high.
    config : dict of str
        The configuration's sections as JSON texts, which siblings share.
    curve : list of dict
        What validation said as the fit went on.
    """

    metrics: dict[str, Any] = field(default_factory=dict)
    intervals: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    choices: dict[str, str] = field(default_factory=dict)
    config: dict[str, str] = field(default_factory=dict)
    curve: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Record:
    """What a run's small files hold; what cannot be read is empty, and the reason among `problems`.

    Attributes
    ----------
    status : Status or None
        As written: `stale` is for `Run.state` to find out.
    split : str or None
        The split of `accuracy` and of its `interval`: test where there is one.
    text : str
        The details as JSON. A page shows a hundred of ten thousand runs; the others stay packed.
    """

    status: Status | None
    split: str | None
    accuracy: Any
    interval: Any
    problems: list[str]
    text: str

    @property
    def details(self) -> Details:
        """The details, unpacked."""
        return unpack(self.text)


def unpack(text: str) -> Details:
    """Details from their JSON; what siblings' configurations share is in memory once."""
    details = Details(**json.loads(text))
    config = {name: sys.intern(part) for name, part in details.config.items()}
    return replace(details, config=config)


def read_records(
    runs: Sequence[Run], index: Index | None, prints: Sequence[Fingerprint] | None = None
) -> list[Record]:
    """The records of runs, in their order; what had to be read of ended runs goes to the index.

    `prints` are the fingerprints of their `FILES`, where these have been looked at already.
    """
    if prints is None:
        prints = [fingerprint(str(run.path), RECORD, FILES) for run in runs]
    entries = index.get(looked_at.key for looked_at in prints) if index else {}
    records = []
    news = {}
    for run, (key, settled, _) in zip(runs, prints, strict=True):
        record = _decode(entries.pop(key)) if key in entries else None
        if record is None:
            record = read_record(Run(run.path))  # which keeps nothing of what it reads
            if settled and record.status is not None and record.status.state != "running":
                news[key] = _encode(record)
        records.append(record)
    if index:
        index.put(news)
    return records


def fill_from_index(runs: Sequence[Run], index: Index) -> None:
    """Give runs what was read of them before, where nothing has changed; the rest they read."""
    keys = [fingerprint(str(run.path), RECORD, FILES).key for run in runs]
    entries = index.get(keys)
    for run, key in zip(runs, keys, strict=True):
        record = _decode(entries[key]) if key in entries else None
        details = record.details if record else Details()
        if details.metrics and details.config:
            config = {name: json.loads(text) for name, text in details.config.items()}
            vars(run).update(metrics=details.metrics, config=config)  # cached properties


def _encode(record: Record) -> bytes:
    head = vars(record) | {"status": vars(record.status), "text": ""}
    return f"{json.dumps(head, default=str)}\n{record.text}".encode()


def _decode(entry: bytes) -> Record | None:
    head, _, text = entry.decode("utf-8", "replace").partition("\n")
    try:
        content = json.loads(head)
        return Record(**content | {"status": Status(**content["status"]), "text": text})
    except (ValueError, TypeError, KeyError):  # written by something else
        return None


def read_record(run: Run) -> Record:
    """Read a run's small files, whatever is in them."""
    problems: list[str] = []

    def attempt(read: Callable[[], Any], default: Any) -> Any:
        try:
            return read()
        except UserError as error:
            problems.append(str(error))
        except Exception as error:  # a folder from elsewhere can be broken in any way
            problems.append(f"{run.path}: {type(error).__name__}: {error}")
        return default

    status = attempt(lambda: run.status, None)
    completed = status is not None and status.state == "completed"
    folder = run.config_path.parent
    details = Details(
        metrics=attempt(lambda: run.metrics, {}) if completed else {},
        intervals=attempt(lambda: _bounds(run.intervals), {}) if completed else {},
        overrides=attempt(lambda: [str(w) for w in run.overrides], []) if folder.is_dir() else [],
        choices=attempt(lambda: _choices(run), {}) if folder.is_dir() else {},
        config=attempt(lambda: _config(run), {}) if run.config_path.exists() else {},
        curve=attempt(lambda: run.curve, []) if completed else [],
    )
    split = next((split for split in SPLITS if "accuracy" in _group(details, split)), None)
    return Record(
        status=status,
        split=split,
        accuracy=_group(details, split)["accuracy"] if split else None,
        interval=details.intervals.get(f"{split}.accuracy"),
        problems=problems,
        text=json.dumps(vars(details), default=str),
    )


def _group(details: Details, name: str) -> dict[str, Any]:
    group = details.metrics.get(name)
    return group if isinstance(group, dict) else {}


def _bounds(intervals: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {name: (interval["low"], interval["high"]) for name, interval in intervals.items()}


def _choices(run: Run) -> dict[str, str]:
    """What was chosen, cut out of Hydra's 20 kB of settings, which take long to parse."""
    block = _CHOICES.search(run.hydra_text)
    choices = _parsed(block[1]) if block else run.choices
    return {group: option for group, option in choices.items() if isinstance(option, str)}


def _config(run: Run) -> dict[str, str]:
    """The configuration in sections; those that many runs share are parsed once.

    Where it cannot be cut (an alias points from one section to another, a text goes on at the
    margin), a part does not parse, and the whole is read at once.
    """
    sections = [text for text in _SECTION.split(run.config_text) if text]
    try:
        parts = [_section(text) for text in sections]
    except (YAMLError, TypeError, AttributeError):
        return _texts(run.config)
    return {key: text for part in parts for key, text in part.items()}


@lru_cache(maxsize=4096)
def _section(text: str) -> dict[str, str]:
    return _texts(current_targets({**parse_yaml(text)}))


@lru_cache(maxsize=256)
def _parsed(text: str) -> dict[str, Any]:
    return {**parse_yaml(text)}


def _texts(config: dict[str, Any]) -> dict[str, str]:
    _count(config, MOST_KEYS)
    return {str(key): json.dumps(value, default=str) for key, value in config.items()}


def _count(value: Any, left: int) -> int:
    """How many more keys are allowed; a few lines of YAML's aliases would fill any memory."""
    if left < 0:
        raise UserError(f"its configuration has more than {MOST_KEYS:,} keys")
    for part in value.values() if isinstance(value, dict) else value:
        left = _count(part, left - 1) if isinstance(part, dict | list) else left - 1
    return left
