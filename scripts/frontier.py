"""Accuracy against training time of the presets and of the original baselines; writes README's
table and the plot.

python scripts/frontier.py [--presets NAME ...] [--seeds 0 1 2 3 4]

Time is augmentation, features and fit, divided by that of a bare RandomForest(100) on raw pixels,
fitted in the same run: machines drift. What docs/frontier.json holds is not run again; without it
all starts anew.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import cpu_count

from mnist_exp.evaluation import mean_interval, wilson
from mnist_exp.process import write_bytes, write_json, write_text
from mnist_exp.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOT = Path(__file__).parents[1]
RESULTS, PLOT, README = (
    ROOT / "docs" / "frontier.json",
    ROOT / "docs" / "frontier.png",
    ROOT / "README.md",
)
TABLE = re.compile(r"(<!-- frontier -->\n).*?(<!-- /frontier -->)", re.DOTALL)
PRESETS = ("seed_sgd", "seed_rf", "fast", "balanced", "best")
LABELS = {"seed_sgd": "seed_sgd: linear, raw pixels", "seed_rf": "seed_rf: 100 trees, raw pixels"}
THREADS = min(2, cpu_count())
# What others report on MNIST without a deep-learning framework, error in percent; on other machines, so without a time.
PUBLISHED = {
    "ELM on random receptive fields 2015": 0.83,
    "virtual support vectors 2002": 0.56,
    "scattering + SVM 2013": 0.43,
    "shallow convolution + least squares 2015": 0.37,
}
# The two points that the original project reported: seconds beside its forest's two minutes, accuracy in percent.
ORIGINAL = {
    "original SGD, as reported": (30 / 120, 95.12),
    "original forest, as reported": (1.0, 97.05),
}
FOREST = """
import sys, time
from sklearn.ensemble import RandomForestClassifier
from mnist_exp.config import build, compose
train = build(compose(sys.argv[2:])).load(with_test=False).train
X = train.images.reshape(len(train), -1)
forest = RandomForestClassifier(100, random_state=0, n_jobs=int(sys.argv[1]))
started = time.perf_counter()
forest.fit(X, train.labels)
print(time.perf_counter() - started)
"""
Point = dict[str, Any]


def run_child(command: list[str]) -> tuple[str, float]:
    """What a child process prints, and its peak memory in MB; its failure ends this script."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(command, stdout=out, stderr=errors, env=environment)
        _, status, usage = os.wait4(
            child.pid, 0
        )  # the only way to the peak memory of this one child
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        errors.seek(0)
        if child.returncode:
            raise SystemExit(f"{' '.join(command[:5])} ... failed:\n{errors.read()}")
        return out.read().strip(), usage.ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)


def forest_seconds() -> float:
    """Seconds of the bare fit that is the unit of time."""
    return float(run_child([sys.executable, "-c", FOREST, str(THREADS), "dataset=mnist"])[0])


def measure(preset: str, seed: int, unit: float) -> Point:
    """Run a preset in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        words = [
            f"experiment={preset}",
            "dataset=mnist",
            f"seed={seed}",
            f"n_jobs={THREADS}",
            f"outputs={folder}",
        ]
        path, peak = run_child([sys.executable, "-m", "mnist_exp.train", *words])
        metrics = Run(Path(path)).metrics
    return {
        "preset": preset,
        "seed": seed,
        "accuracy": metrics["test"]["accuracy"],
        "n_test": metrics["data"]["n_test"],
        "train_s": round(
            metrics["time"]["augment_s"] + metrics["time"]["fit_s"], 2
        ),  # the fit's includes the features
        "forest_s": round(unit, 2),
        "model_mb": round(metrics["model"]["bytes"] / 1e6, 1),
        "peak_mb": round(peak),
    }


def kept() -> list[Point]:
    """The points measured so far; read anew each time, since several of these scripts may share the
    work.
    """
    return json.loads(RESULTS.read_text())["points"] if RESULTS.exists() else []


def summarize(points: list[Point]) -> dict[str, float]:
    """Means over seeds in percent, with the interval of the mean or, of one seed, of its test
    images; median costs.
    """
    accuracies = np.array([point["accuracy"] for point in points])
    n = points[0]["n_test"]
    many = len(points) > 1 and accuracies.std() > 0
    interval = mean_interval(accuracies) if many else wilson(round(float(accuracies[0]) * n), n)
    ratios = [point["train_s"] / point["forest_s"] for point in points]
    return {
        "seeds": len(points),
        "accuracy": 100 * float(accuracies.mean()),
        "low": 100 * interval.low,
        "high": 100 * interval.high,
        "ratio": float(np.median(ratios)),
        **{
            name: float(np.median([point[name] for point in points]))
            for name in ("train_s", "model_mb", "peak_mb")
        },
    }


def table(rows: dict[str, dict[str, float]]) -> str:
    """The README's table in Markdown."""
    costs = "training, in forest fits | training, s | peak memory | model"
    lines = [
        f"| `experiment=` | mean test accuracy, 95 % interval | seeds | {costs} |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        accuracy = f"{row['accuracy']:.2f} % [{row['low']:.2f}, {row['high']:.2f}]"
        cost = f"{row['ratio']:.2f} | {row['train_s']:.0f} | {row['peak_mb'] / 1000:.1f} GB | {row['model_mb']:.1f} MB"
        lines.append(f"| `{name}` | {accuracy} | {row['seeds']:.0f} | {cost} |")
    return "\n".join(lines) + "\n"


def plot(rows: dict[str, dict[str, float]]) -> bytes:
    """The frontier as a PNG: error on a logarithmic axis, since the last tenths of a point are the
    hard ones.
    """
    from matplotlib.figure import Figure

    from mnist_exp.report.figures import png

    figure = Figure(figsize=(10, 5.6), layout="constrained")
    axes = figure.subplots()
    axes.set(xscale="log", yscale="log", xlim=(0.1, 60), ylim=(12, 0.28))
    axes.set_title(
        "MNIST on two cores: accuracy against training time", loc="left", fontsize=15, weight="bold"
    )
    axes.set_xlabel("training time, in fits of RandomForest(100) on raw pixels")
    axes.set_ylabel("test accuracy")
    ticks = [90, 95, 97, 98, 99, 99.5, 99.6]
    axes.set_yticks([100 - tick for tick in ticks], [f"{tick:g} %" for tick in ticks])
    axes.set_yticks([], minor=True)
    marks = [0.1, 0.25, 0.5, 1, 2, 4, 10, 30]
    axes.set_xticks(marks, [f"{mark:g}x" for mark in marks])
    axes.set_xticks([], minor=True)
    axes.grid(color="#e6e6e6")
    axes.spines[["top", "right"]].set_visible(False)
    _draw_published(axes)
    _draw_points(axes, rows)
    return png(figure)


def _draw_published(axes: "Axes") -> None:
    for name, error in PUBLISHED.items():
        axes.axhline(error, color="#b0b0b0", linestyle=":", linewidth=1.2, zorder=1)
        axes.annotate(
            f"{100 - error:.2f} %  {name}",
            (58, error),
            ha="right",
            xytext=(0, 3),
            textcoords="offset points",
            fontsize=8.5,
            color="#707070",
        )
    for name, (ratio, accuracy) in ORIGINAL.items():
        axes.plot(ratio, 100 - accuracy, "x", color="#707070", markersize=9, markeredgewidth=2)
        axes.annotate(
            f"{name}: {accuracy} %",
            (ratio, 100 - accuracy),
            xytext=(9, -12),
            textcoords="offset points",
            fontsize=9,
            color="#505050",
        )


def _draw_points(axes: "Axes", rows: dict[str, dict[str, float]]) -> None:
    for name, row in rows.items():
        baseline = name.startswith("seed")
        colour = "#707070" if baseline else "#1f5fbf"
        error, bars = (
            100 - row["accuracy"],
            [[row["high"] - row["accuracy"]], [row["accuracy"] - row["low"]]],
        )
        axes.errorbar(
            row["ratio"], error, yerr=bars, fmt="o", color=colour, markersize=9, capsize=4, zorder=3
        )
        axes.annotate(
            f"{LABELS.get(name, name)}: {row['accuracy']:.2f} %",
            (row["ratio"], error),
            xytext=(10, 6) if baseline else (10, -16),
            textcoords="offset points",
            fontsize=10,
            weight="bold",
            color=colour,
        )
    ours = sorted(
        (row["ratio"], 100 - row["accuracy"])
        for name, row in rows.items()
        if not name.startswith("seed")
    )
    if ours:
        axes.plot(*zip(*ours, strict=True), color="#1f5fbf", linewidth=1.5, alpha=0.5)


def main() -> None:
    """Run what is missing, keeping each point at once, then write the table and the plot."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--presets", nargs="*", choices=PRESETS, default=PRESETS)
    parser.add_argument("--seeds", nargs="*", type=int, default=range(5))
    arguments = parser.parse_args()
    known = {(point["preset"], point["seed"]) for point in kept()}
    wanted = [(preset, seed) for preset in arguments.presets for seed in arguments.seeds]
    missing = [pair for pair in wanted if pair not in known]
    unit = forest_seconds() if missing else 0.0
    for preset, seed in missing:
        point = measure(preset, seed, unit)
        print(point, file=sys.stderr)
        write_json(RESULTS, {"points": [*kept(), point]})
    every = {preset: [point for point in kept() if point["preset"] == preset] for preset in PRESETS}
    rows = {preset: summarize(found) for preset, found in every.items() if found}
    if not rows:
        raise SystemExit("nothing to draw: name presets and seeds")
    write_text(
        README,
        TABLE.sub(
            lambda match: match[1] + table(rows) + match[2], README.read_text(encoding="utf-8")
        ),
    )
    write_bytes(PLOT, plot(rows))


if __name__ == "__main__":
    main()
