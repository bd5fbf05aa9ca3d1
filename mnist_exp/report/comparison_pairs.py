"""One run against the baseline, for a page: the confusions, the classes, the images behind both."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_exp.comparison import ComparedRun
from mnist_exp.errors import UserError
from mnist_exp.evaluation import (
    Predictions,
    bootstrap_differences,
    confusion_matrix,
    difference_interval,
    precision_recall_f1,
)
from mnist_exp.report.comparison_charts import Scale, edges, in_points
from mnist_exp.report.figures import confidence_text
from mnist_exp.report.galleries import Gallery
from mnist_exp.report.page import NO_BREAK_SPACE
from mnist_exp.report.tables import ClassFigures, class_figures, confusion_cells
from mnist_exp.runs import Run, SplitName

SEED = 0  # of the bootstrap: the same folders give the same page


def read_whole(run: Run, split: SplitName, n: int) -> Predictions:
    """All that a run's predictions hold; UserError where an array does not have n rows."""
    predictions = run.predictions(split)
    outputs = predictions.score if predictions.probability is None else predictions.probability
    whole = outputs is None or (outputs.ndim == 2 and len(outputs) == n and outputs.size)
    if predictions.index.shape != (n,) or not whole:
        raise UserError(
            f"{run.path}: predictions of {split} do not hold a row for each of {n:,} images"
        )
    return predictions


def compare_pair(
    run: ComparedRun, before: Predictions, after: Predictions, names: Sequence[str], prefix: str
) -> dict[str, Any]:
    """All that the page shows of a run (`after`) against the baseline (`before`).

    The galleries are `fixed`, `broke`, `both` and `<true>-<predicted>`, each after the `prefix`,
    so that several pairs fit on one page.
    """
    label, a, b = before.label, before.prediction, after.prediction
    k = max(len(names), int(max(label.max(), a.max(), b.max())) + 1)
    classes = [*names, *map(str, range(len(names), k))]
    baseline, counts = confusion_matrix(label, a, k), confusion_matrix(label, b, k)
    generator = np.random.default_rng(SEED)
    fixed = np.bincount(label[(a != label) & (b == label)], minlength=k)
    per_class, zero = _class_changes(baseline, counts, fixed, classes)
    galleries = _galleries(before, after, classes, prefix)
    return {
        "run": run,
        "classes": classes,
        "macro_f1": 100 * float(_macro_f1(counts) - _macro_f1(baseline)),
        "macro_f1_interval": in_points(bootstrap_differences(label, a, b, k, _macro_f1, generator)),
        "cells": confusion_cells(counts, galleries, baseline, prefix),
        "per_class": per_class,
        "zero": zero,
        "galleries": galleries,
    }


def _macro_f1(confusions: NDArray[np.integer]) -> NDArray[np.float64]:
    return np.asarray(precision_recall_f1(confusions)[2].mean(axis=-1))


def _class_changes(
    baseline: NDArray[np.int64],
    counts: NDArray[np.int64],
    fixed: NDArray[np.int64],
    classes: Sequence[str],
) -> tuple[list[ClassFigures], float]:
    """The classes that have images, with their change of recall, and where zero is on its scale.

    `fixed` counts, for each class, the images that the baseline gets wrong and the run right.
    """
    broke = fixed - counts.diagonal() + baseline.diagonal()
    before, after = class_figures(baseline, classes), class_figures(counts, classes)
    rows = [
        row for row in zip(before, after, fixed.tolist(), broke.tolist(), strict=True) if row[0].n
    ]
    intervals = [in_points(difference_interval(f, b, old.n)) for old, _, f, b in rows]
    scale = Scale.around([0.0, *edges(intervals)])
    changes = [
        {
            "baseline": old.recall,
            "delta": 100 * (f - b) / old.n,
            "interval": interval,
            "verdict": "better" if interval.low > 0 else "worse" if interval.high < 0 else "",
            "bar": scale.bar(100 * (f - b) / old.n, interval),
        }
        for (old, _, f, b), interval in zip(rows, intervals, strict=True)
    ]
    changed = [replace(row[1], change=change) for row, change in zip(rows, changes, strict=True)]
    return changed, scale.place(0.0)


def _galleries(
    before: Predictions, after: Predictions, classes: Sequence[str], prefix: str
) -> dict[str, Gallery]:
    label, a, b = before.label, before.prediction, after.prediction

    def answer(predictions: Predictions, position: int) -> str:
        name = str(classes[predictions.prediction[position]])
        if predictions.probability is None:
            return name
        return f"{name}{NO_BREAK_SPACE}({confidence_text(predictions, position)})"

    def caption(position: int) -> str:
        truth = f"{classes[label[position]]} · #{before.index[position]}"
        arrow = f"→{NO_BREAK_SPACE}"
        return f"{truth}\n{answer(before, position)}\n{arrow}{answer(after, position)}"

    def gallery(title: str, chosen: NDArray[np.bool_], sure: NDArray[np.float64]) -> Gallery:
        positions = np.flatnonzero(chosen)
        return Gallery.of(title, positions[np.argsort(-sure[positions], kind="stable")], caption)

    wrong_a, wrong_b, changed = a != label, b != label, a != b
    kinds = (
        ("fixed", "Fixed: wrong in the baseline, right in this run", ~wrong_b & wrong_a, before),
        ("broke", "Broken: right in the baseline, wrong in this run", ~wrong_a & wrong_b, after),
        ("both", "Wrong in both", wrong_a & wrong_b, before),
    )
    galleries = {
        prefix + key: gallery(title, chosen, predictions.confidence)
        for key, title, chosen, predictions in kinds
    }
    codes_a, codes_b = label * len(classes) + a, label * len(classes) + b
    for code in np.unique([codes_a[changed], codes_b[changed]]).tolist():
        true, predicted = divmod(code, len(classes))
        of_a, of_b = codes_a == code, codes_b == code
        gone, new = of_a & changed, of_b & changed
        outcome = "recognised" if true == predicted else f"taken for {classes[predicted]}"
        title = (
            f"{classes[true]} {outcome}: {of_a.sum()} times in the baseline, "
            f"{of_b.sum()} in this run ({gone.sum()} no longer, {new.sum()} new)"
        )
        gone_first = np.where(gone, 1.0, 0.0)
        galleries[f"{prefix}{true}-{predicted}"] = gallery(title, gone | new, gone_first)
    return galleries
