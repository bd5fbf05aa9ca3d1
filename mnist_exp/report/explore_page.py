"""The page on a dataset: what a person wants to have seen before training anything.

A part of the page is a function that returns its figures, by the names of their files, and its
facts; the words are in the template.
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mnist_exp import evaluation
from mnist_exp.data import Dataset, doubts
from mnist_exp.experiment import Augmentation
from mnist_exp.process import Stages, write_bytes, write_text
from mnist_exp.report import explore_figures as plot
from mnist_exp.report.figures import grid_figure, png
from mnist_exp.report.page import render

EXAMPLES = 12  # of each class
EMBEDDED = 2_000  # images in the non-linear embedding, whose time grows faster than their number
HARDEST = 8  # pairs of classes
TWINS = 12  # at most, pairs of images
COPIES = 8
AUGMENTED = 10  # images

Part = tuple[dict[str, Figure], dict[str, Any]]


def write_page(
    dataset: Dataset,
    augment: Augmentation,
    *,
    seed: int,
    folder: Path,
    command: str,
    stages: Stages,
) -> None:
    """Look at a dataset part by part; leaves the page and a PNG of each picture in `folder`."""
    train, test = dataset.train, dataset.test
    # Two threads would wait for each other longer than they gain, above all on a busy machine.
    with threadpool_limits(1):
        with stages("augment"):  # first, because a mistake in its options is found here
            augmented = _augment(dataset, augment, seed)
        with stages("describe", "counts, means, ink, pixels"):
            described = _describe(dataset, seed)
        parts = [augmented, described]
        # Images that are all equal, or one pixel, have no components, neighbours or twins.
        varied = train.images[0].size > 1 and bool((train.images != train.images[0]).any())
        if varied:
            with stages("project", "principal components"):
                projected, projected_test = evaluation.project(
                    train.images, test.images if test else None
                )
            with stages("embed", "t-SNE"):
                parts.append(_embed(dataset, projected, seed))
            with stages("neighbours", "classes that touch"):
                parts.append(_touching(dataset, projected, seed))
            with stages("twins", "training and test images alike"):
                parts.append(_twins(dataset, projected, projected_test))
    facts: dict[str, Any] = {"dataset": dataset, "command": command, "pictures": {}}
    facts |= {"varied": varied, "doubts": doubts(dataset)}
    with stages("write", "pictures and page"):
        for figures, more in parts:
            facts |= more
            facts["pictures"] |= {name: png(figure) for name, figure in figures.items()}
        for name, picture in facts["pictures"].items():
            write_bytes(folder / f"{name}.png", picture)
        write_text(folder / "report.html", render("explore.html", facts))


def _describe(dataset: Dataset, seed: int) -> Part:
    """Counts, examples, means, ink and pixels."""
    train, classes = dataset.train, dataset.classes
    counts = {
        name: np.bincount(split.labels, minlength=len(classes))
        for name, split in {"train": train, "val": dataset.val, "test": dataset.test}.items()
        if split
    }
    rng = np.random.default_rng(seed)
    mixed = [rng.permutation(np.flatnonzero(train.labels == k)) for k in range(len(classes))]
    width, ink = evaluation.stroke_width(train.images), evaluation.mean_ink(train.images)
    share = evaluation.inked_share(train.images)
    means = evaluation.class_pictures(train.images, train.labels, len(classes))
    return {
        "classes": plot.counts_figure(counts, classes),
        "examples": grid_figure([train.images[np.sort(row[:EXAMPLES])] for row in mixed], classes),
        "means": plot.class_pictures_figure(*means),
        "ink": plot.ink_figure(
            {"stroke width, pixels": width, "mean grey": ink}, train.labels, classes
        ),
        **({"pixels": plot.inked_figure(share)} if share.any() else {}),
    }, {
        "counts": counts,
        "most": int(counts["train"].argmax()),
        "least": int(counts["train"].argmin()),
        "width": np.percentile(width, [5, 50, 95]),
        "ink": np.percentile(ink, [1, 99]),
        "empty": np.count_nonzero(share == 0),
        "rare": np.count_nonzero((share > 0) & (share < 1e-3)),
    }


def _embed(dataset: Dataset, projected: NDArray[np.float32], seed: int) -> Part:
    """The training images in the plane."""
    from sklearn.manifold import TSNE

    labels = dataset.train.labels
    n = min(EMBEDDED, len(labels))
    chosen = np.sort(np.random.default_rng(seed).choice(len(labels), n, replace=False))
    tsne = TSNE(
        perplexity=min(30.0, (n - 1) / 3),
        angle=0.8,  # as good a picture as by 0.5, in two thirds of the time
        init="pca",
        random_state=seed,
        max_iter=500,
        n_jobs=1,
    )
    places = tsne.fit_transform(projected[chosen])
    return {
        name: plot.scatter_figure(points, labels[chosen], dataset.classes, title)
        for name, title, points in (
            ("pca", "first two principal components", projected[chosen, :2]),
            ("tsne", "t-SNE", places),
        )
    }, {"embedded": n}


def _touching(dataset: Dataset, projected: NDArray[np.float32], seed: int) -> Part:
    """Classes whose images are neighbours, hardest first."""
    train, classes, rng = dataset.train, dataset.classes, np.random.default_rng(seed)
    share, pairs = evaluation.touching_classes(projected, train.labels, len(classes), rng)
    named = {" and ".join(classes[number] for number in pair.classes): pair for pair in pairs}
    borders = [
        (name, train.images[np.array(pair.pairs).ravel()])
        for name, pair in named.items()
        if pair.pairs
    ][:HARDEST]
    figures = {"class_pairs": plot.touching_figure(share, classes)}
    if borders:
        figures["borders"] = grid_figure([row for _, row in borders], [name for name, _ in borders])
    return figures, {
        "neighbours": evaluation.NEIGHBOURS,
        "components": projected.shape[1],
        "hardest": [(name, pair.share) for name, pair in named.items()][:HARDEST],
    }


def _twins(
    dataset: Dataset, projected: NDArray[np.float32], projected_test: NDArray[np.float32] | None
) -> Part:
    """Test images that the training split has as well, or nearly."""
    train, test = dataset.train, dataset.test
    if test is None or projected_test is None:
        return {}, {"twins": None}
    twins = evaluation.find_twins(train.images, test.images, projected, projected_test)
    labels = test.labels[twins.test]
    near = int(np.count_nonzero(twins.distance < evaluation.TWIN))
    within = evaluation.count_repeats(train.images) + evaluation.count_repeats(test.images)
    closest = np.unique(labels, return_index=True)[1][:TWINS].tolist()  # pair of each class
    closest += closest[:1] * (len(closest) % 2)  # two pairs to a row
    half = len(closest) // 2
    alike = np.stack([test.images[twins.test[closest]], train.images[twins.train[closest]]], axis=1)
    distances = [f"{twins.distance[place]:.0%}" for place in closest]
    names = [" and ".join(distances[row::half]) for row in range(half)]
    rows = [np.concatenate(alike[row::half]) for row in range(half)]
    return {"twins": grid_figure(rows, names)}, {
        "twins": near,
        "within": within,
        "across": evaluation.count_repeats(train.images, test.images) - within,
        "disagree": np.count_nonzero((labels != train.labels[twins.train])[:near]),
        "limit": evaluation.TWIN,
    }


def _augment(dataset: Dataset, augment: Augmentation, seed: int) -> Part:
    """An image of each class with its altered copies."""
    train = dataset.train
    originals = train.images[np.unique(train.labels, return_index=True)[1][:AUGMENTED]]
    result = augment(originals, np.random.default_rng(seed), n_jobs=1)
    copies = len(result) // len(originals)
    versions = result.reshape(copies, *originals.shape)[:COPIES]
    names = ["before", *(f"copy {number}" for number in range(1, len(versions)))]
    figures = {"augmentation": grid_figure(list(versions), names)} if copies > 1 else {}
    return figures, {"copies": copies}
