"""Figures of a dataset, narrow enough for the screen of a phone; each function returns a Figure."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 5.6  # inches


def _figure(height: float) -> "Figure":
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return Figure(
        figsize=(WIDTH, height), layout=ConstrainedLayoutEngine(w_pad=0.12)
    )  # less cuts a name's first letter


def counts_figure(counts: Mapping[str, NDArray[np.int64]], classes: Sequence[str]) -> "Figure":
    """Images of every class in every split, as shares, so that splits of different sizes can be
    compared.
    """
    figure = _figure(2.9)
    axes = figure.subplots()
    width = 0.8 / len(counts)
    for number, (split, found) in enumerate(counts.items()):
        places = np.arange(len(classes)) + (number - (len(counts) - 1) / 2) * width
        axes.bar(places, 100 * found / found.sum(), width, label=f"{split} ({found.sum():,})")
    _name_classes(axes, classes)
    axes.set(ylabel="% of the split")
    figure.legend(loc="outside upper center", ncols=len(counts))
    return figure


def _name_classes(axes: Any, classes: Sequence[str]) -> None:
    axes.set_xticks(range(len(classes)), classes, rotation=0 if max(map(len, classes)) <= 3 else 45)


def grid_figure(rows: Sequence[NDArray[Any]], names: Sequence[str], grey: bool = True) -> "Figure":
    """Pictures (n, h, w) in rows, each row with its name; `grey`: dark ink on paper, else in
    colours.
    """
    columns = max(map(len, rows))
    h, w = rows[0].shape[1:]
    gap = max(2, h // 10)
    sheet = np.zeros((len(rows) * (h + gap), columns * (w + gap)))
    for r, row in enumerate(rows):
        for c, picture in enumerate(row):
            sheet[r * (h + gap) : r * (h + gap) + h, c * (w + gap) : c * (w + gap) + w] = picture
    figure = _figure(0.9 * WIDTH * sheet.shape[0] / sheet.shape[1] + 0.1)
    axes = figure.subplots()
    axes.imshow(sheet, cmap="gray_r" if grey else "magma", vmin=0)
    axes.set_yticks([r * (h + gap) + h / 2 for r in range(len(rows))], names)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def class_pictures_figure(mean: NDArray[np.float32], spread: NDArray[np.float32]) -> "Figure":
    """Mean and standard deviation of every class's images, five classes to a row."""
    rows = []
    for start in range(0, len(mean), 5):
        rows += [mean[start : start + 5], 2 * spread[start : start + 5]]
    return grid_figure(rows, ["mean", "spread"] * (len(rows) // 2), grey=False)


def ink_figure(
    measures: Mapping[str, NDArray[np.float64]], labels: NDArray[np.int64], classes: Sequence[str]
) -> "Figure":
    """How each measure is distributed in each class: boxes hold half of the images, whiskers 98
    %.
    """
    figure = _figure(2.2 * len(measures))
    for axes, (name, values) in zip(
        np.atleast_1d(figure.subplots(len(measures), 1)), measures.items(), strict=True
    ):
        groups = [values[labels == number] for number in range(len(classes))]
        axes.boxplot(
            groups, positions=range(len(classes)), whis=(1, 99), showfliers=False, widths=0.6
        )
        _name_classes(axes, classes)
        axes.set(ylabel=name)
    return figure


def inked_figure(share: NDArray[np.float64]) -> "Figure":
    """The share of the images with ink at each pixel, on a logarithmic scale; pixels that never
    vary are hatched.
    """
    from matplotlib.colors import LogNorm

    figure = _figure(4.3)
    axes = figure.subplots()
    axes.set_facecolor("#d0d0d0")
    shown = np.where(share > 0, 100 * share, np.nan)
    picture = axes.imshow(
        shown, norm=LogNorm(vmin=max(np.nanmin(shown), 1e-3), vmax=100), cmap="viridis"
    )
    figure.colorbar(picture, ax=axes, label="% of the training images with ink there")
    axes.set(title="grey: no image has any", xlabel="column", ylabel="row")
    return figure


def scatter_figure(
    places: NDArray[np.floating], labels: NDArray[np.int64], classes: Sequence[str], title: str
) -> "Figure":
    """Images as points (n, 2), coloured by class, with the class's name at the middle of its
    points.
    """
    from matplotlib import colormaps
    from matplotlib.patheffects import withStroke

    figure = _figure(5.0)
    axes = figure.subplots()
    colours = colormaps["tab10" if len(classes) <= 10 else "turbo"]
    for number, name in enumerate(classes):
        own = places[labels == number]
        if not len(own):
            continue
        colour = colours(number if len(classes) <= 10 else number / (len(classes) - 1))
        axes.scatter(own[:, 0], own[:, 1], s=4, color=colour, alpha=0.6, linewidths=0)
        outline = [withStroke(linewidth=3, foreground="white")]
        x, y = np.median(own, axis=0)
        axes.text(
            x, y, name, fontsize=15, weight="bold", color=colour, path_effects=outline, ha="center"
        )
    axes.set(title=title)
    axes.set_xticks([])
    axes.set_yticks([])
    return figure


def touching_figure(share: NDArray[np.float64], classes: Sequence[str]) -> "Figure":
    """Which share of the nearest training images of a class's images are of another class."""
    figure = _figure(4.8)
    axes = figure.subplots()
    shown = np.where(np.eye(len(classes), dtype=bool), np.nan, 100 * share)
    axes.set_facecolor("#e8e8e8")
    picture = axes.imshow(shown, cmap="Oranges", vmin=0)
    figure.colorbar(picture, ax=axes, label="% of its neighbours", shrink=0.8)
    if len(classes) <= 15:
        for a, b in np.argwhere(np.round(shown, 1) > 0):
            dark = shown[a, b] > 0.6 * np.nanmax(shown)
            axes.text(
                b,
                a,
                f"{shown[a, b]:.1f}",
                ha="center",
                va="center",
                fontsize=7,
                color="white" if dark else "black",
            )
    _name_classes(axes, classes)
    axes.set_yticks(range(len(classes)), classes)
    axes.set(xlabel="class of the neighbour", ylabel="class of the image")
    return figure
