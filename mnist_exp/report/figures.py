"""Figures of a run; each function returns a Figure.

They are made without pyplot, so that threads and servers share no state, and without seaborn, whose
import would take longer than many a run.
"""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mnist_exp.evaluation import Predictions
from mnist_exp.report.page import NO_BREAK_SPACE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAIRS = 8  # rows of the gallery: the most frequent confusions
PER_PAIR = 10


def png(figure: "Figure") -> bytes:
    """The figure as a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def name_classes(axes: "Axes", classes: Sequence[str], both: bool = False) -> None:
    """Write the classes' names along the lower axis, slanted if they are long, or along both."""
    if both:
        axes.set_yticks(range(len(classes)), classes)
    rotation = 0 if max(map(len, classes)) <= 3 else 45
    axes.set_xticks(range(len(classes)), classes, rotation=rotation)


def confusion_figure(
    confusion: NDArray[np.integer], classes: Sequence[str], title: str
) -> "Figure":
    """Confusion matrix; the colour is that of mistakes alone, as a share of the true class."""
    from matplotlib.figure import Figure

    k = len(classes)
    size = max(6.0, 0.62 * k + 1.6), max(5.4, 0.56 * k + 1.4)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    share = 100 * confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    errors = np.where(np.eye(k, dtype=bool), np.nan, share)
    axes.set_facecolor("#e8e8e8")  # the diagonal: right answers
    picture = axes.imshow(errors, cmap="Blues", vmin=0, vmax=max(float(np.nanmax(errors)), 1e-9))
    figure.colorbar(picture, ax=axes, label="% of the true class", shrink=0.8)
    dark = np.nanmax(errors) / 2
    style = {"ha": "center", "va": "center", "fontsize": 9}
    for row, column in np.argwhere(confusion):
        colour = "white" if errors[row, column] > dark else "black"
        weight = "bold" if row == column else "normal"
        axes.text(column, row, str(confusion[row, column]), color=colour, weight=weight, **style)
    name_classes(axes, classes, both=True)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    return figure


def confident_mistakes(predictions: Predictions) -> NDArray[np.int64]:
    """Positions of all mistakes, by falling confidence."""
    wrong = np.flatnonzero(predictions.label != predictions.prediction)
    return wrong[np.argsort(-predictions.confidence[wrong], kind="stable")]


def frequent_confusions(
    predictions: Predictions, n_classes: int
) -> list[tuple[int, int, NDArray[np.int64]]]:
    """`(true, predicted, positions)` of each kind of mistake, most frequent first.

    Positions come by falling confidence.
    """
    wrong = confident_mistakes(predictions)
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
    cell_h, cell_w = h + max(4, h // 5), w + max(2, w // 10)  # room for the confidence beneath
    width, height = (PER_PAIR + 3) * cell_w, max(len(pairs), 1) * cell_h
    figure = Figure(figsize=(10, 10 * height / width + 0.5), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(-3 * cell_w, PER_PAIR * cell_w), ylim=(height, 0), aspect="equal", title=title)
    axes.set_axis_off()
    middle = {"ha": "center", "va": "center"}
    name = {"x": -cell_w * 0.3, "ha": "right", "va": "center"}
    if not pairs:
        axes.text(PER_PAIR * cell_w / 2, height / 2, "no mistakes", fontsize=14, **middle)
    sheet = np.zeros((height, PER_PAIR * cell_w), dtype=np.uint8)
    for row, (true, predicted, positions) in enumerate(pairs):
        top = row * cell_h
        confusion, times = f"{classes[true]} as {classes[predicted]}", f"{len(positions)} times"
        axes.text(y=top + h * 0.45, s=confusion, fontsize=13, **name)
        axes.text(y=top + h * 0.85, s=times, color="dimgray", **name)
        for column, position in enumerate(positions[:PER_PAIR]):
            left = column * cell_w
            sheet[top : top + h, left : left + w] = images[position]
            note = confidence_text(predictions, position)
            place = left + w / 2, top + (h + cell_h) / 2
            axes.text(*place, note, fontsize=7, color="dimgray", **middle)
    axes.imshow(sheet, cmap="gray_r", vmin=0, vmax=255, extent=(0, PER_PAIR * cell_w, height, 0))
    return figure


def confidence_text(predictions: Predictions, position: int) -> str:
    """How sure the model was of one image: a probability, or its lead in decision score."""
    value = predictions.confidence[position]
    if predictions.probability is None:
        return f"lead{NO_BREAK_SPACE}{value:.2g}"
    return f"{100 * value:.0f}{NO_BREAK_SPACE}%"
