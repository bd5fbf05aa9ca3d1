"""The tables that several pages show: which class is taken for which, and each class by itself."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_exp.evaluation import Interval, precision_recall_f1, wilson

Counts = NDArray[np.int64]


def confusion_cells(
    counts: Counts, galleries: Container[str], baseline: Counts | None = None, prefix: str = ""
) -> list[list[dict[str, Any]]]:
    """The cells of a confusion matrix (k, k) for the macro `confusion`; rows are true classes.

    Without a baseline the colour is the share of the true class, against the largest such share
    of a mistake. With one, a cell holds the signed change, and the colour its size: on the diagonal
    more is a gain, elsewhere less is. A cell opens the gallery `<prefix><true>-<predicted>`, if
    `galleries` has it.
    """
    diagonal = np.eye(len(counts), dtype=bool)
    if baseline is None:
        shown, form = counts, "d"
        support = np.maximum(counts.sum(axis=1, keepdims=True), 1)
        strength = np.where(diagonal, 0, counts / support)
        kinds = np.where(diagonal, "right", "")
    else:
        shown, form = counts - baseline, "+d"
        strength = np.abs(shown)
        gain = np.where(diagonal, shown, -shown)
        kinds = np.select([gain > 0, gain < 0], ["gain", "loss"], "")
    strength = strength / max(strength.max(), 1e-12)

    def cell(true: int, predicted: int) -> dict[str, Any]:
        number, key = shown[true, predicted], f"{prefix}{true}-{predicted}"
        known = key in galleries
        return {
            "text": format(number, form) if number else "·" if known else "",
            "share": float(strength[true, predicted]),
            "kind": str(kinds[true, predicted]),
            "gallery": key if known else None,
        }

    return [[cell(t, p) for p in range(len(counts))] for t in range(len(counts))]


@dataclass(frozen=True)
class ClassFigures:
    """How well one class was recognised, all as shares."""

    name: str
    n: int
    precision: float
    recall: float
    f1: float
    interval: Interval | None  # of the recall; None for a class without images
    change: Mapping[str, Any] | None = None  # in a comparison: baseline, delta, interval, bar ...


def class_figures(confusion: Counts, classes: Sequence[str]) -> list[ClassFigures]:
    """The figures of every class from a confusion matrix (k, k)."""
    support, hits = confusion.sum(axis=1).tolist(), confusion.diagonal().tolist()
    intervals = [wilson(right, n) if n else None for right, n in zip(hits, support, strict=True)]
    shares = [share.tolist() for share in precision_recall_f1(confusion)]
    return list(map(ClassFigures, classes, support, *shares, intervals))
