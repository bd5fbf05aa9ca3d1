"""A run as the board has it: nothing of what its files hold is trusted, neither types nor sizes."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeGuard, get_args

from mnist_exp.comparison import one_line
from mnist_exp.runs import Details, Record, Run, State, unpack

UNREADABLE = "unreadable"
STATES = (*get_args(State), UNREADABLE)
MOST_POINTS = 1000  # of a curve
NO_DETAILS = "{}"


@dataclass(slots=True, eq=False)
class Entry:
    """A run as the table has it."""

    name: str  # its path below the board's folder
    run: Run
    sweep: str | None  # name of the folder that it is a job of
    folder_time: int
    key: bytes
    state: str = UNREADABLE
    problem: str = ""
    started: float = 0.0  # seconds since 1970
    ended: float | None = None
    argv: tuple[str, ...] = ()
    host: str = ""
    split: str | None = None
    accuracy: float | None = None
    interval: tuple[float, float] | None = None
    text: str = NO_DETAILS
    progress: Mapping[str, Any] = field(default_factory=dict)

    @property
    def details(self) -> Details:
        """Metrics, settings and curve; unpacked when they are asked for."""
        return _details(self.text)

    @property
    def numbers(self) -> dict[str, float]:
        """Every metric, `test.macro_f1` ..."""
        return dict(numbers_of(self.details.metrics))

    @property
    def curve(self) -> list[tuple[float, float]]:
        """Share of the fit and validation accuracy, point by point."""
        points = self.progress["curve"] if self.progress else self.details.curve
        return [
            (point["share"], point["accuracy"])
            for point in as_list(points)[:MOST_POINTS]
            if isinstance(point, dict)
            and is_share(point.get("share"))
            and is_share(point.get("accuracy"))
        ]

    def fill(self, record: Record) -> None:
        """Take over what was read; what makes no sense is left out."""
        self.text = record.text
        self.problem = one_line(record.problems[0]) if record.problems else ""
        status = record.status
        if status is None:
            return
        self.started, self.ended = _seconds(status.started) or 0.0, _seconds(status.ended)
        self.argv = tuple(sys.intern(str(word)) for word in as_list(status.argv))
        self.host = sys.intern(str(status.host))
        if status.error:
            self.problem = one_line(str(status.error))
        if is_number(record.accuracy):
            self.split, self.accuracy = record.split, record.accuracy
            low, high = record.interval or (None, None)
            self.interval = (low, high) if is_number(low) and is_number(high) else None

    def clear(self) -> None:
        """Forget all that was read."""
        blank = Entry(self.name, self.run, self.sweep, self.folder_time, self.key)
        for name in Entry.__dataclass_fields__:
            setattr(self, name, getattr(blank, name))


@lru_cache(maxsize=1 << 14)
def _details(text: str) -> Details:
    return unpack(text)


def progress_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """What `progress.json` says, as far as it makes sense."""
    share, stage = content.get("share"), content.get("stage")
    return {
        "stage": one_line(str(stage))[:40] if isinstance(stage, str) else None,
        "share": share if is_share(share) else None,
        "val": dict(numbers_of({"val": content.get("val")})),
        "curve": content.get("curve"),
    }


def as_list(value: Any) -> list[Any]:
    """A list of what is one, else none."""
    return list(value) if isinstance(value, list | tuple) else []


def is_number(value: Any) -> TypeGuard[float]:
    """Whether this is a finite number."""
    return type(value) in (int, float) and abs(value) < sys.float_info.max


def is_share(value: Any) -> TypeGuard[float]:
    """Whether this is a number from 0 to 1."""
    return is_number(value) and 0 <= value <= 1


def numbers_of(metrics: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Nested metrics as `group.name` and number."""
    for group, section in metrics.items():
        if isinstance(section, dict):
            for key, value in section.items():
                if is_number(value) and (name := f"{group}.{key}").isprintable():
                    yield name, value


def _seconds(moment: Any) -> float | None:
    try:
        when = datetime.fromisoformat(str(moment))
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
