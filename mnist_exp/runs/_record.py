"""What tables say of a run, read at once: from the index where the folder has not changed."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
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
MOST_KEYS = 10_000  # of a configuration
_SECTION = re.compile(r"^(?=[A-Za-z_])", re.MULTILINE)  # where a top-level key starts
_CHOICES = re.compile(r"^  runtime:\n(?:    .*\n)*?    choices:\n((?:      .*\n)+)", re.MULTILINE)


@dataclass(frozen=True)
class Record:
    """What a run's small files hold; what cannot be read is empty, and the reason among `problems`.

    Attributes
    ----------
    status : Status or None
        As written: `stale` is for `Run.state` to find out.
    intervals : dict of pairs
        Metric name to low and high.
    config : dict of str
        The configuration's sections as JSON texts, which siblings share.
    """

    status: Status | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    intervals: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    choices: dict[str, str] = field(default_factory=dict)
    config: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


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
                news[key] = json.dumps(asdict(record), default=str).encode()
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
        if record and record.metrics and record.config:
            config = {name: json.loads(text) for name, text in record.config.items()}
            vars(run).update(metrics=record.metrics, config=config)  # cached properties


def _decode(entry: bytes) -> Record | None:
    try:
        content = json.loads(entry)
        return Record(**content | {"status": Status(**content["status"])})
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
    return Record(
        status=status,
        metrics=attempt(lambda: run.metrics, {}) if completed else {},
        intervals=attempt(lambda: _bounds(run.intervals), {}) if completed else {},
        overrides=attempt(lambda: [str(w) for w in run.overrides], []) if folder.is_dir() else [],
        choices=attempt(lambda: _choices(run), {}) if folder.is_dir() else {},
        config=attempt(lambda: _config(run), {}) if run.config_path.exists() else {},
        problems=problems,
    )


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
