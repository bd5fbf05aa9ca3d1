"""How a picture compares with the training images: which are nearest, and whether it is like any of its class at all.

A model gives everything a class. What tells a letter from a digit is the distance to the nearest training image of the
class that the model named, in principal components of HOG, with what the components leave out. Its limit is read off
held-out training images, redrawn with a sharp pen as visitors draw, so that a known share of real ones is refused.
Measured on 200 letters, signs, scribbles and shapes, at 2 % of real digits refused: this refuses 80 %, the nearest
image of any class 77 %, distances between pixels 50 %, the model's score 37 %.
"""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.decomposition import PCA

from mnist_exp.data import Images, Labels, Split
from mnist_exp.drawing import SIDE, Ink, drawn_to_mnist
from mnist_exp.features import Hog, Pixels
from mnist_exp.nearest import nearest

MAX_IMAGES, MAX_HELD_OUT = 20_000, 2_000  # three times as many refuse no more letters
COMPONENTS = 150
REFUSED = 1.5, 0.3  # per cent of real images: of one alone, and of one in a row, whose neighbours speak for it
_SMALLEST = 8  # pixels a side that HOG needs


@dataclass(frozen=True)
class Look:
    """What the nearest training images say of one picture."""

    nearest: NDArray[np.intp]  # positions of the nearest images, the nearest first
    strangeness: tuple[float, float]  # distance to its class over its limit, alone and in a row: 1 is just refused


@dataclass(frozen=True)
class Neighbours:
    """A sample of the training images, with what is needed to find those nearest to a picture."""

    images: Images  # (n, h, w)
    labels: Labels  # (n,)
    mean: NDArray[np.float32]  # (d,)
    axes: NDArray[np.float32]  # (components, d)
    codes: NDArray[np.float16]  # (n, components)
    limits: NDArray[np.float64]  # (2,), squared distances

    def __post_init__(self) -> None:
        """Raise ValueError where the arrays do not fit together, as in a file from elsewhere."""
        n, d = len(self.images), len(self.mean)
        shapes = (self.images.shape[1:], self.labels.shape, self.axes.shape[1:], self.codes.shape, self.limits.shape)
        if len(shapes[0]) != 2 or shapes[1:] != ((n,), (d,), (n, len(self.axes)), (2,)) or not n:
            raise ValueError("its arrays do not fit together")
        if self.images.dtype != np.uint8:
            raise ValueError("its images are not of 8 bits")

    @classmethod
    def of(cls, train: Split, strokes: bool, seed: int = 0) -> "Neighbours":
        """Sample a training split, and set the limits by images of it that are left out of the sample.

        `strokes` says that the images are drawn with a pen, so that those that set the limits can be redrawn.
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
        unlimited = cls(images, train.labels[kept], mean, axes, codes, np.ones(2))
        others = train.images[held_out]
        if strokes and len(held_out) and others.shape[1:] == (SIDE, SIDE):
            others = np.stack([_redrawn(image) for image in others])
        distances = unlimited._own_class(others, train.labels[held_out])
        limits = np.percentile(distances, np.subtract(100, REFUSED)) if len(held_out) else np.full(2, np.inf)
        return cls(images, train.labels[kept], mean, axes, codes, limits)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What to keep on disk."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def look(self, image: Images, label: int, count: int = 10) -> Look:
        """Compare one picture (h, w) that was given a class."""
        codes, left_out = self._encode(image[None])
        distances = self._lengths - 2 * (self._rows @ codes[0])  # all but the length of the codes themselves
        order = np.argpartition(distances, min(count, len(distances) - 1))[:count]
        own = distances[self.labels == label]
        distance = own.min() + np.square(codes).sum() + left_out[0] if own.size else np.inf
        alone, in_row = (float(distance / limit) for limit in self.limits)
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

    def _own_class(self, images: Images, labels: Labels) -> NDArray[np.float64]:
        """Squared distance (m,) of each image to the nearest of its class; infinite where the sample has none."""
        codes, left_out = self._encode(images)
        found = np.full(len(images), np.inf)
        for label in np.unique(labels):
            mine, rows = labels == label, self._rows[self.labels == label]
            if len(rows):
                found[mine] = nearest(codes[mine], rows, 1)[1][:, 0] + left_out[mine]
        return found


def _redrawn(image: Ink) -> Ink:
    """An image of strokes with the sharp edges of a pen, brought to MNIST's look as a drawing is."""
    large = np.asarray(Image.fromarray(image).resize((8 * SIDE, 8 * SIDE), Image.Resampling.BICUBIC))
    return drawn_to_mnist(np.where(large > 127, 255, 0).astype(np.uint8))


def _features(images: Images) -> NDArray[np.float32]:
    extract = Hog(deskew=False, n_jobs=-1) if min(images.shape[1:]) >= _SMALLEST else Pixels()
    return np.asarray(extract.fit_transform(images), np.float32)
