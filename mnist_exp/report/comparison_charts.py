"""Where marks lie in the small charts of a page.

The templates draw them, so that they follow the page's light and width.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from mnist_exp.comparison import ComparedRun, Group
from mnist_exp.evaluation import Interval

MOST_TICKS = 5
MOST_LABELS = 6  # marks that bear a name; of more, names would cover each other


@dataclass(frozen=True)
class Scale:
    """From values to 0..100, linear or by decades."""

    low: float
    high: float
    by_decades: bool = False

    @classmethod
    def around(cls, values: Iterable[float], by_decades: bool = False) -> "Scale":
        """A scale with a margin on either side of all values."""
        every = [math.log10(value) for value in values] if by_decades else list(values)
        low, high = min(every), max(every)
        margin = 0.08 * (high - low) or (0.3 if by_decades else 0.001)
        return cls(low - margin, high + margin, by_decades)

    def place(self, value: float) -> float:
        """0 at the low end, 100 at the high end."""
        at = math.log10(value) if self.by_decades else value
        return round(100 * (at - self.low) / (self.high - self.low), 2)

    def bar(self, value: float, interval: Interval) -> dict[str, float]:
        """A mark and the bar of its interval."""
        return {
            "low": self.place(interval.low),
            "at": self.place(value),
            "high": self.place(interval.high),
        }

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """A few round numbers with their places."""
        if not self.by_decades:
            return [
                (self.place(value), f"{value:.10g}")
                for value in _round_numbers(self.low, self.high)
            ]
        low, high = 10**self.low, 10**self.high
        for digits in ((1, 2, 5), (1,)):
            decades = [digit * 10.0**power for power in range(-12, 13) for digit in digits]
            inside = [value for value in decades if low <= value <= high]
            if len(inside) <= MOST_TICKS:
                break
        if len(inside) < 2:  # a scale too short for 1, 2, 5
            inside = _round_numbers(low, high)
        return [
            (self.place(value), _short(value)) for value in inside[:: -(-len(inside) // MOST_TICKS)]
        ]


def _round_numbers(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, three to five of them."""
    least = (high - low) / 4
    unit = 10.0 ** math.floor(math.log10(least))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= least)
    return [
        round(number * step, 12)
        for number in range(math.ceil(low / step), math.floor(high / step) + 1)
    ]


def _short(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def cost_chart(runs: Sequence[ComparedRun], key: str, title: str) -> dict[str, Any] | None:
    """Accuracy in per cent against a cost by decades; None without costs.

    `front` joins the runs that no other beats in both.
    """
    costly = [
        (float(cost), run)
        for run in runs
        if (cost := (run.bytes if key == "bytes" else run.time.get(key)) or 0) > 0
    ]
    if len(costly) < 2:
        return None
    x = Scale.around((cost for cost, _ in costly), by_decades=True)
    y = Scale.around(edges(in_points(run.accuracy_interval) for _, run in costly))
    points = [
        {
            "x": x.place(cost),
            "bar": y.bar(100 * run.accuracy, in_points(run.accuracy_interval)),
            "verdict": run.difference.verdict if run.difference else "baseline",
            "label": PurePosixPath(run.name).name if len(costly) <= MOST_LABELS else "",
            "title": f"{run.name} {run.changes}: {100 * run.accuracy:.2f} %, {_short(cost)}",
        }
        for cost, run in costly
    ]
    return {
        "title": title,
        "points": points,
        "x_ticks": x.ticks,
        "y_ticks": y.ticks,
        "front": _front(points),
    }


def _front(points: Sequence[dict[str, Any]]) -> list[tuple[float, float]]:
    """The points, by rising cost, that are more accurate than every cheaper one."""
    front: list[tuple[float, float]] = []
    for point in sorted(points, key=lambda point: (point["x"], -point["bar"]["at"])):
        if not front or point["bar"]["at"] > front[-1][1]:
            front.append((point["x"], point["bar"]["at"]))
    return front


def in_points(interval: Interval) -> Interval:
    """An interval of shares in hundredths."""
    return replace(interval, low=100 * interval.low, high=100 * interval.high)


def edges(intervals: Iterable[Interval]) -> list[float]:
    """Both ends of every interval."""
    return [edge for interval in intervals for edge in (interval.low, interval.high)]


def strips(groups: Sequence[Group]) -> dict[str, Any] | None:
    """A line for each recipe, all on one scale in per cent; None without recipes.

    It has a dot for each seed, the mean and its interval.
    """
    if not groups:
        return None
    values = [100 * accuracy for group in groups for accuracy in group.accuracies]
    intervals = [in_points(group.interval) for group in groups if group.interval]
    scale = Scale.around(values + edges(intervals))
    return {
        "key": groups[0].key,
        "ticks": scale.ticks,
        "lines": [
            {
                "group": group,
                "dots": [
                    (scale.place(100 * accuracy), f"{group.key} {value}: {100 * accuracy:.2f} %")
                    for accuracy, value in zip(group.accuracies, group.values, strict=True)
                ],
                "mean": scale.place(100 * group.mean),
                "interval": scale.bar(100 * group.mean, in_points(group.interval))
                if group.interval
                else None,
            }
            for group in groups
        ],
    }
