"""What the table's cells show, as text."""

import math
import time
from collections.abc import Mapping
from typing import Any

from mnist_exp.app.board.view import GROUPS
from mnist_exp.comparison import describe_value

LONGEST_VALUE = 60  # letters


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
        when = "so far" if row["state"] == "running" else "at last"
        return f"{100 * row['val']['accuracy']:.2f} {when}" if "accuracy" in row["val"] else ""
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


def brief(value: Any) -> str:
    """A configuration's value in few letters."""
    text = f"{value:.4g}" if isinstance(value, float) else describe_value(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
