"""The page of a curve: accuracy along one key, with bands, and what it says of more data."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mnist_exp.comparison import Curve, curve_answers, curve_basis, curve_head, curve_rows
from mnist_exp.process import write_text
from mnist_exp.report.figures import new_axes, png
from mnist_exp.report.page import render

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_curve_page(curve: Curve, path: Path) -> None:
    """Write the page as one file that needs no network."""
    content = {
        "title": f"Accuracy along {curve.key}",
        "basis": curve_basis(curve),
        "answers": curve_answers(curve),
        "picture": png(curve_figure(curve)),
        "head": curve_head(curve),
        "rows": curve_rows(curve),
        "skipped": curve.skipped,
    }
    write_text(path, render("curve.html", content).encode("utf-8", "replace").decode())


def curve_figure(curve: Curve) -> "Figure":
    """A line for each recipe with the band of its intervals; the law that was fitted is dashed."""
    from matplotlib.ticker import FuncFormatter
    from seaborn import color_palette

    figure, (axes,) = new_axes(8.0, 4.8)
    markers = "osD^vP*X"
    for number, line in enumerate(curve.lines):
        colour = color_palette("colorblind")[number % 10]
        values = np.array([point.value for point in line.points])
        low, mean, high = (
            100 * np.array(shares)
            for shares in zip(
                *((p.interval.low, p.accuracy, p.interval.high) for p in line.points), strict=True
            )
        )
        axes.fill_between(values, low, high, color=colour, alpha=0.2, linewidth=0)
        marker = markers[number % len(markers)]
        axes.plot(values, mean, marker=marker, color=colour, label=line.recipe)
        if line.law:
            sizes = np.geomspace(values[0], line.law.next_size, 100)
            errors = line.law.floor + line.law.factor * sizes**-line.law.exponent
            axes.plot(sizes, 100 * (1 - errors), "--", color=colour, linewidth=1)
            interval = line.law.next_interval
            ends = [
                [line.law.next_accuracy - interval.low],
                [interval.high - line.law.next_accuracy],
            ]
            axes.errorbar(
                [line.law.next_size],
                [100 * line.law.next_accuracy],
                yerr=100 * np.maximum(ends, 0),
                fmt=marker,
                markerfacecolor="white",
                color=colour,
                capsize=3,
            )
    if curve.by_decades:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.set(xlabel=curve.key, ylabel=f"{curve.split} accuracy, %")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if len(curve.lines) > 1:
        axes.legend(frameon=False, loc="lower right")
    return figure
