"""From an experiment's outcome to the files of its run folder and the table on the screen."""

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from mnist_exp.data import Dataset, Split
from mnist_exp.evaluation import Predictions, confusion_matrix
from mnist_exp.experiment import Outcome
from mnist_exp.process import stderr_console
from mnist_exp.report.environment import describe_environment, package_versions
from mnist_exp.report.figures import confusion_figure, errors_figure, frequent_confusions, png
from mnist_exp.report.run_page import explain_test, run_html
from mnist_exp.report.tables import class_figures
from mnist_exp.runs import Run, find_runs, note_test_read


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
    environment = describe_environment(dataset, seeds)
    metrics = {**outcome.metrics, "time": _times(outcome, seconds)}
    page: dict[str, Any] = {}
    with ThreadPoolExecutor(1) as pool:  # deflating the model leaves the interpreter to figures
        size = pool.submit(run.save_model, outcome.pipeline, _model_card(dataset))
        for name, predictions in outcome.predictions.items():
            run.save_predictions("val" if name == "val" else "test", predictions)
        run.save_environment(environment)
        if dataset.test is not None:
            _save_test_files(run, dataset, dataset.test, outcome.predictions["test"])
            page = explain_test(dataset, dataset.test, outcome.predictions["test"])
        metrics["model"] = {"bytes": size.result()}
    if dataset.test is not None:
        features = outcome.pipeline[0]
        steps = [step for _, step in getattr(features, "steps", [("", features)])]
        page |= {
            "model": type(outcome.pipeline[-1]).__name__,
            "features": " + ".join(type(step).__name__ for step in steps),
            "reads": note_test_read(outputs, dataset.test.sha256, run),
            "outputs": str(outputs),
        }
        run.save_report(run_html(run, dataset, metrics, outcome.intervals, environment, page))
    _save_metrics(run, outcome, metrics, started)
    return metrics


def record_trial(
    run: Run, outcome: Outcome, seconds: dict[str, float], started: float
) -> dict[str, Any]:
    """Write what a search needs of a trial, its predictions and metrics; returns the metrics."""
    run.save_predictions("val", outcome.predictions["val"])
    metrics = {**outcome.metrics, "time": _times(outcome, seconds)}
    _save_metrics(run, outcome, metrics, started)
    return metrics


def _save_metrics(run: Run, outcome: Outcome, metrics: dict[str, Any], started: float) -> None:
    metrics["time"]["total_s"] = time.perf_counter() - started
    intervals = {name: asdict(interval) for name, interval in outcome.intervals.items()}
    run.save_metrics(metrics, intervals)


def _times(outcome: Outcome, seconds: dict[str, float]) -> dict[str, float]:
    n = sum(len(predictions.label) for predictions in outcome.predictions.values())
    return {
        "load_s": seconds["load"],
        "augment_s": seconds["augment"],
        "features_s": seconds["features"],
        "fit_s": seconds["features"] + seconds["fit"],
        "predict_s": seconds["evaluate"],
        "predict_us_per_image": 1e6 * seconds["evaluate"] / n,
    }


def _model_card(dataset: Dataset) -> dict[str, Any]:
    return {
        "format": "skops",
        "input": {"dtype": "uint8", "shape": [None, *dataset.train.images.shape[1:]]},
        "classes": list(dataset.classes),
        "versions": package_versions(),
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
    run.save_errors(_error_rows(predictions, classes), picture)


def _error_rows(predictions: Predictions, classes: Sequence[str]) -> list[list[Any]]:
    """Every mistake, grouped by confusion, most frequent first."""
    confidence = "probability" if predictions.probability is not None else "lead"
    return [
        ["index", "true", "predicted", confidence],
        *(
            [predictions.index[i], classes[true], classes[predicted], predictions.confidence[i]]
            for true, predicted, positions in frequent_confusions(predictions, len(classes))
            for i in positions
        ),
    ]


def show_summary(run: Run, dataset: Dataset, outcome: Outcome, metrics: dict[str, Any]) -> None:
    """Print the run's figures as a table on stderr."""
    title = f"{type(outcome.pipeline[-1]).__name__} on {dataset.name}"
    table = Table(title=title, title_justify="left", show_header=False)
    for split, predictions in outcome.predictions.items():
        interval, n = outcome.intervals[f"{split}.accuracy"], len(predictions.label)
        span = f"[{100 * interval.low:.2f}, {100 * interval.high:.2f}]"
        accuracy = f"{100 * metrics[split]['accuracy']:.2f} %  {span}  of {n:,}"
        table.add_row(f"{split} accuracy (95 % interval)", accuracy)
        table.add_row(f"{split} macro F1", f"{100 * metrics[split]['macro_f1']:.2f} %")
    if "test" in outcome.predictions:
        names = dataset.classes
        pairs = frequent_confusions(outcome.predictions["test"], len(names))[:3]
        confusions = [f"{names[t]} as {names[p]} ({len(positions)})" for t, p, positions in pairs]
        table.add_row("most frequent confusions", ", ".join(confusions) or "none")
    times = metrics["time"]
    stages = " + ".join(f"{times[key]:.1f}" for key in ("load_s", "augment_s", "fit_s"))
    table.add_row("load, augment, fit", f"{stages} s")
    table.add_row("predict", f"{times['predict_us_per_image']:.0f} µs an image")
    table.add_row("model", f"{metrics['model']['bytes'] / 1e6:.1f} MB")
    table.add_row("report", os.path.relpath(run.path / "report.html"))
    stderr_console().print(table)


def show_sweep(folder: Path) -> None:
    """Print a line for every job of a sweep on stderr; failed ones with their error."""
    columns = "job", "overrides", "state", "accuracy", "fit s"
    table = Table(*columns, title=f"{folder}", title_justify="left")
    for run in sorted(find_runs(folder), key=lambda run: (len(run.path.name), run.path.name)):
        state, error = run.state, run.status.error
        accuracy = fit = ""
        if state == "completed":
            split = "val" if "val" in run.metrics else "test"
            accuracy = f"{100 * run.metrics[split]['accuracy']:.2f} % ({split})"
            fit = f"{run.metrics['time']['fit_s']:.1f}"
        outcome = state if error is None else f"{state}: {error}"
        table.add_row(run.path.name, " ".join(run.overrides), outcome, accuracy, fit)
    stderr_console().print(table)
