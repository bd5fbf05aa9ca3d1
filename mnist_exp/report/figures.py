"""Figures of a run, made without pyplot so that threads and servers share no state; each function
returns a Figure.
"""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mnist_exp.evaluation import Predictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAIRS = 8  # rows of the gallery: the most frequent confusions
PER_PAIR = 10


def png(figure: "Figure") -> bytes:
    """The figure as a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def confusion_figure(
    confusion: NDArray[np.integer], classes: Sequence[str], title: str
) -> "Figure":
    """Confusion matrix; the colour shows errors alone, as a share of the true class, so that rare
    ones stay visible.
    """
    from matplotlib.figure import Figure

    k = len(classes)
    figure = Figure(
        figsize=(max(6.0, 0.62 * k + 1.6), max(5.4, 0.56 * k + 1.4)), layout="constrained"
    )
    axes = figure.subplots()
    share = 100 * confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    errors = np.where(np.eye(k, dtype=bool), np.nan, share)
    axes.set_facecolor("#e8e8e8")  # the diagonal: right answers
    picture = axes.imshow(errors, cmap="Blues", vmin=0, vmax=max(float(np.nanmax(errors)), 1e-9))
    figure.colorbar(picture, ax=axes, label="% of the true class", shrink=0.8)
    dark = np.nanmax(errors) / 2
    for row, column in np.ndindex(k, k):
        if count := confusion[row, column]:
            diagonal = row == column
            colour = "white" if not diagonal and errors[row, column] > dark else "black"
            axes.text(
                column,
                row,
                f"{count}",
                ha="center",
                va="center",
                fontsize=9,
                color=colour,
                weight="bold" if diagonal else None,
            )
    axes.set_xticks(range(k), classes, rotation=0 if max(map(len, classes)) <= 3 else 45)
    axes.set_yticks(range(k), classes)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    return figure


def frequent_confusions(
    predictions: Predictions, n_classes: int
) -> list[tuple[int, int, NDArray[np.int64]]]:
    """`(true, predicted, positions)` of each kind of mistake, most frequent first; positions by
    falling confidence.
    """
    wrong = np.flatnonzero(predictions.label != predictions.prediction)
    wrong = wrong[np.argsort(-predictions.confidence[wrong], kind="stable")]
    pair = predictions.label[wrong] * n_classes + predictions.prediction[wrong]
    counts = np.bincount(pair, minlength=n_classes**2)
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    return [(int(p) // n_classes, int(p) % n_classes, wrong[pair == p]) for p in order]


def errors_figure(
    predictions: Predictions, images: NDArray[np.uint8], classes: Sequence[str], title: str
) -> "Figure":
    """The most confident mistakes, a row for each of the most frequent confusions."""
    from matplotlib.figure import Figure

    pairs = frequent_confusions(predictions, len(classes))[:PAIRS]
    h, w = images.shape[1:]
    cell_h, cell_w = (
        h + max(4, h // 5),
        w + max(2, w // 10),
    )  # room for the confidence under each digit
    width, height = (PER_PAIR + 3) * cell_w, max(len(pairs), 1) * cell_h
    figure = Figure(figsize=(10, 10 * height / width + 0.5), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(-3 * cell_w, PER_PAIR * cell_w), ylim=(height, 0), aspect="equal", title=title)
    axes.set_axis_off()
    if not pairs:
        axes.text(
            PER_PAIR * cell_w / 2, height / 2, "no mistakes", ha="center", va="center", fontsize=14
        )
    sheet = np.zeros((height, PER_PAIR * cell_w), dtype=np.uint8)
    for row, (true, predicted, positions) in enumerate(pairs):
        top = row * cell_h
        name = f"{classes[true]} as {classes[predicted]}"
        axes.text(-cell_w * 0.3, top + h * 0.45, name, ha="right", va="center", fontsize=13)
        axes.text(
            -cell_w * 0.3,
            top + h * 0.85,
            f"{len(positions)} times",
            ha="right",
            va="center",
            color="dimgray",
        )
        for column, position in enumerate(positions[:PER_PAIR]):
            left = column * cell_w
            sheet[top : top + h, left : left + w] = images[position]
            note = confidence_text(predictions, int(position))
            axes.text(
                left + w / 2,
                top + (h + cell_h) / 2,
                note,
                ha="center",
                va="center",
                fontsize=7,
                color="dimgray",
            )
    axes.imshow(sheet, cmap="gray_r", vmin=0, vmax=255, extent=(0, PER_PAIR * cell_w, height, 0))
    return figure


def confidence_text(predictions: Predictions, position: int) -> str:
    """How sure the model was of one image: a probability, or its lead in decision score."""
    value = predictions.confidence[position]
    return f"{100 * value:.0f} %" if predictions.probability is not None else f"lead {value:.2g}"
