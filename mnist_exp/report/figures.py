"""Figures of a run; each function returns a Figure.

They are made without pyplot, so that threads and servers share no state, and without seaborn, whose
import would take longer than many a run.
"""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mnist_exp.evaluation import Predictions
from mnist_exp.report.page import NO_BREAK_SPACE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 5.6  # inches: narrow enough for the screen of a phone
PAIRS = 8  # rows of the gallery: the most frequent confusions
PER_PAIR = 10


def png(figure: "Figure") -> bytes:
    """The figure as a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, pil_kwargs={"compress_level": 3})
    return buffer.getvalue()


def new_axes(width: float, height: float, rows: int = 1) -> "tuple[Figure, list[Axes]]":
    """An empty figure of this size in inches, and its axes, one above the other."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.12)  # less cuts a name's first letter
    figure = Figure(figsize=(width, height), layout=layout)
    return figure, figure.subplots(rows, 1, squeeze=False).ravel().tolist()


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
    k = len(classes)
    figure, (axes,) = new_axes(max(6.0, 0.62 * k + 1.6), max(5.4, 0.56 * k + 1.4))
    share = 100 * confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    errors = np.where(np.eye(k, dtype=bool), np.nan, share)
    axes.set_facecolor("#e8e8e8")  # the diagonal: right answers
    picture = axes.imshow(errors, cmap="Blues", vmin=0, vmax=max(float(np.nanmax(errors)), 1e-9))
    figure.colorbar(picture, ax=axes, label="% of the true class", shrink=0.8)
    for row, column in np.argwhere(confusion):
        axes.text(
            column,
            row,
            str(confusion[row, column]),
            color="white" if errors[row, column] > np.nanmax(errors) / 2 else "black",
            weight="bold" if row == column else "normal",
            ha="center",
            va="center",
            fontsize=9,
        )
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
    pairs = frequent_confusions(predictions, len(classes))[:PAIRS]
    shown = [positions[:PER_PAIR] for *_, positions in pairs]
    names = [f"{classes[t]} as {classes[p]}\n{len(positions)} times" for t, p, positions in pairs]
    if not pairs:
        return grid_figure([images[:0]], ["no mistakes"], title=title, columns=PER_PAIR)
    notes = [[confidence_text(predictions, position) for position in row] for row in shown]
    return grid_figure([images[row] for row in shown], names, notes, title, 9, PER_PAIR)


def grid_figure(
    rows: Sequence[NDArray[Any]],
    names: Sequence[str],
    notes: Sequence[Sequence[str]] = (),
    title: str = "",
    width: float = WIDTH,
    columns: int = 1,
    cmap: str = "gray_r",
) -> "Figure":
    """Pictures (n, h, w) in rows, each row with its name, and with `notes` beneath its pictures.

    The larger a pixel, the darker it is. There is room for `columns` pictures at least.
    """
    h, w = rows[0].shape[1:]
    cell_h, cell_w = h + max(4 if notes else 2, h // (5 if notes else 10)), w + max(2, w // 10)
    shape = len(rows) * cell_h, max(columns, *map(len, rows)) * cell_w
    sheet = np.zeros(shape, rows[0].dtype)
    beside = 0.3 + 0.075 * max(map(len, "\n".join(names).split("\n")))
    height = (width - beside) * sheet.shape[0] / sheet.shape[1] + (0.4 if title else 0.1)
    figure, (axes,) = new_axes(width, height)
    for r, row in enumerate(rows):
        for c, picture in enumerate(row):
            sheet[r * cell_h : r * cell_h + h, c * cell_w : c * cell_w + w] = picture
    for r, row_notes in enumerate(notes):
        for c, note in enumerate(row_notes):
            axes.text(
                c * cell_w + w / 2,
                r * cell_h + (h + cell_h) / 2,
                note,
                ha="center",
                va="center",
                fontsize=7,
                color="dimgray",
            )
    axes.imshow(sheet, cmap=cmap, vmin=0)
    axes.set_yticks([r * cell_h + h / 2 for r in range(len(rows))], names)
    axes.set(xticks=[], title=title)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def confidence_text(predictions: Predictions, position: int) -> str:
    """How sure the model was of one image: a probability, or its lead in decision score."""
    value = predictions.confidence[position]
    if predictions.probability is None:
        return f"lead{NO_BREAK_SPACE}{value:.2g}"
    return f"{100 * value:.0f}{NO_BREAK_SPACE}%"
