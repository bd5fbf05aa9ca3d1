"""How a picture compares with the training images: which are nearest, and whether it is like any of
its class at all.

A model gives everything a class. What tells a letter from a digit is its distance to the nearest
training image of the class that the model named, in principal components of HOG, with what the
components leave out; for digits, against its distance to the nearest of some letters and scribbles
(`non_digits`). The limit is read off held-out training images, redrawn with a sharp pen as visitors
draw, so that a known share of real ones is refused. Measured on 240 letters of seven handwriting
fonts, at 1.5 % of real digits refused: this refuses 76 %, the distance to the class alone 61 %. On
the 115 letters, signs, scribbles and shapes of scripts/benchmark_drawing.py: 95 % and 80 %.
"""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.decomposition import PCA

from mnist_exp.data import Images, Labels, Split
from mnist_exp.evaluation import nearest
from mnist_exp.features import Hog, Pixels
from mnist_exp.handwriting import SIDE, Ink, drawn_to_mnist, non_digits, resized

MAX_IMAGES, MAX_HELD_OUT = 20_000, 2_000  # three times as many refuse no more letters
COMPONENTS = 150
CONTRAST = 0.7  # exponent of the distance to strangers; 0.5 refuses two in a hundred letters less
REFUSED = (
    1.5,
    0.3,
)  # per cent of real images: of one alone, and of one in a row, whose neighbours speak for it
_SMALLEST = 8  # pixels a side that HOG needs


@dataclass(frozen=True)
class Look:
    """What the nearest training images say of one picture."""

    nearest: NDArray[np.intp]  # positions of the nearest images, the nearest first
    strangeness: tuple[
        float, float
    ]  # distance to its class over its limit, alone and in a row: 1 is just refused


@dataclass(frozen=True)
class Neighbours:
    """A sample of the training images, with what is needed to find those nearest to a picture."""

    images: Images  # (n, h, w)
    labels: Labels  # (n,)
    mean: NDArray[np.float32]  # (d,)
    axes: NDArray[np.float32]  # (components, d)
    codes: NDArray[np.float16]  # (n, components)
    strangers: NDArray[
        np.float16
    ]  # (m, components) of what is no digit; none where the classes are other ones
    limits: NDArray[np.float64]  # (2,), of the strangeness

    def __post_init__(self) -> None:
        """Raise ValueError where the arrays do not fit together, as in a file from elsewhere."""
        n, d = len(self.images), len(self.mean)
        shapes = (
            self.images.shape[1:],
            self.labels.shape,
            self.axes.shape[1:],
            self.codes.shape,
            self.limits.shape,
        )
        fit = (
            shapes[1:] == ((n,), (d,), (n, len(self.axes)), (2,))
            and self.strangers.shape[1:] == self.codes.shape[1:]
        )
        if len(shapes[0]) != 2 or not fit or not n:
            raise ValueError("its arrays do not fit together")
        numbers = self.mean, self.axes, self.codes, self.strangers
        if (
            self.images.dtype != np.uint8
            or self.labels.dtype.kind != "i"
            or any(a.dtype.kind != "f" for a in numbers)
        ):
            raise ValueError("its arrays are of other types")
        if self.labels.min() < 0 or not (self.limits > 0).all():
            raise ValueError("its labels or limits are impossible")
        if _features(self.images[:1]).shape[1] != d:
            raise ValueError("its features are those of another version")

    @classmethod
    def of(cls, train: Split, strokes: bool, digits: bool, seed: int = 0) -> "Neighbours":
        """Sample a training split, and set the limits by images of it that are left out of the
        sample.

        `strokes` says that the images are drawn with a pen, so that those that set the limits can
        be redrawn, and `digits` that no letter is among them.
        """
        order = np.random.default_rng(seed).permutation(len(train))
        held_out = np.sort(order[: min(MAX_HELD_OUT, len(order) // 5)])
        kept = np.sort(order[len(held_out) : len(held_out) + MAX_IMAGES])
        images = train.images[kept]
        features = _features(images)
        found = PCA(min(COMPONENTS, *features.shape), svd_solver="covariance_eigh").fit(
            features[:: 1 + len(kept) // 8000]
        )
        mean, axes = found.mean_.astype(np.float32), found.components_.astype(np.float32)
        codes = ((features - mean) @ axes.T).astype(np.float16)
        foreign = _features(resized(non_digits(seed), images.shape[1:])) if digits else features[:0]
        parts = (
            images,
            train.labels[kept],
            mean,
            axes,
            codes,
            ((foreign - mean) @ axes.T).astype(np.float16),
        )
        others = train.images[held_out]
        if strokes and len(held_out) and others.shape[1:] == (SIDE, SIDE):
            others = np.stack([_redrawn(image) for image in others])
        found = cls(*parts, np.ones(2))._strangeness(others, train.labels[held_out])
        return cls(
            *parts,
            np.percentile(found, np.subtract(100, REFUSED))
            if len(held_out)
            else np.full(2, np.inf),
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What to keep on disk."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def look(self, image: Images, label: int, count: int = 10) -> Look:
        """Compare one picture (h, w) that was given a class."""
        codes, left_out = self._encode(image[None])
        distances = self._lengths - 2 * (
            self._rows @ codes[0]
        )  # all but the length of the codes themselves
        order = np.argpartition(distances, min(count, len(distances) - 1))[:count]
        own = distances[self.labels == label]
        distance = own.min() + np.square(codes).sum() + left_out if own.size else np.full(1, np.inf)
        (strange,) = self._against_strangers(distance, codes, left_out)
        alone, in_row = (float(strange / limit) for limit in self.limits)
        return Look(order[np.argsort(distances[order])], (alone, in_row))

    def rank(self, image: Images, others: Images) -> NDArray[np.intp]:
        """Positions of other images (n, h, w), the most like a picture (h, w) first."""
        code, codes = self._encode(image[None])[0], self._encode(others)[0]
        return np.argsort(np.square(codes - code).sum(1), kind="stable")

    @cached_property
    def _rows(self) -> NDArray[np.float32]:
        return self.codes.astype(np.float32)

    @cached_property
    def _lengths(self) -> NDArray[np.float32]:
        lengths: NDArray[np.float32] = np.square(self._rows).sum(1)
        return lengths

    def _encode(self, images: Images) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Components (m, k) of images, and the squared length (m,) of what they leave out."""
        centred: NDArray[np.float32] = _features(images) - self.mean
        codes: NDArray[np.float32] = np.asarray(centred @ self.axes.T, np.float32)
        left_out = np.square(centred).sum(1) - np.square(codes).sum(1)
        return codes, np.maximum(left_out, np.float32(0))

    def _strangeness(self, images: Images, labels: Labels) -> NDArray[np.float64]:
        """How far (m,) each image is from the nearest of its class; infinite where the sample has
        none.
        """
        codes, left_out = self._encode(images)
        found = np.full(len(images), np.inf)
        for label in np.unique(labels):
            mine, rows = labels == label, self._rows[self.labels == label]
            if len(rows):
                found[mine] = nearest(codes[mine], rows, 1)[1][:, 0] + left_out[mine]
        return self._against_strangers(found, codes, left_out)

    def _against_strangers(
        self, distances: NDArray[Any], codes: NDArray[np.float32], left_out: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Squared distances (m,) over a power of those to the nearest strangers, where there are
        any.
        """
        if not len(self.strangers):
            return distances
        away = nearest(codes, self.strangers, 1)[1][:, 0] + left_out
        return np.asarray(distances / np.maximum(away, 1e-6) ** CONTRAST, np.float64)


def _redrawn(image: Ink) -> Ink:
    """An image of strokes with the sharp edges of a pen, brought to MNIST's look as a drawing
    is.
    """
    large = np.asarray(
        Image.fromarray(image).resize((8 * SIDE, 8 * SIDE), Image.Resampling.BICUBIC)
    )
    return drawn_to_mnist(np.where(large > 127, 255, 0).astype(np.uint8))


def _features(images: Images) -> NDArray[np.float32]:
    extract = Hog(deskew=False, n_jobs=-1) if min(images.shape[1:]) >= _SMALLEST else Pixels()
    return np.asarray(extract.fit_transform(images), np.float32)
