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
from mnist_exp.evaluation import Predictions, confusion_matrix, precision_recall_f1, wilson
from mnist_exp.experiment import Outcome
from mnist_exp.process import stderr_console
from mnist_exp.report.environment import describe_environment, package_versions
from mnist_exp.report.figures import confusion_figure, errors_figure, frequent_confusions, png
from mnist_exp.report.run_page import explain_test, run_html
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

    `started` is a perf_counter value; `outputs` is the tree in which looks at a test set are
    counted.
    """
    page: dict[str, Any] = {}
    environment = describe_environment(dataset, seeds)
    intervals = {name: asdict(interval) for name, interval in outcome.intervals.items()}
    metrics: dict[str, Any] = {**outcome.metrics, "time": _times(outcome, seconds)}
    with ThreadPoolExecutor(
        1
    ) as pool:  # deflating the model releases the interpreter for the pictures
        size = pool.submit(run.save_model, outcome.pipeline, _model_card(dataset))
        for name, predictions in outcome.predictions.items():
            run.save_predictions("val" if name == "val" else "test", predictions)
        run.save_environment(environment)
        if dataset.test is not None:
            _save_test_files(run, dataset, dataset.test, outcome)
            page = explain_test(dataset, dataset.test, outcome.predictions["test"])
        metrics["model"] = {"bytes": size.result()}
    if dataset.test is not None:
        page |= {
            "model": type(outcome.pipeline[-1]).__name__,
            "features": _step_names(outcome.pipeline[0]),
            "reads": note_test_read(outputs, dataset.test.sha256, run),
            "outputs": str(outputs),
        }
        run.save_report(run_html(run, dataset, metrics, intervals, environment, page))
    metrics["time"]["total_s"] = time.perf_counter() - started
    run.save_metrics(metrics, intervals)
    return metrics


def record_trial(
    run: Run, outcome: Outcome, seconds: dict[str, float], started: float
) -> dict[str, Any]:
    """Write what a search needs of a trial: predictions and figures, no model and no pictures;
    returns the metrics.
    """
    run.save_predictions("val", outcome.predictions["val"])
    metrics: dict[str, Any] = {**outcome.metrics, "time": _times(outcome, seconds)}
    metrics["time"]["total_s"] = time.perf_counter() - started
    run.save_metrics(
        metrics, {name: asdict(interval) for name, interval in outcome.intervals.items()}
    )
    return metrics


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


def _save_test_files(run: Run, dataset: Dataset, test: Split, outcome: Outcome) -> None:
    """Write tables and pictures of the test set."""
    predictions = outcome.predictions["test"]
    classes = dataset.classes
    confusion = confusion_matrix(predictions.label, predictions.prediction, len(classes))
    wrong = int(confusion.sum() - confusion.trace())
    title = f"{dataset.name}: {wrong:,} of {len(test):,} test images wrong"
    run.save_confusion(
        [
            ["true \\ predicted", *classes],
            *([c, *row] for c, row in zip(classes, confusion, strict=True)),
        ],
        png(confusion_figure(confusion, classes, title)),
    )
    run.save_per_class(_per_class_rows(confusion, classes))
    title = "Most confident mistakes, by confusion (true as predicted)"
    run.save_errors(
        _error_rows(predictions, classes),
        png(errors_figure(predictions, test.images, classes, title)),
    )


def _step_names(features: Any) -> str:
    steps = [step for _, step in getattr(features, "steps", [("", features)])]
    return " + ".join(type(step).__name__ for step in steps)


def _per_class_rows(confusion: Any, classes: Sequence[str]) -> list[list[Any]]:
    precision, recall, f1 = precision_recall_f1(confusion)
    rows: list[list[Any]] = [
        ["class", "support", "precision", "recall", "recall_low", "recall_high", "f1"]
    ]
    for i, name in enumerate(classes):
        support = int(confusion[i].sum())
        interval = wilson(int(confusion[i, i]), support) if support else None
        span = [interval.low, interval.high] if interval else ["", ""]
        rows.append([name, support, float(precision[i]), float(recall[i]), *span, float(f1[i])])
    return rows


def _error_rows(predictions: Predictions, classes: Sequence[str]) -> list[list[Any]]:
    """Every mistake, grouped by confusion, most frequent first."""
    confidence = predictions.confidence
    rows: list[list[Any]] = [
        [
            "index",
            "true",
            "predicted",
            "probability" if predictions.probability is not None else "lead",
        ]
    ]
    for true, predicted, positions in frequent_confusions(predictions, len(classes)):
        rows += [
            [int(predictions.index[i]), classes[true], classes[predicted], float(confidence[i])]
            for i in positions
        ]
    return rows


def show_summary(run: Run, dataset: Dataset, outcome: Outcome, metrics: dict[str, Any]) -> None:
    """Print the run's figures as a table on stderr."""
    table = Table(
        title=f"{type(outcome.pipeline[-1]).__name__} on {dataset.name}",
        title_justify="left",
        show_header=False,
    )
    for split, found in outcome.predictions.items():
        interval = outcome.intervals[f"{split}.accuracy"]
        accuracy = f"{100 * metrics[split]['accuracy']:.2f} %  [{100 * interval.low:.2f}, {100 * interval.high:.2f}]"
        table.add_row(f"{split} accuracy (95 % interval)", f"{accuracy}  of {len(found.label):,}")
        table.add_row(f"{split} macro F1", f"{100 * metrics[split]['macro_f1']:.2f} %")
    if "test" in outcome.predictions:
        pairs = frequent_confusions(outcome.predictions["test"], len(dataset.classes))[:3]
        named = ", ".join(
            f"{dataset.classes[t]} as {dataset.classes[p]} ({len(at)})" for t, p, at in pairs
        )
        table.add_row("most frequent confusions", named or "none")
    times = metrics["time"]
    table.add_row(
        "load, augment, fit",
        " + ".join(f"{times[key]:.1f}" for key in ("load_s", "augment_s", "fit_s")) + " s",
    )
    table.add_row("predict", f"{times['predict_us_per_image']:.0f} µs an image")
    table.add_row("model", f"{metrics['model']['bytes'] / 1e6:.1f} MB")
    table.add_row("report", os.path.relpath(run.path / "report.html"))
    stderr_console().print(table)


def show_sweep(folder: Path) -> None:
    """Print a line for every job of a sweep on stderr; failed ones with their error."""
    table = Table(
        "job", "overrides", "state", "accuracy", "fit s", title=f"{folder}", title_justify="left"
    )
    for run in sorted(find_runs(folder), key=lambda run: (len(run.path.name), run.path.name)):
        state, error = run.state, run.status.error
        accuracy = fit = ""
        if state == "completed":
            split = "val" if "val" in run.metrics else "test"
            accuracy = f"{100 * run.metrics[split]['accuracy']:.2f} % ({split})"
            fit = f"{run.metrics['time']['fit_s']:.1f}"
        told = state if error is None else f"{state}: {error}"
        table.add_row(run.path.name, " ".join(run.overrides), told, accuracy, fit)
    stderr_console().print(table)
