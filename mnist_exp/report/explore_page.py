"""The page on a dataset: what a person wants to have seen before training anything."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mnist_exp import evaluation
from mnist_exp.data import Dataset, Split
from mnist_exp.experiment import Augmentation
from mnist_exp.process import Stages, write_bytes, write_text
from mnist_exp.report import explore_figures as figures
from mnist_exp.report.figures import png
from mnist_exp.report.page import data_uri, percent, render

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXAMPLES = 12  # of each class
EMBEDDED = 2_500  # images in the non-linear embedding, whose time grows faster than their number
PAIRS = 12  # at most, of twins
COPIES = 8


@dataclass
class Section:
    """A heading, sentences, tables and pictures of the page."""

    title: str
    text: list[str]
    pictures: list[tuple[str, str, str]] = field(
        default_factory=list
    )  # file name, what it shows, data URI
    head: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True)
class Explorer:
    """Looks at a dataset section by section, and leaves a PNG of each picture in `folder`."""

    dataset: Dataset
    augment: Augmentation
    seed: int
    n_jobs: int
    folder: Path

    def sections(self, stages: Stages) -> list[Section]:
        """All sections, in the order of the page; `stages` shows each while it is made."""
        with threadpool_limits(self.n_jobs):
            with stages("augment"):  # first, because a mistake in its options is found here
                augmentation = self._augmentation()
            with stages("project", "principal components"):
                test = self.dataset.test
                train_projected, test_projected = evaluation.project(
                    self.dataset.train.images, test.images if test else None
                )
            made = []
            with stages("describe", "counts, means, ink, pixels"):
                made += [
                    self._counts(),
                    self._examples(),
                    self._means(),
                    self._ink(),
                    self._pixels(),
                ]
            with stages("embed", "t-SNE"):
                made.append(self._embedding(train_projected))
            with stages("neighbours", "classes that touch"):
                made.append(self._touching(train_projected))
            if test is not None and test_projected is not None:
                with stages("twins", "training and test images alike"):
                    made.append(self._twins(test, train_projected, test_projected))
        return [*made, augmentation]

    def _picture(self, name: str, shows: str, figure: "Figure") -> tuple[str, str, str]:
        content = png(figure)
        write_bytes(self.folder / f"{name}.png", content)
        return f"{name}.png", shows, data_uri(content)

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    @property
    def _classes(self) -> Sequence[str]:
        return self.dataset.classes

    def _counts(self) -> Section:
        splits = {"train": self.dataset.train, "val": self.dataset.val, "test": self.dataset.test}
        counts = {
            name: np.bincount(split.labels, minlength=len(self._classes))
            for name, split in splits.items()
            if split
        }
        train = counts["train"]
        text = (
            f"The most frequent class of the training split, {self._classes[int(train.argmax())]}, has {train.max():,} "
            f"images, the rarest, {self._classes[int(train.argmin())]}, {train.min():,}. Always naming the first "
            f"would be right in {percent(train.max() / train.sum())} of the cases."
        )
        picture = self._picture(
            "classes", "images per class and split", figures.counts_figure(counts, self._classes)
        )
        rows = [
            [name, *(f"{found[i]:,}" for found in counts.values())]
            for i, name in enumerate(self._classes)
        ]
        return Section("Classes", [text], [picture], ["class", *counts], rows)

    def _examples(self) -> Section:
        train, rng = self.dataset.train, self._rng()
        rows = [
            rng.permutation(np.flatnonzero(train.labels == number))[:EXAMPLES]
            for number in range(len(self._classes))
        ]
        figure = figures.grid_figure([train.images[np.sort(row)] for row in rows], self._classes)
        return Section(
            "Examples",
            ["Drawn at random from the training split."],
            [self._picture("examples", "examples of every class", figure)],
        )

    def _means(self) -> Section:
        train = self.dataset.train
        mean, spread = evaluation.class_pictures(train.images, train.labels, len(self._classes))
        text = "Bright in the spread (twice the standard deviation): where images of a class differ in slant, size, form."
        figure = figures.class_pictures_figure(mean, spread)
        return Section(
            "Mean and variability",
            [text],
            [self._picture("means", "mean and spread of every class", figure)],
        )

    def _ink(self) -> Section:
        train = self.dataset.train
        ink, width = evaluation.mean_ink(train.images), evaluation.stroke_width(train.images)
        low, middle, high = np.percentile(width, [5, 50, 95])
        text = (
            f"Half of the images have strokes thinner than {middle:.1f} pixels, nine in ten between {low:.1f} and "
            f"{high:.1f} (twice the inked area over its total variation). The mean grey, 0 to 1, runs from "
            f"{np.percentile(ink, 1):.3f} to {np.percentile(ink, 99):.3f} (1st to 99th percentile)."
        )
        measures = {"stroke width, pixels": width, "mean grey": ink}
        figure = figures.ink_figure(measures, train.labels, self._classes)
        return Section(
            "Ink and strokes",
            [text],
            [self._picture("ink", "stroke width and mean grey by class", figure)],
        )

    def _pixels(self) -> Section:
        share = evaluation.inked_share(self.dataset.train.images)
        still, rare = np.count_nonzero(share == 0), np.count_nonzero((share > 0) & (share < 1e-3))
        text = (
            f"{still} of {share.size} pixels are empty in every training image and tell nothing; "
            f"{rare} more have ink in fewer than one image of a thousand."
        )
        return Section(
            "Pixels that never vary",
            [text],
            [self._picture("pixels", "how often each pixel has ink", figures.inked_figure(share))],
        )

    def _embedding(self, projected: NDArray[np.float32]) -> Section:
        from sklearn.manifold import TSNE

        labels = self.dataset.train.labels
        chosen = np.sort(self._rng().choice(len(labels), min(EMBEDDED, len(labels)), replace=False))
        perplexity = min(30.0, (len(chosen) - 1) / 3)
        tsne = TSNE(
            perplexity=perplexity, init="pca", random_state=self.seed, max_iter=500, n_jobs=1
        )
        with threadpool_limits(
            1
        ):  # a second thread gains a tenth, and costs several times that on a busy machine
            places = tsne.fit_transform(projected[chosen])
        text = (
            f"{len(chosen):,} training images. Principal components keep large distances as they are; t-SNE keeps "
            "neighbours together, and neither its distances between groups nor their sizes mean anything."
        )
        two = {
            "pca": ("first two principal components", projected[chosen, :2]),
            "tsne": ("t-SNE", places),
        }
        pictures = [
            self._picture(
                name, title, figures.scatter_figure(points, labels[chosen], self._classes, title)
            )
            for name, (title, points) in two.items()
        ]
        return Section("The plane", [text], pictures)

    def _touching(self, projected: NDArray[np.float32]) -> Section:
        train = self.dataset.train
        share, pairs = evaluation.touching_classes(
            projected, train.labels, len(self._classes), self._rng()
        )
        names = [
            f"{self._classes[a]} and {self._classes[b]}"
            for a, b in (pair.classes for pair in pairs)
        ]
        text = (
            f"Of the {evaluation.NEIGHBOURS} training images nearest to each (on {projected.shape[1]} principal "
            f"components), those of another class say what will be hard to tell apart: {', '.join(names[:3])}. "
            "The second picture shows the closest pairs across each border."
        )
        hardest = [
            (name, pair.pairs) for name, pair in zip(names, pairs, strict=True) if pair.pairs
        ][:8]
        pictures = [
            self._picture(
                "class_pairs",
                "share of neighbours of another class",
                figures.touching_figure(share, self._classes),
            )
        ]
        if hardest:
            rows = [train.images[np.array(ends).ravel()] for _, ends in hardest]
            borders = figures.grid_figure(rows, [name for name, _ in hardest])
            pictures.append(
                self._picture("borders", "closest pairs of the hardest classes", borders)
            )
        rows_of_text = [
            [name, percent(pair.share)] for name, pair in zip(names[:8], pairs[:8], strict=True)
        ]
        return Section(
            "Hardest pairs of classes",
            [text],
            pictures,
            ["pair", "neighbours of the other class"],
            rows_of_text,
        )

    def _twins(
        self, test: Split, train_projected: NDArray[np.float32], test_projected: NDArray[np.float32]
    ) -> Section:
        train = self.dataset.train
        twins = evaluation.find_twins(train.images, test.images, train_projected, test_projected)
        near = int(np.count_nonzero(twins.distance < evaluation.TWIN))
        repeats = evaluation.count_repeats(train.images, test.images)
        within = evaluation.count_repeats(train.images) + evaluation.count_repeats(test.images)
        disagree = np.count_nonzero((test.labels[twins.test] != train.labels[twins.train])[:near])
        text = (
            f"{repeats - within} test images are, pixel for pixel, training images, and {within} images repeat another "
            f"of their own split. {near:,} of {len(test):,} test images differ from a training image by less than "
            f"{evaluation.TWIN:.0%} of their own length ({disagree} of these with another label). Below: the closest "
            "pair of each class, the test image on the left, and that share: the same drawing in both splits makes "
            "figures too good; two plain strokes that are alike do not."
        )
        labels = test.labels[twins.test]
        closest = [int(np.argmax(labels == number)) for number in np.unique(labels)][:PAIRS]
        closest += closest[:1] * (len(closest) % 2)  # two pairs to a row
        pictures = np.stack(
            [test.images[twins.test[closest]], train.images[twins.train[closest]]], axis=1
        )
        half = len(closest) // 2
        rows = [np.concatenate(pictures[i::half]) for i in range(half)]
        names = [
            " and ".join(f"{twins.distance[place]:.0%}" for place in closest[i::half])
            for i in range(half)
        ]
        figure = figures.grid_figure(rows, names)
        picture = self._picture("twins", "most similar test and training images", figure)
        return Section("Nearly the same in training and test", [text], [picture])

    def _augmentation(self) -> Section:
        train = self.dataset.train
        first = [np.flatnonzero(train.labels == number)[0] for number in range(len(self._classes))][
            :10
        ]
        originals = train.images[np.array(first)]
        result = self.augment(originals, self._rng(), n_jobs=1)
        copies = len(result) // len(originals)
        if copies == 1:
            text = "None: the training images are used as they are. Add augment=shift, affine, elastic ... to see one."
            return Section("Augmentation", [text])
        versions = result.reshape(copies, *originals.shape)[:COPIES]
        names = ["before", *[f"copy {number}" for number in range(1, len(versions))]]
        text = f"Each training image becomes {copies}: itself and {copies - 1} altered ones."
        figure = figures.grid_figure(list(versions), names)
        return Section(
            "Augmentation",
            [text],
            [self._picture("augmentation", "images before and after augmentation", figure)],
        )


def write_page(explorer: Explorer, sections: Sequence[Section], command: str) -> Path:
    """Write the page beside the pictures; returns its path."""
    dataset = explorer.dataset
    sizes = ", ".join(
        f"{len(split):,} {name}"
        for name, split in (
            ("training", dataset.train),
            ("validation", dataset.val),
            ("test", dataset.test),
        )
        if split
    )
    h, w = dataset.train.images.shape[1:]
    content: dict[str, Any] = {"name": dataset.name, "sections": sections, "command": command}
    content["summary"] = f"{sizes} images of {h}x{w} pixels in {len(dataset.classes)} classes"
    path = explorer.folder / "report.html"
    write_text(path, render("explore.html", content))
    return path
