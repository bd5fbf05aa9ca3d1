"""From an experiment's outcome to the files of its run folder and the table on the screen."""

import os
import platform
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from rich.table import Table
from threadpoolctl import threadpool_info

from mnist_exp.data import Dataset, Split
from mnist_exp.evaluation import Predictions, confusion_matrix
from mnist_exp.experiment import Outcome
from mnist_exp.models import uncalibrated
from mnist_exp.process import stderr_console
from mnist_exp.report.figures import confusion_figure, errors_figure, frequent_confusions, png
from mnist_exp.report.parts import class_figures
from mnist_exp.report.run_page import explain_test, run_html
from mnist_exp.runs import Run, find_runs, note_test_read

# Those whose change can change a number.
_PACKAGES = (
    "mnist-exp",
    "hydra-core",
    "joblib",
    "matplotlib",
    "numpy",
    "omegaconf",
    "scikit-learn",
    "scipy",
    "skops",
)

GAP = 0.01  # of train and test accuracy that deserves a word


def record(
    run: Run,
    dataset: Dataset,
    outcome: Outcome,
    seconds: dict[str, float],
    seeds: dict[str, int],
    started: float,
    outputs: Path,
) -> dict[str, Any]:
    """Write every file of the run folder, metrics last; returns the metrics.

    `started` is a perf_counter value; reads of a test set are counted in the tree `outputs`.
    """
    environment = {**_environment(dataset, seeds), "fitted_by": outcome.fitted_by}
    metrics = {**outcome.metrics, "time": times(outcome, seconds)}
    page: dict[str, Any] = {}
    with ThreadPoolExecutor(1) as pool:  # deflating the model leaves the interpreter to figures
        size = pool.submit(
            run.save_model,
            outcome.pipeline,
            {
                "format": "skops",
                "input": {"dtype": "uint8", "shape": [None, *dataset.train.images.shape[1:]]},
                "classes": list(dataset.classes),
                "versions": environment["packages"],
                "confidence": outcome.confidence and asdict(outcome.confidence),
            },
        )
        for name, predictions in outcome.predictions.items():
            run.save_predictions("val" if name == "val" else "test", predictions)
        run.save_environment(environment)
        if dataset.test is not None:
            _save_test_files(run, dataset, dataset.test, outcome.predictions["test"])
            page = explain_test(dataset, dataset.test, outcome.predictions["test"])
        metrics["model"] = {"bytes": size.result()}
    if dataset.test is not None:
        features = outcome.pipeline[0]
        page |= {
            "model": type(uncalibrated(outcome.pipeline)[-1]).__name__,
            "features": " + ".join(
                type(step).__name__ for _, step in getattr(features, "steps", [("", features)])
            ),
            "confidence": outcome.confidence,
            "reads": note_test_read(outputs, dataset.test.sha256, run),
            "outputs": str(outputs),
        }
        run.save_report(run_html(run, dataset, metrics, outcome.intervals, environment, page))
    save_metrics(run, outcome, metrics, started)
    return metrics


def save_metrics(run: Run, outcome: Outcome, metrics: dict[str, Any], started: float) -> None:
    """Write metrics and intervals, the last files before a run is complete."""
    metrics["time"]["total_s"] = time.perf_counter() - started
    intervals = {name: asdict(interval) for name, interval in outcome.intervals.items()}
    run.save_metrics(metrics, intervals)


def times(outcome: Outcome, seconds: dict[str, float]) -> dict[str, float]:
    """Return what metrics.json says of time, from the seconds of each stage."""
    n = sum(len(predictions.label) for predictions in outcome.predictions.values())
    return {
        "load_s": seconds["load"],
        "augment_s": seconds["augment"],
        "features_s": seconds["features"],
        "calibrate_s": seconds.get("calibrate", 0.0),
        "fit_s": seconds["features"] + seconds["fit"] + seconds.get("calibrate", 0.0),
        "predict_s": seconds["evaluate"],
        "predict_us_per_image": 1e6 * seconds["evaluate"] / n,
    }


def _save_test_files(run: Run, dataset: Dataset, test: Split, predictions: Predictions) -> None:
    """Write tables and pictures of the test set."""
    classes = dataset.classes
    confusion = confusion_matrix(predictions.label, predictions.prediction, len(classes))
    wrong = int(confusion.sum() - confusion.trace())
    title = f"{dataset.name}: {wrong:,} of {len(test):,} test images wrong"
    counts = [[name, *row] for name, row in zip(classes, confusion, strict=True)]
    run.save_confusion(
        [["true \\ predicted", *classes], *counts], png(confusion_figure(confusion, classes, title))
    )
    run.save_per_class(
        [
            ["class", "support", "precision", "recall", "recall_low", "recall_high", "f1"],
            *(
                [c.name, c.n, c.precision, c.recall]
                + ([c.interval.low, c.interval.high] if c.interval else ["", ""])
                + [c.f1]
                for c in class_figures(confusion, classes)
            ),
        ]
    )
    title = "Most confident mistakes, by confusion (true as predicted)"
    picture = png(errors_figure(predictions, test.images, classes, title))
    confidence = "probability" if predictions.probability is not None else "lead"
    run.save_errors(
        [
            ["index", "true", "predicted", confidence],
            *(
                [predictions.index[i], classes[true], classes[predicted], predictions.confidence[i]]
                for true, predicted, positions in frequent_confusions(predictions, len(classes))
                for i in positions
            ),
        ],
        picture,
    )


def show_summary(run: Run, dataset: Dataset, outcome: Outcome, metrics: dict[str, Any]) -> None:
    """Print the run's figures as a table on stderr."""
    title = f"{type(uncalibrated(outcome.pipeline)[-1]).__name__} on {dataset.name}"
    table = Table(title=title, title_justify="left", show_header=False)
    for split, predictions in outcome.predictions.items():
        interval, n = outcome.intervals[f"{split}.accuracy"], len(predictions.label)
        span = f"[{100 * interval.low:.2f}, {100 * interval.high:.2f}]"
        table.add_row(
            f"{split} accuracy (95 % interval)",
            f"{100 * metrics[split]['accuracy']:.2f} %  {span}  of {n:,}",
        )
        table.add_row(f"{split} macro F1", f"{100 * metrics[split]['macro_f1']:.2f} %")
    table.add_row("train accuracy", _train_accuracy(metrics))
    if "coverage" in metrics.get("test", {}):
        table.add_row("answered at 99.9 %", _answered(metrics))
    if "test" in outcome.predictions:
        names = dataset.classes
        pairs = frequent_confusions(outcome.predictions["test"], len(names))[:3]
        confusions = [f"{names[t]} as {names[p]} ({len(positions)})" for t, p, positions in pairs]
        table.add_row("most frequent confusions", ", ".join(confusions) or "none")
    times = metrics["time"]
    for name, value in {
        "load, augment, fit": "{load_s:.1f} + {augment_s:.1f} + {fit_s:.1f} s, by {by}".format(
            by=outcome.fitted_by, **times
        ),
        "predict": f"{times['predict_us_per_image']:.0f} µs an image",
        "model": f"{metrics['model']['bytes'] / 1e6:.1f} MB",
        "report": os.path.relpath(run.path / "report.html"),
    }.items():
        table.add_row(name, value)
    stderr_console().print(table)


def _train_accuracy(metrics: dict[str, Any]) -> str:
    """The accuracy on images that were learned from, with a word where it parts from the others."""
    learned = metrics["train"]["accuracy"]
    gap = learned - metrics["test" if "test" in metrics else "val"]["accuracy"]
    parting = f"  {100 * gap:.2f} points above unseen ones" if gap > GAP else ""
    return f"{100 * learned:.2f} %{parting}"


def _answered(metrics: dict[str, Any]) -> str:
    test = metrics["test"]
    right = f", {100 * test['selective_accuracy']:.2f} % right" if test["coverage"] else ""
    return f"{100 * test['coverage']:.1f} % of the test images{right}"


def show_sweep(folder: Path) -> None:
    """Print a line for every job of a sweep on stderr; failed ones with their error."""
    table = Table(
        *("job", "overrides", "state", "accuracy", "fit s"),
        title=f"{folder}",
        title_justify="left",
    )
    for run in sorted(find_runs(folder), key=lambda run: (len(run.path.name), run.path.name)):
        state, error, accuracy, fit = run.state, run.status.error, "", ""
        if state == "completed":
            split = "val" if "val" in run.metrics else "test"
            accuracy = f"{100 * run.metrics[split]['accuracy']:.2f} % ({split})"
            fit = f"{run.metrics['time']['fit_s']:.1f}"
        outcome = state if error is None else f"{state}: {error}"
        table.add_row(run.path.name, " ".join(run.overrides), outcome, accuracy, fit)
    stderr_console().print(table)


def _environment(dataset: Dataset, seeds: dict[str, int]) -> dict[str, Any]:
    """Code, versions, machine, seeds and data; None where there is no git checkout to ask."""
    return {
        "git": _git(),
        "python": sys.version,
        "packages": {name: version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "cpu": {"name": platform.processor() or platform.machine(), "logical": psutil.cpu_count()},
        "threads": [
            {key: pool[key] for key in ("user_api", "internal_api", "version", "num_threads")}
            for pool in threadpool_info()
        ],
        "seeds": seeds,
        "data": {
            "name": dataset.name,
            "train": dataset.train.sha256,
            **({"val": dataset.val.sha256} if dataset.val else {}),
            **({"test": dataset.test.sha256} if dataset.test else {}),
        },
    }


def _git() -> dict[str, Any] | None:
    words = ["git", "-C", str(Path(__file__).parent), "status", "--porcelain=v2", "--branch"]
    try:
        answer = subprocess.run(words, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None  # installed from a wheel, or no git on this machine
    commit, *lines = answer.stdout.splitlines()  # "# branch.oid <sha>" comes first
    return {"sha": commit.split()[-1], "dirty": any(line[0] != "#" for line in lines)}
