"""The comparison's page: which runs differ, by how much, at what cost, and on which pictures."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_exp.comparison import (
    PAIR_HEAD,
    ComparedRun,
    Comparison,
    basis,
    headline,
    pair_rows,
    recipe_cells,
    run_cells,
    sentence,
)
from mnist_exp.data import Images
from mnist_exp.errors import UserError
from mnist_exp.evaluation import (
    Predictions,
    bootstrap_differences,
    confusion_matrix,
    difference_interval,
    precision_recall_f1,
)
from mnist_exp.process import write_text
from mnist_exp.report.comparison_charts import Scale, cost_chart, edges, in_points, strips
from mnist_exp.report.coverage_chart import coverage_chart
from mnist_exp.report.figures import confidence_text
from mnist_exp.report.page import NO_BREAK_SPACE, render
from mnist_exp.report.parts import ClassFigures, Gallery, class_figures, confusion_cells, place
from mnist_exp.runs import Run, SplitName

MOST_ROWS = 2_000  # a browser sorts so many in an instant
MOST_PAIRS = 8  # runs whose pictures and confusions the page carries, in the order of the table
INLINE = 18  # pictures of each kind that are shown without a click
COSTS = {
    "fit_s": "time to fit, s",
    "predict_us_per_image": "time to predict an image, µs",
    "bytes": "model, bytes",
}


def write_page(comparison: Comparison, path: Path) -> None:
    """Write the page as one file that needs no network."""
    # A folder from elsewhere may hold half a character in its name.
    write_text(path, comparison_html(comparison).encode("utf-8", "replace").decode())


def comparison_html(comparison: Comparison) -> str:
    """The page as text."""
    images, without = pictures_at_hand(comparison)
    pairs, damaged = _pairs(comparison)
    galleries = {key: gallery for pair in pairs for key, gallery in pair["galleries"].items()}
    rows = comparison.runs[:MOST_ROWS]
    scale = Scale.around([0.0, *edges(r.difference.delta_interval for r in rows if r.difference)])
    content: dict[str, Any] = {
        "headline": headline(comparison),
        "basis": basis(comparison),
        "comparison": comparison,
        "rows": [_row(run, scale) for run in rows],
        "zero": scale.place(0.0),
        "left_out": len(comparison.runs) - len(rows),
        "strips": strips(comparison.groups),
        "recipes": [recipe_cells(group) for group in comparison.groups],
        "pair_head": PAIR_HEAD,
        "all_pairs": pair_rows(comparison),
        "most_rows": MOST_ROWS,
        "inline": INLINE,
        "costs": [chart for key, title in COSTS.items() if (chart := cost_chart(rows, key, title))],
        "coverage": coverage_chart(_readable(comparison)),
        "pairs": pairs,
        "sentences": [sentence(p["run"], comparison.n, comparison.classes) for p in pairs],
        "not_detailed": len(comparison.runs) - 1 - len(pairs),
        "without_pictures": without,
        "damaged": damaged,
        "galleries": {key: gallery.placed({}) for key, gallery in galleries.items()},
    }
    if images is not None:
        first = {k: galleries.pop(k) for k in list(galleries) if k.endswith(("fixed", "broke"))}
        content["sheet"], content["galleries"] = place(images, first, galleries)
    return render("comparison.html", content)


def pictures_at_hand(comparison: Comparison) -> tuple[Images | None, str]:
    """The images of the compared split, or None and why they are not at hand.

    They are loaded from the dataset that the baseline's configuration names.
    """
    from mnist_exp.config import load_recorded

    try:
        dataset = load_recorded(comparison.baseline.run.config_path)
    except UserError as error:
        return None, f"the dataset is not at hand ({error})"
    split = dataset.val if comparison.split == "val" else dataset.test
    if split is None or split.sha256 != comparison.split_sha256:
        others = "are not those that these runs answered (their sha256 differs)"
        return None, f"the {dataset.name} data at hand {others}"
    return split.images, ""


def _row(run: ComparedRun, scale: Scale) -> dict[str, Any]:
    """A line of the table; a cell is what it sorts by, if there is anything, and what it shows."""
    difference, time = run.difference, run.time
    name, accuracy, delta, _, p, verdict, fit, predict, size, changes = run_cells(run)
    fixed, broke = (difference.fixed, difference.broke) if difference else ("", "")
    return {
        "name": name,
        "changes": changes,
        "verdict": verdict,
        "bar": scale.bar(difference.delta, difference.delta_interval) if difference else None,
        "delta": (difference.delta if difference else "", delta),
        "accuracy": (run.accuracy, accuracy),
        "more": [
            (fixed, fixed),
            (broke, broke),
            (difference.p_holm if difference else "", p),
            (time.get("fit_s", ""), fit),
            (time.get("predict_us_per_image", ""), predict),
            ("" if run.bytes is None else run.bytes, size),
        ],
    }


def _pairs(comparison: Comparison) -> tuple[list[dict[str, Any]], list[str]]:
    """The runs to look at closely, and why some of them cannot be."""
    pairs: list[dict[str, Any]] = []
    damaged: list[str] = []
    split, n = comparison.split, comparison.n
    try:
        before = _predictions(comparison.baseline.run, split, n)
    except UserError as error:
        return [], [str(error)]
    for run in [run for run in comparison.runs if run.difference][:MOST_PAIRS]:
        try:
            after = _predictions(run.run, split, n)
        except UserError as error:
            damaged.append(str(error))
        else:
            pairs.append(_pair(run, before, after, comparison.classes, f"{len(pairs)}-"))
    return pairs, damaged


def _readable(comparison: Comparison) -> list[tuple[ComparedRun, Predictions]]:
    """The baseline and the runs looked at closely, with their predictions, in the table's order."""
    near = [run for run in comparison.runs if run.difference][:MOST_PAIRS]
    readable = []
    for run in [run for run in comparison.runs if run is comparison.baseline or run in near]:
        try:
            readable.append((run, _predictions(run.run, comparison.split, comparison.n)))
        except UserError:  # the page says so where it would look closely
            continue
    return readable


def _predictions(run: Run, split: SplitName, n: int) -> Predictions:
    """All that a run's predictions hold; UserError where an array does not have n rows."""
    predictions = run.predictions(split)
    outputs = predictions.score if predictions.probability is None else predictions.probability
    whole = outputs is None or (outputs.ndim == 2 and len(outputs) == n and outputs.size)
    if predictions.index.shape != (n,) or not whole:
        raise UserError(
            f"{run.path}: predictions of {split} do not hold a row for each of {n:,} images"
        )
    return predictions


def _pair(
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
    generator = np.random.default_rng(0)  # the same folders give the same page
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
    return [
        replace(row[1], change=change) for row, change in zip(rows, changes, strict=True)
    ], scale.place(0.0)


def _galleries(
    before: Predictions, after: Predictions, classes: Sequence[str], prefix: str
) -> dict[str, Gallery]:
    label, a, b = before.label, before.prediction, after.prediction

    def answer(predictions: Predictions, position: int) -> str:
        name = str(classes[predictions.prediction[position]])
        sure = f"{NO_BREAK_SPACE}({confidence_text(predictions, position)})"
        return name if predictions.probability is None else name + sure

    def caption(position: int) -> str:
        return (
            f"{classes[label[position]]} · #{before.index[position]}\n"
            f"{answer(before, position)}\n→{NO_BREAK_SPACE}{answer(after, position)}"
        )

    def gallery(title: str, chosen: NDArray[np.bool_], sure: NDArray[np.float64]) -> Gallery:
        positions = np.flatnonzero(chosen)
        return Gallery.of(title, positions[np.argsort(-sure[positions], kind="stable")], caption)

    wrong_a, wrong_b, changed = a != label, b != label, a != b
    galleries = {
        f"{prefix}fixed": gallery(
            "Fixed: wrong in the baseline, right in this run", wrong_a & ~wrong_b, before.confidence
        ),
        f"{prefix}broke": gallery(
            "Broken: right in the baseline, wrong in this run", wrong_b & ~wrong_a, after.confidence
        ),
        f"{prefix}both": gallery("Wrong in both", wrong_a & wrong_b, before.confidence),
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
        galleries[f"{prefix}{true}-{predicted}"] = gallery(title, gone | new, gone.astype(float))
    return galleries
