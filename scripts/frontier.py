"""Accuracy against training time of the presets and of the original baselines.

python scripts/frontier.py [--presets NAME ...] [--seeds 0 1 2 3 4]

Time is augmentation, features and fit, divided by that of scikit-learn's RandomForest(100) on raw
pixels, fitted anew before each seed: machines drift. What docs/frontier.json holds is not run
again; without it all starts anew, in about ten minutes. Writes the table of docs/training.md and
docs/frontier.png.
"""

import json
import re
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from _measure import ROOT, THREADS, TRAIN, arguments_of, forest_seconds, processor, run_child
from mnist_exp.evaluation import mean_interval, wilson
from mnist_exp.process import write_bytes, write_json, write_text
from mnist_exp.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOCS = ROOT / "docs"
RESULTS, PLOT, PAGE = DOCS / "frontier.json", DOCS / "frontier.png", DOCS / "training.md"
TABLE = re.compile(r"(<!-- frontier -->\n).*?(<!-- /frontier -->)", re.DOTALL)
PRESETS = ("seed_sgd", "seed_rf", "fast", "balanced", "best")
LABELS = {"seed_sgd": "seed_sgd: linear, raw pixels", "seed_rf": "seed_rf: 100 trees, raw pixels"}
# What others report on MNIST without a deep-learning framework, error in percent; on other
# machines, so without a time.
PUBLISHED = {
    "ELM on random receptive fields 2015": 0.83,
    "virtual support vectors 2002": 0.56,
    "scattering + SVM 2013": 0.43,
    "shallow convolution + least squares 2015": 0.37,
}
# What the original project reported: seconds as a share of its forest's two minutes, accuracy in %.
ORIGINAL = {
    "original SGD, as reported": (30 / 120, 95.12),
    "original forest, as reported": (1.0, 97.05),
}
GREY, BLUE, TITLE = "#707070", "#1f5fbf", "MNIST on two cores: accuracy against training time"
TICKS, MARKS = (90, 95, 97, 98, 99, 99.5, 99.6), (0.1, 0.25, 0.5, 1, 2, 4, 10, 30)
Point = dict[str, Any]


def measure(preset: str, seed: int, unit: float) -> Point:
    """Run a preset in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["dataset=mnist", f"seed={seed}", f"n_jobs={THREADS}", f"outputs={folder}"]
        child = run_child([*TRAIN, f"experiment={preset}", *words])
        metrics = Run(Path(child.output)).metrics
    time = metrics["time"]
    return {
        "preset": preset,
        "seed": seed,
        "accuracy": metrics["test"]["accuracy"],
        "n_test": metrics["data"]["n_test"],
        "train_s": round(time["augment_s"] + time["fit_s"], 2),  # the fit's includes the features
        "forest_s": round(unit, 2),
        "model_mb": round(metrics["model"]["bytes"] / 1e6, 1),
        "peak_mb": round(child.peak_mb),
    }


def measured() -> list[Point]:
    """The points so far; read anew each time, since several of these scripts may share the work."""
    return json.loads(RESULTS.read_text())["points"] if RESULTS.exists() else []


def summarize(points: list[Point]) -> dict[str, float]:
    """Means over seeds in percent with their interval, and median costs.

    The interval is that of the mean or, of one seed, of its test images.
    """
    accuracies = np.array([point["accuracy"] for point in points])
    n = points[0]["n_test"]
    many = len(points) > 1 and accuracies.std() > 0
    interval = mean_interval(accuracies) if many else wilson(round(float(accuracies[0]) * n), n)
    costs = {"ratio": [point["train_s"] / point["forest_s"] for point in points]}
    costs |= {
        name: [point[name] for point in points] for name in ("train_s", "model_mb", "peak_mb")
    }
    return {
        "seeds": len(points),
        "accuracy": 100 * float(accuracies.mean()),
        "low": 100 * interval.low,
        "high": 100 * interval.high,
        **{name: float(np.median(values)) for name, values in costs.items()},
    }


def table(rows: dict[str, dict[str, float]]) -> str:
    """The table in Markdown."""
    lines = [
        "| `experiment=` | mean test accuracy, 95 % interval | seeds "
        "| training, in forest fits | training, s | peak memory | model |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        accuracy = f"{row['accuracy']:.2f} % [{row['low']:.2f}, {row['high']:.2f}]"
        memory = f"{row['peak_mb'] / 1000:.1f} GB | {row['model_mb']:.1f} MB"
        cost = f"{row['seeds']:.0f} | {row['ratio']:.2f} | {row['train_s']:.0f} | {memory}"
        lines.append(f"| `{name}` | {accuracy} | {cost} |")
    return "\n".join(lines) + "\n"


def plot(rows: dict[str, dict[str, float]]) -> bytes:
    """The frontier as a PNG: the error's axis is logarithmic, since the last tenths are hard."""
    from matplotlib.figure import Figure

    from mnist_exp.report.figures import png

    figure = Figure(figsize=(10, 5.6), layout="constrained")
    axes = figure.subplots()
    axes.set(xscale="log", yscale="log", xlim=(0.1, 60), ylim=(12, 0.28), ylabel="test accuracy")
    axes.set_xlabel("training time, in fits of RandomForest(100) on raw pixels")
    axes.set_title(TITLE, loc="left", fontsize=15, weight="bold")
    axes.set_yticks([100 - tick for tick in TICKS], [f"{tick:g} %" for tick in TICKS])
    axes.set_xticks(MARKS, [f"{mark:g}x" for mark in MARKS])
    axes.minorticks_off()
    axes.grid(color="#e6e6e6")
    axes.spines[["top", "right"]].set_visible(False)
    draw_published(axes)
    draw_points(axes, rows)
    return png(figure)


def draw_published(axes: "Axes") -> None:
    """Lines for what others report, crosses for what the original project did."""
    beside = partial(axes.annotate, textcoords="offset points")
    for name, error in PUBLISHED.items():
        axes.axhline(error, color="#b0b0b0", linestyle=":", linewidth=1.2, zorder=1)
        text = f"{100 - error:.2f} %  {name}"
        beside(text, (58, error), (0, 3), ha="right", fontsize=8.5, color=GREY)
    for name, (ratio, accuracy) in ORIGINAL.items():
        place = ratio, 100 - accuracy
        axes.plot(*place, "x", color=GREY, markersize=9, markeredgewidth=2)
        beside(f"{name}: {accuracy} %", place, (9, -12), fontsize=9, color="#505050")


def draw_points(axes: "Axes", rows: dict[str, dict[str, float]]) -> None:
    """The measured presets, with a line through those that are not baselines."""
    for name, row in rows.items():
        baseline = name[:4] == "seed"
        colour, offset = (GREY, (10, 6)) if baseline else (BLUE, (10, -16))
        place = row["ratio"], 100 - row["accuracy"]
        bars = [[row["high"] - row["accuracy"]], [row["accuracy"] - row["low"]]]
        axes.errorbar(*place, yerr=bars, fmt="o", color=colour, markersize=9, capsize=4, zorder=3)
        text = f"{LABELS.get(name, name)}: {row['accuracy']:.2f} %"
        beside = partial(axes.annotate, textcoords="offset points", fontsize=10, weight="bold")
        beside(text, place, offset, color=colour)
    ours = [
        (row["ratio"], 100 - row["accuracy"]) for name, row in rows.items() if name[:4] != "seed"
    ]
    axes.plot(*np.array(sorted(ours)).reshape(-1, 2).T, color=BLUE, linewidth=1.5, alpha=0.5)


def main() -> None:
    """Run what is missing, saving each point at once, then write the table and the plot."""
    parser = arguments_of(__doc__)
    parser.add_argument("--presets", nargs="*", choices=PRESETS, default=PRESETS)
    parser.add_argument("--seeds", nargs="*", type=int, default=range(5))
    arguments = parser.parse_args()
    known = {(point["preset"], point["seed"]) for point in measured()}
    for seed in arguments.seeds:
        missing = [preset for preset in arguments.presets if (preset, seed) not in known]
        unit = forest_seconds("dataset=mnist") if missing else 0.0
        for preset in missing:
            point = measure(preset, seed, unit)
            print(point, file=sys.stderr)
            write_json(RESULTS, {"machine": processor(), "points": [*measured(), point]})
    points = {name: [point for point in measured() if point["preset"] == name] for name in PRESETS}
    rows = {name: summarize(seeds) for name, seeds in points.items() if seeds}
    if not rows:
        raise SystemExit("nothing to draw: name presets and seeds")
    text = PAGE.read_text(encoding="utf-8")
    machine = json.loads(RESULTS.read_text()).get("machine")
    lines = table(rows) + (f"\nMeasured on {machine}.\n" if machine else "")
    write_text(PAGE, TABLE.sub(lambda match: match[1] + lines + match[2], text))
    write_bytes(PLOT, plot(rows))


if __name__ == "__main__":
    main()
