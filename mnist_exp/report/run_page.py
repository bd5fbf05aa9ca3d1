"""The run's page: every number with the pictures behind it, and what speaks against taking it at
face value.
"""

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_exp.data import Dataset, Images, Split
from mnist_exp.evaluation import (
    AGREEING,
    NEIGHBOURS,
    Predictions,
    calibration_bins,
    confusion_matrix,
    precision_recall_f1,
    searched,
    suspected_labels,
    wilson,
)
from mnist_exp.report.figures import confidence_text, frequent_confusions
from mnist_exp.report.page import NO_BREAK_SPACE, percent, render
from mnist_exp.report.sprites import capacity, sprite_sheet
from mnist_exp.runs import Run, redact

CONFUSIONS = 8  # rows of examples
PER_CONFUSION = 8
CONFIDENT = 24
SUSPECTS = 24
RIGHT = 10  # of each class, the least certain
# MNIST's test set comes from two sources (Yadav & Bottou 2019, "Cold Case: The Lost MNIST Digits", and their labels).
MNIST_HALVES = (
    ("rows 0 to 5000: written by 249 high-school students", 0, 5000),
    ("rows 5001 to 9999: written by 48 census employees", 5001, 9999),
)
_FIGURES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "top2_accuracy": "truth among the first two",
    "log_loss": "log loss",
    "ece": "calibration error (ECE)",
}


def explain_test(dataset: Dataset, test: Split, predictions: Predictions) -> dict[str, Any]:
    """What the page shows of the test set: all of it that takes time, and nothing that other files
    have to wait for.
    """
    classes = dataset.classes
    confusion = confusion_matrix(predictions.label, predictions.prediction, len(classes))
    pairs = frequent_confusions(predictions, len(classes))
    wrong = np.flatnonzero(predictions.label != predictions.prediction)
    confident = wrong[np.argsort(-predictions.confidence[wrong], kind="stable")][:CONFIDENT]
    suspects = suspected_labels(predictions, test.images, dataset.train)[:SUSPECTS]
    right = [_least_certain(predictions, number) for number in range(len(classes))]
    ranked = [position for rank in _by_rank([at for _, _, at in pairs]) for position in rank]
    pictures = Pictures.of(
        test.images,
        classes,
        predictions,
        [confident, [s.position for s in suspects], *right, ranked],
    )
    return {
        "classes": classes,
        "per_class": _class_rows(confusion, classes),
        "sheet": sprite_sheet(test.images[pictures.positions]),
        "cells": _cells(confusion, classes),
        "galleries": _galleries(pairs, right, pictures, confusion.sum(axis=1)),
        "confusions": [
            {
                "true": classes[t],
                "predicted": classes[p],
                "n": len(at),
                "items": pictures.items(at[:PER_CONFUSION]),
            }
            for t, p, at in pairs[:CONFUSIONS]
        ],
        "confident": pictures.items(confident),
        "suspects": [
            (
                pictures.sheet_position(s.position),
                f"{pictures.caption(s.position)}\n{s.agreeing} of {NEIGHBOURS} near",
            )
            for s in suspects
        ],
        "neighbours": NEIGHBOURS,
        "agreeing": AGREEING,
        "searched": searched(dataset.train),
        "calibration": _calibration(predictions),
        "slices": _halves(predictions) if dataset.name == "mnist" else [],
    }


@dataclass(frozen=True)
class Pictures:
    """The test images that the page carries, as many as there is room for."""

    positions: NDArray[np.int64]  # in the test set, by place in the sheet
    places: Mapping[int, int]  # the other way round
    classes: Sequence[str]
    predictions: Predictions

    @classmethod
    def of(
        cls,
        images: Images,
        classes: Sequence[str],
        predictions: Predictions,
        wanted: Iterable[Iterable[int]],
    ) -> "Pictures":
        """Take what is wanted in that order, each image once, until the sheet is full."""
        chosen = list(dict.fromkeys(int(position) for group in wanted for position in group))[
            : capacity(images)
        ]
        places = {position: place for place, position in enumerate(chosen)}
        return cls(np.array(chosen, np.int64), places, classes, predictions)

    def sheet_position(self, position: int) -> int:
        """Where in the sheet a test image lies."""
        return self.places[int(position)]

    def caption(self, position: int) -> str:
        """Truth, prediction, confidence, and the row in the dataset."""
        found = self.predictions
        true, predicted = (
            self.classes[labels[position]] for labels in (found.label, found.prediction)
        )
        said = true if true == predicted else f"{true} as {predicted}"
        sure = confidence_text(found, int(position)).replace(" ", NO_BREAK_SPACE)
        return f"{said}\n{sure}\n#{found.index[position]}"

    def items(self, positions: Iterable[int]) -> list[tuple[int, str]]:
        """Those of `positions` that are in the sheet, with their captions."""
        return [
            (self.sheet_position(p), self.caption(p)) for p in positions if int(p) in self.places
        ]


def _by_rank(groups: Sequence[NDArray[np.int64]]) -> list[list[int]]:
    """The first of every group, then the second of every group, and so on: where room ends, it ends
    fairly.
    """
    longest = max(map(len, groups), default=0)
    return [[int(group[rank]) for group in groups if rank < len(group)] for rank in range(longest)]


def _least_certain(predictions: Predictions, number: int) -> NDArray[np.int64]:
    right = np.flatnonzero((predictions.label == number) & (predictions.prediction == number))
    return right[np.argsort(predictions.confidence[right], kind="stable")][:RIGHT]


def _cells(confusion: NDArray[np.int64], classes: Sequence[str]) -> list[list[dict[str, Any]]]:
    """The colour is the share of the true class, against the largest such share of an error."""
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(share, 0)
    share /= max(share.max(), 1e-12)
    return [
        [
            {
                "text": str(confusion[t, p]) if confusion[t, p] else "",
                "share": float(share[t, p]),
                "kind": "right" if t == p else "",
                "gallery": f"{t}-{p}" if confusion[t, p] else None,
            }
            for p in range(len(classes))
        ]
        for t in range(len(classes))
    ]


def _galleries(
    pairs: Sequence[tuple[int, int, NDArray[np.int64]]],
    right: Sequence[NDArray[np.int64]],
    pictures: Pictures,
    support: NDArray[np.int64],
) -> dict[str, dict[str, Any]]:
    found = {}
    for t, p, positions in pairs:
        items = pictures.items(positions)
        room = "" if len(items) == len(positions) else f", the {len(items)} most confident"
        title = f"{pictures.classes[t]} taken for {pictures.classes[p]}: {len(positions)} of {support[t]}{room}"
        found[f"{t}-{p}"] = {"title": title, "items": items}
    for t, positions in enumerate(right):
        items = pictures.items(positions)
        title = f"{pictures.classes[t]} recognised: the {len(items)} least certain of them"
        found[f"{t}-{t}"] = {"title": title, "items": items}
    return found


def _class_rows(confusion: NDArray[np.int64], classes: Sequence[str]) -> list[list[str]]:
    rows = []
    for name, counts, hits, *shares in zip(
        classes, confusion, confusion.diagonal(), *precision_recall_f1(confusion), strict=True
    ):
        precision, recall, f1 = map(percent, shares)
        interval = wilson(int(hits), int(counts.sum())) if counts.any() else None
        span = f"{percent(interval.low)} to {percent(interval.high)}" if interval else ""
        rows.append([name, f"{counts.sum():,}", recall, span, precision, f1])
    return rows


def _calibration(predictions: Predictions) -> list[dict[str, Any]]:
    if predictions.probability is None:
        return []
    bins = calibration_bins(predictions)
    return [
        {
            "n": b.n,
            "confidence": b.confidence,
            "right": b.hits / b.n,
            "interval": wilson(b.hits, b.n),
        }
        for b in bins
    ]


def _halves(predictions: Predictions) -> list[dict[str, Any]]:
    correct = predictions.label == predictions.prediction
    found = []
    for name, first, last in MNIST_HALVES:
        part = correct[(predictions.index >= first) & (predictions.index <= last)]
        if len(part):
            interval = wilson(int(part.sum()), len(part))
            found.append(
                {"name": name, "n": len(part), "accuracy": float(part.mean()), "interval": interval}
            )
    return found


def run_html(
    run: Run,
    dataset: Dataset,
    metrics: Mapping[str, Any],
    intervals: Mapping[str, Any],
    environment: Mapping[str, Any],
    content: Mapping[str, Any],
) -> str:
    """The page; `content` is what `explain_test` returned, and `model`, `features`, `reads`,
    `outputs`.
    """
    accuracy = metrics["test"]["accuracy"]
    known = {
        "title": f"{percent(accuracy)}: {content['model']} on {dataset.name}",
        "accuracy": accuracy,
        "interval": intervals["test.accuracy"],
        "dataset": dataset.name,
        "metrics": metrics,
        "figures": _figure_rows(metrics, intervals),
        "costs": _cost_rows(metrics),
        "environment": _environment_rows(environment),
        "rerun": rerun_command(run),
        "run": str(run.path),
    }
    return render("run.html", known | dict(content))


def _cost_rows(metrics: Mapping[str, Any]) -> list[list[str]]:
    times = metrics["time"]
    stages = {
        "load_s": "load",
        "augment_s": "augment",
        "features_s": "features",
        "fit_s": "features and fit",
    }
    return [
        *([name, f"{times[key]:.2f} s"] for key, name in stages.items()),
        ["predict", f"{times['predict_us_per_image']:.0f} µs an image"],
        ["model file", f"{metrics['model']['bytes'] / 1e6:.2f} MB"],
    ]


def _figure_rows(metrics: Mapping[str, Any], intervals: Mapping[str, Any]) -> list[list[str]]:
    """A row for each figure of each split, shares in per cent, with its interval where it has
    one.
    """
    rows = []
    for split in ("test", "val"):
        for key, value in metrics.get(split, {}).items():
            text = "{:.4f}".format if key == "log_loss" else percent
            interval = intervals.get(f"{split}.{key}")
            span = f"{text(interval['low'])} to {text(interval['high'])}" if interval else ""
            rows.append([f"{split} {_FIGURES[key]}", text(value), span])
    return rows


def _environment_rows(environment: Mapping[str, Any]) -> list[list[str]]:
    git = environment["git"]
    commit = (
        f"{git['sha']}{' with local changes' if git['dirty'] else ''}"
        if git
        else "not from a checkout"
    )
    data = environment["data"]
    return [
        ["commit", commit],
        ["Python", f"{environment['python'].split()[0]} ({platform.python_implementation()})"],
        [
            "packages",
            ", ".join(f"{name} {version}" for name, version in environment["packages"].items()),
        ],
        ["machine", f"{environment['platform']}, {environment['cpu']['logical']} cpus"],
        ["seeds", ", ".join(f"{name} {seed}" for name, seed in environment["seeds"].items())],
        *(
            [f"{part} data, sha256", data[part]]
            for part in ("train", "val", "test")
            if part in data
        ),
    ]


def rerun_command(run: Run) -> str:
    """The command line that repeats a run; `dataset=auto` is written as what it turned out to
    be.
    """
    import shlex

    words = [word for word in run.overrides if word != "dataset=auto"]
    if not any(word.startswith("dataset=") for word in words):
        words.insert(0, f"dataset={run.config['dataset']['name']}")
    return shlex.join(["python", "-m", "mnist_exp.train", *map(redact, words)])
