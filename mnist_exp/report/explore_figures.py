"""Figures of a dataset, narrow enough for the screen of a phone; each function returns a Figure.

Colours are seaborn's colour-blind palette for classes and splits, and maps of even lightness for
amounts. They are light, so that a page may invert them in the dark.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import seaborn as sns
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from mnist_exp.report.figures import WIDTH, grid_figure, name_classes, new_axes

BLUE = "#0173b2"  # the first colour of the palette


def counts_figure(counts: Mapping[str, NDArray[np.int64]], classes: Sequence[str]) -> Figure:
    """Images of every class in every split, as shares of the split, so that sizes do not matter."""
    figure, (axes,) = new_axes(WIDTH, 2.9)
    shares = {f"{name} ({n.sum():,})": 100 * n / n.sum() for name, n in counts.items()}
    columns = {
        "class": list(range(len(classes))) * len(shares),
        "% of the split": np.concatenate(list(shares.values())),
        "split": np.repeat(list(shares), len(classes)),
    }
    sns.barplot(columns, x="class", y="% of the split", hue="split", palette="colorblind", ax=axes)
    axes.axhline(100 / len(classes), color="0.4", ls=":", lw=1)  # what balanced classes would have
    name_classes(axes, classes)
    sns.despine(ax=axes)
    sns.move_legend(axes, "lower center", bbox_to_anchor=(0.5, 1), ncols=3, title="", frameon=False)
    return figure


def class_pictures_figure(mean: NDArray[np.float32], spread: NDArray[np.float32]) -> Figure:
    """Mean and standard deviation of every class's images, five classes to a row."""
    rows = [part[at : at + 5] for at in range(0, len(mean), 5) for part in (mean, 2 * spread)]
    return grid_figure(rows, ["mean", "spread"] * (len(rows) // 2), cmap="gist_heat_r")


def ink_figure(
    measures: Mapping[str, NDArray[np.float64]], labels: NDArray[np.int64], classes: Sequence[str]
) -> Figure:
    """How each measure is distributed in each class.

    A violin is as wide as images are frequent, up to the 1st and 99th percentile of all; the dashed
    lines are the quartiles of the class.
    """
    figure, all_axes = new_axes(WIDTH, 2.4 * len(measures), len(measures))
    style = {"density_norm": "width", "cut": 0, "color": BLUE, "linewidth": 0.8, "alpha": 0.6}
    for axes, (name, values) in zip(all_axes, measures.items(), strict=True):
        sns.violinplot(
            x=labels, y=values, order=range(len(classes)), inner="quart", ax=axes, **style
        )
        axes.set(ylabel=name, ylim=np.quantile(values, [0.001, 0.999]) if np.ptp(values) else None)
        name_classes(axes, classes)
        sns.despine(ax=axes)
    return figure


def inked_figure(share: NDArray[np.float64]) -> Figure:
    """The share of the images with ink at each pixel, logarithmic; grey where no image has any."""
    figure, (axes,) = new_axes(WIDTH, 4.3)
    axes.set_facecolor("#d0d0d0")
    shown = np.where(share > 0, 100 * share, np.nan)
    sns.heatmap(
        shown,
        norm=LogNorm(vmin=max(np.nanmin(shown), 1e-3), vmax=100),
        cmap="viridis_r",
        square=True,
        xticklabels=4,
        yticklabels=4,
        cbar_kws={"label": "% of the training images with ink there", "format": "%g"},
        ax=axes,
    )
    axes.set(title="grey: no image has any ink", xlabel="column", ylabel="row")
    axes.tick_params(axis="y", rotation=0)
    return figure


def scatter_figure(
    places: NDArray[np.floating], labels: NDArray[np.int64], classes: Sequence[str], title: str
) -> Figure:
    """Images as points (n, 2) in the colour of their class, whose name is amid its points."""
    figure, (axes,) = new_axes(WIDTH, 5.0)
    palette = sns.color_palette("colorblind" if len(classes) <= 10 else "husl", len(classes))
    sns.scatterplot(
        x=places[:, 0],
        y=places[:, 1],
        hue=labels,
        palette=dict(enumerate(palette)),
        s=9,
        alpha=0.7,
        linewidth=0,
        legend=False,
        ax=axes,
    )
    outline = [withStroke(linewidth=3, foreground="white")]
    for number in np.unique(labels):
        x, y = np.median(places[labels == number], axis=0)
        axes.text(x, y, classes[number], fontsize=14, ha="center", path_effects=outline)
    axes.set(title=title, xticks=[], yticks=[])
    return figure


def touching_figure(share: NDArray[np.float64], classes: Sequence[str]) -> Figure:
    """Which share of the nearest training images of a class's images are of another class."""
    figure, (axes,) = new_axes(WIDTH, 4.8)
    axes.set_facecolor("#e8e8e8")
    shown = np.where(np.eye(len(classes), dtype=bool), np.nan, 100 * share)
    texts = [[f"{value:.1f}" if value >= 0.05 else "" for value in row] for row in shown]
    sns.heatmap(
        shown,
        annot=np.array(texts) if len(classes) <= 15 else False,
        fmt="",
        annot_kws={"fontsize": 8},
        cmap="Oranges",
        vmin=0,
        square=True,
        xticklabels=classes,
        yticklabels=classes,
        cbar_kws={"label": "% of its neighbours", "shrink": 0.8},
        ax=axes,
    )
    axes.set(xlabel="class of the neighbour", ylabel="class of the image")
    axes.tick_params(axis="y", rotation=0)
    return figure
