"""The run's page: every number, the pictures behind it, and what speaks against trusting it."""

import platform
import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np

from mnist_exp.data import Dataset, Split
from mnist_exp.evaluation import (
    AGREEING,
    NEIGHBOURS,
    Interval,
    Predictions,
    calibration_bins,
    confusion_matrix,
    coverage_curve,
    searched,
    suspected_labels,
    wilson,
)
from mnist_exp.report.figures import confidence_text, confident_mistakes, frequent_confusions
from mnist_exp.report.page import render
from mnist_exp.report.parts import Gallery, class_figures, confusion_cells, place
from mnist_exp.runs import Run, redact

CONFUSIONS = 8  # rows of examples
PER_CONFUSION = 8
CONFIDENT = 24
SUSPECTS = 24
RECOGNISED = 10  # of each class, the least certain
# MNIST's test set comes from two sources (Yadav & Bottou 2019, "Cold Case: The Lost MNIST Digits").
MNIST_HALVES = (
    ("rows 0 to 5000: written by 249 high-school students", 0, 5000),
    ("rows 5001 to 9999: written by 48 census employees", 5001, 9999),
)


def explain_test(dataset: Dataset, test: Split, predictions: Predictions) -> dict[str, Any]:
    """What the page shows of the test set: all that takes time and that no other file waits for."""
    classes = dataset.classes
    confusion = confusion_matrix(predictions.label, predictions.prediction, len(classes))
    pairs = frequent_confusions(predictions, len(classes))
    suspects = {s.position: s for s in suspected_labels(predictions, test.images, dataset.train)}

    def caption(position: int) -> str:
        true, predicted = predictions.label[position], predictions.prediction[position]
        answer = f"{classes[true]} as {classes[predicted]}" if true != predicted else classes[true]
        confidence = confidence_text(predictions, position)
        return f"{answer}\n{confidence}\n#{predictions.index[position]}"

    def suspicion(position: int) -> str:
        return f"{caption(position)}\n{suspects[position].agreeing} of {NEIGHBOURS} near"

    first = {
        "confident": Gallery.of("", confident_mistakes(predictions)[:CONFIDENT], caption),
        "suspects": Gallery.of("", list(suspects)[:SUSPECTS], suspicion),
    }
    by_confidence = np.argsort(predictions.confidence, kind="stable")
    recognised = by_confidence[(predictions.label == predictions.prediction)[by_confidence]]
    for number in np.flatnonzero(confusion.diagonal()):
        least = recognised[predictions.label[recognised] == number][:RECOGNISED]
        title = f"{classes[number]} recognised: the {len(least)} least certain of them"
        first[f"{number}-{number}"] = Gallery.of(title, least, caption)
    taken = {
        f"{t}-{p}": Gallery.of(
            f"{classes[t]} taken for {classes[p]}: {len(positions)} of {confusion[t].sum()}",
            positions,
            caption,
        )
        for t, p, positions in pairs
    }
    bins = calibration_bins(predictions) if predictions.probability is not None else []
    right = predictions.label == predictions.prediction
    sheet, galleries = place(test.images, first, taken)
    return {
        "classes": classes,
        "per_class": class_figures(confusion, classes),
        "sheet": sheet,
        "cells": confusion_cells(confusion, galleries),
        "confident": galleries.pop("confident")["items"],
        "suspects": galleries.pop("suspects")["items"],
        "galleries": galleries,
        "confusions": [
            (classes[t], classes[p], len(positions), galleries[f"{t}-{p}"]["items"][:PER_CONFUSION])
            for t, p, positions in pairs[:CONFUSIONS]
        ],
        "neighbours": NEIGHBOURS,
        "agreeing": AGREEING,
        "searched": searched(dataset.train),
        "calibration": [
            {"bin": b, "right": b.hits / b.n, "interval": wilson(b.hits, b.n)} for b in bins
        ],
        "curve": coverage_curve(predictions.confidence, right) if bins else [],
        "slices": _halves(predictions) if dataset.name == "mnist" else [],
    }


def _halves(predictions: Predictions) -> list[dict[str, Any]]:
    index, right = predictions.index, predictions.label == predictions.prediction
    halves = {name: right[(index >= first) & (index <= last)] for name, first, last in MNIST_HALVES}
    return [
        {
            "name": name,
            "n": len(part),
            "accuracy": float(part.mean()),
            "interval": wilson(int(part.sum()), len(part)),
        }
        for name, part in halves.items()
        if len(part)
    ]


def run_html(
    run: Run,
    dataset: Dataset,
    metrics: Mapping[str, Any],
    intervals: Mapping[str, Interval],
    environment: Mapping[str, Any],
    content: Mapping[str, Any],
) -> str:
    """The page as text.

    `content` is what `explain_test` returned, and `model`, `features`, `confidence`, `reads`,
    `outputs`.
    """
    return render(
        "run.html",
        {
            "interval": intervals["test.accuracy"],
            "intervals": intervals,
            "dataset": dataset.name,
            "metrics": metrics,
            "figures": [
                (split, key, value, intervals.get(f"{split}.{key}"))
                for split in ("test", "val", "train")
                for key, value in metrics.get(split, {}).items()
                if key != "n"
            ],
            "environment": environment,
            "python": f"{platform.python_version()} ({platform.python_implementation()})",
            "rerun": rerun_command(run),
            "run": str(run.path),
            **content,
        },
    )


def rerun_command(run: Run) -> str:
    """The command line that repeats a run; `dataset=auto` becomes the dataset that it chose."""
    words = [word for word in run.overrides if word != "dataset=auto"]
    if not any(word.startswith("dataset=") for word in words):
        words.insert(0, f"dataset={run.config['dataset']['name']}")
    return shlex.join(["python", "-m", "mnist_exp.train", *map(redact, words)])
