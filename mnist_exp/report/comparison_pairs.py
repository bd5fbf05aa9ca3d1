"""One run against the baseline for a page: the signed confusion difference, the classes, the images
behind both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_exp.errors import UserError
from mnist_exp.evaluation import (
    Interval,
    Predictions,
    bootstrap_differences,
    confusion_matrix,
    difference_interval,
    precision_recall_f1,
)
from mnist_exp.report.comparison_charts import Scale, in_points
from mnist_exp.report.page import NO_BREAK_SPACE
from mnist_exp.runs import Run, SplitName

SEED = 0  # of the bootstrap: the same folders give the same page

Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Gallery:
    """Images by their position in the split, each with what is said of it."""

    title: str
    items: list[tuple[int, str]]


@dataclass(frozen=True)
class Compared:
    """All that the page shows of a run against the baseline."""

    name: str
    changes: str
    sentence: str
    classes: Sequence[str]
    macro_f1: tuple[float, Interval]  # difference, in points
    cells: list[list[dict[str, Any]]]
    per_class: list[dict[str, Any]]
    zero: float  # where no difference lies on the scale of the classes
    galleries: dict[str, Gallery]  # `fixed`, `broke`, `both`, and `true-predicted` for the cells


def read_whole(run: Run, split: SplitName, n: int) -> Predictions:
    """All that a run's predictions hold; UserError where a part that the comparison did not need is
    damaged.
    """
    found = run.predictions(split)
    likely = found.probability if found.probability is not None else found.score
    if found.index.shape != (n,) or (
        likely is not None and (likely.ndim != 2 or len(likely) != n or not likely.size)
    ):
        raise UserError(
            f"{run.path}: predictions of {split} do not hold a row for each of {n:,} images"
        )
    return found


def compare_pair(
    name: str,
    changes: str,
    sentence: str,
    before: Predictions,
    after: Predictions,
    names: Sequence[str],
) -> Compared:
    """Set out run B (`after`) against the baseline (`before`) on the same images."""
    label, a, b = before.label, before.prediction, after.prediction
    k = max(len(names), int(max(label.max(), a.max(), b.max())) + 1)
    classes = [names[number] if number < len(names) else str(number) for number in range(k)]
    confusions = confusion_matrix(label, a, k), confusion_matrix(label, b, k)
    macro_f1 = [float(precision_recall_f1(confusion)[2].mean()) for confusion in confusions]
    interval = bootstrap_differences(
        label,
        a,
        b,
        k,
        lambda draws: precision_recall_f1(draws)[2].mean(axis=-1),
        np.random.default_rng(SEED),
    )
    per_class, zero = _per_class(label, a, b, classes)
    galleries = _galleries(before, after, classes)
    return Compared(
        name=name,
        changes=changes,
        sentence=sentence,
        classes=classes,
        macro_f1=(100 * (macro_f1[1] - macro_f1[0]), in_points(interval)),
        cells=_cells(*confusions, galleries),
        per_class=per_class,
        zero=zero,
        galleries=galleries,
    )


def _cells(
    before: NDArray[np.int64], after: NDArray[np.int64], galleries: Mapping[str, Gallery]
) -> list[list[dict[str, Any]]]:
    """Signed changes; on the diagonal more is a gain, elsewhere less is.

    The colour's strength is the change's size.
    """
    change = after - before
    gain = np.where(np.eye(len(change), dtype=bool), change, -change)
    largest = max(1, int(np.abs(change).max()))
    return [
        [
            {
                "text": f"{change[t, p]:+d}"
                if change[t, p]
                else "·"
                if f"{t}-{p}" in galleries
                else "",
                "share": abs(int(change[t, p])) / largest,
                "kind": "gain" if gain[t, p] > 0 else "loss" if gain[t, p] < 0 else "",
                "gallery": f"{t}-{p}" if f"{t}-{p}" in galleries else None,
            }
            for p in range(len(change))
        ]
        for t in range(len(change))
    ]


def _per_class(
    label: Positions, a: Positions, b: Positions, classes: Sequence[str]
) -> tuple[list[dict[str, Any]], float]:
    rows: list[dict[str, Any]] = []
    for number, name in enumerate(classes):
        of_class = label == number
        n = int(of_class.sum())
        if not n:
            continue
        right_a, right_b = a[of_class] == number, b[of_class] == number
        fixed, broke = int((~right_a & right_b).sum()), int((right_a & ~right_b).sum())
        interval = in_points(difference_interval(fixed, broke, n))
        recall = 100 * float(right_a.mean()), 100 * float(right_b.mean())
        rows.append(
            {
                "name": name,
                "n": n,
                "recall": recall,
                "delta": 100 * (fixed - broke) / n,
                "interval": interval,
            }
        )
    scale = Scale.around(
        [0.0, *(edge for row in rows for edge in (row["interval"].low, row["interval"].high))]
    )
    for row in rows:
        row["bar"] = scale.bar(row["delta"], row["interval"])
        row["verdict"] = (
            "better" if row["interval"].low > 0 else "worse" if row["interval"].high < 0 else ""
        )
    return rows, scale.place(0.0)


def _galleries(
    before: Predictions, after: Predictions, classes: Sequence[str]
) -> dict[str, Gallery]:
    label, a, b = before.label, before.prediction, after.prediction
    wrong_a, wrong_b = a != label, b != label
    captions = _Captions(before, after, classes)
    sure_a, sure_b = captions.sure
    found = {
        "fixed": captions.gallery(
            "Fixed: wrong in the baseline, right in this run", wrong_a & ~wrong_b, sure_a
        ),
        "broke": captions.gallery(
            "Broken: right in the baseline, wrong in this run", ~wrong_a & wrong_b, sure_b
        ),
        "both": captions.gallery("Wrong in both", wrong_a & wrong_b, sure_a),
    }
    codes_a, codes_b = label * len(classes) + a, label * len(classes) + b
    changed = a != b
    for code in np.unique(np.concatenate([codes_a[changed], codes_b[changed]])).tolist():
        true, said = divmod(code, len(classes))
        gone, new = (codes_a == code) & changed, (codes_b == code) & changed
        what = (
            f"{classes[true]} recognised"
            if true == said
            else f"{classes[true]} taken for {classes[said]}"
        )
        counts = f"{(codes_a == code).sum()} times in the baseline, {(codes_b == code).sum()} in this run"
        title = f"{what}: {counts} ({gone.sum()} no longer, {new.sum()} new)"
        found[f"{true}-{said}"] = captions.gallery(title, gone | new, np.where(new, 1.0, 2.0))
    return found


class _Captions:
    """What is said of an image: the truth, the baseline's answer and this run's, with their
    probabilities if any.
    """

    def __init__(self, before: Predictions, after: Predictions, classes: Sequence[str]) -> None:
        self.models = before, after
        self.sure = before.confidence, after.confidence
        self.classes = classes

    def gallery(self, title: str, chosen: NDArray[np.bool_], sure: NDArray[np.float64]) -> Gallery:
        """The chosen images, the surest first."""
        positions = np.flatnonzero(chosen)
        positions = positions[np.argsort(-sure[positions], kind="stable")]
        return Gallery(
            title, [(position, self._caption(position)) for position in positions.tolist()]
        )

    def _caption(self, position: int) -> str:
        before = self.models[0]
        said = []
        for model, sure in zip(self.models, self.sure, strict=True):
            share = (
                ""
                if model.probability is None
                else f"{NO_BREAK_SPACE}({100 * sure[position]:.0f}{NO_BREAK_SPACE}%)"
            )
            said.append(f"{self.classes[model.prediction[position]]}{share}")
        truth = f"{self.classes[before.label[position]]} · #{before.index[position]}"
        return f"{truth}\n{said[0]}\n→{NO_BREAK_SPACE}{said[1]}"
