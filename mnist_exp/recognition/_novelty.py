"""How a picture compares with the training images: the nearest, and whether it is like them.

A model gives everything a class. What tells a letter from a digit is its distance to the nearest
training image of the class that the model named, in principal components of HOG, with what the
components leave out; for digits, against its distance to the nearest of some letters and scribbles
(`non_digits`). The limit is read off held-out training images, redrawn with a sharp pen as visitors
draw, so that a known share of real ones is refused. Of 500 that were written narrow (a fifth as
wide as high), leaning (0.4 to either side) and with pens from 1 px, as many are refused beyond 1.15
times that limit. Measured on 240 letters of seven handwriting fonts, at 1.5 % of real digits
refused: this refuses 76 %, the distance to the class alone 61 %. On the 115 letters, signs,
scribbles and shapes of scripts/benchmark_reading.py: 95 % and 80 %.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_exp.data import Images, Labels, Split
from mnist_exp.evaluation import nearest
from mnist_exp.features import Hog, Pixels
from mnist_exp.handwriting import (
    SIDE,
    Ink,
    drawn_to_mnist,
    ink_box,
    non_digits,
    resized,
)

MAX_IMAGES, MAX_HELD_OUT, MAX_HANDS = (
    20_000,
    2_000,
    500,
)  # three times as many refuse no more letters
MAX_FOR_AXES = 8_000  # images that the principal components are computed from
COMPONENTS = 150
LEAST = 1e-6  # of a distance that divides
MANY = 256  # images; fewer are described sooner than threads start
MIRRORED, MAX_MIRRORED = (2, 3, 7), 400  # classes whose mirror image is no digit
CONTRAST = 0.7  # exponent of the distance to non-digits; 0.5 refuses two in a hundred letters less
LOWEST = 10  # px of 20 that the lowest digits are high; a bar that lies is lower
BROAD = 12  # px that a digit is high and wide to count as a broad one
FULLEST = 0.64  # share of its box that the ink of a broad digit fills; a blot fills more
OTHER_HANDS = 1.15  # times the limit, for digits that are narrow, lean far or are fine
# Per cent of real images: of one alone, and of one in a row, whose neighbours speak for it.
REFUSED = 1.5, 0.3


@dataclass(frozen=True)
class Look:
    """What the nearest training images say of one picture."""

    nearest: NDArray[np.intp]  # positions of the nearest images, the nearest first
    # Distance to its class over the limit, alone and in a row: 1 is just refused.
    strangeness: tuple[float, float]
    doubt: float  # distance to its class over that to the nearest of another


@dataclass(frozen=True)
class Neighbours:
    """A sample of the training images, and what finds those nearest to a picture.

    Attributes
    ----------
    images : array of shape (n, h, w), uint8
    labels : array of shape (n,), int64
    mean : array of shape (d,), float32
        Of the images' features.
    axes : array of shape (k, d), float32
        Principal components of the features.
    codes : array of shape (n, k), float16
        The images in these components.
    non_digits : array of shape (m, k), float16
        Letters and scribbles likewise; none where the classes are not the digits.
    limits : array of shape (2,), float64
        Of the strangeness of a picture alone, and in a row.

    Examples
    --------
    >>> from mnist_exp.data import digits, load
    >>> data = load(digits(), train_size=200, test_size=50)
    >>> index = Neighbours.of(data.train, strokes=False, digits=False)
    >>> look = index.look(data.test.images[0], int(data.test.labels[0]))
    >>> data.test.labels[0], index.labels[look.nearest]
    (np.int64(4), array([4, 4, 4, 4, 4, 4, 4, 4, 4, 4]))
    """

    images: Images
    labels: Labels
    mean: NDArray[np.float32]
    axes: NDArray[np.float32]
    codes: NDArray[np.float16]
    non_digits: NDArray[np.float16]
    limits: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Raise ValueError where the arrays do not fit together, as in a file from elsewhere."""
        n, k, d = len(self.images), len(self.axes), len(self.mean)
        arrays = list(self.arrays().values())
        shapes = [array.shape for array in arrays[1:]]
        fitting = [(n,), (d,), (k, d), (n, k), (len(self.non_digits), k), (2,)]
        if shapes != fitting or self.images.ndim != 3:
            raise ValueError("its arrays do not fit together")
        kinds = "".join(array.dtype.kind for array in arrays[1:])
        is_of_types = n and self.images.dtype == np.uint8 and kinds == "ifffff"
        if not is_of_types or self.labels.min() < 0 or not (self.limits > 0).all():
            raise ValueError("its arrays are empty, or their types or values are impossible")
        if _features(self.images[:1]).shape[1] != d:
            raise ValueError("its features are those of another version")

    @classmethod
    def of(cls, train: Split, strokes: bool, digits: bool, seed: int = 0) -> "Neighbours":
        """Sample a training split; images that are left out of the sample set the limits.

        Parameters
        ----------
        train : Split
            What the model was trained on.
        strokes : bool
            Whether the images are drawn with a pen, so that those that set the limits can be
            redrawn.
        digits : bool
            Whether the classes are the digits, so that no letter is among them.
        seed : int
            Of the sample.

        Returns
        -------
        Neighbours
            Of at most 20,000 images.
        """
        from sklearn.decomposition import PCA

        order = np.random.default_rng(seed).permutation(len(train))
        held_out = np.sort(order[: min(MAX_HELD_OUT, len(order) // 5)])
        sample = np.sort(order[len(held_out) : len(held_out) + MAX_IMAGES])
        images = train.images[sample]
        features = _features(images)
        pca = PCA(min(COMPONENTS, *features.shape), svd_solver="covariance_eigh")
        pca.fit(features[:: 1 + len(sample) // MAX_FOR_AXES])
        mean, axes = pca.mean_.astype(np.float32), pca.components_.astype(np.float32)
        foreign = features[:0]
        if digits:
            is_told = np.isin(train.labels[sample], MIRRORED)
            mirrored = images[is_told][:MAX_MIRRORED, :, ::-1]
            known = resized(non_digits(seed), images.shape[1:])
            foreign = _features(np.concatenate([known, mirrored]))
        codes, foreign_codes = (
            ((rows - mean) @ axes.T).astype(np.float16) for rows in (features, foreign)
        )
        no_limits = np.full(2, np.inf)
        index = cls(images, train.labels[sample], mean, axes, codes, foreign_codes, no_limits)
        if not len(held_out):
            return index
        others, labels = train.images[held_out], train.labels[held_out]
        if strokes and others.shape[1:] == (SIDE, SIDE):
            others = np.stack([_redrawn(image) for image in others])
        strangeness = index.strangeness(others, labels)
        return replace(index, limits=np.percentile(strangeness, np.subtract(100, REFUSED)))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "Neighbours":
        """Build an index from what `arrays` returned; TypeError or ValueError if it does not fit.

        Up to version 0.1.0 `non_digits` was called `strangers`.
        """
        renamed = {"strangers": "non_digits"}
        return cls(**{renamed.get(name, name): array for name, array in arrays.items()})

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what to keep on disk."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def look(self, image: Images, label: int, count: int = 10) -> Look:
        """Compare one picture that was given a class with the sample.

        Parameters
        ----------
        image : array of shape (h, w), uint8
            The picture, as large as the training images.
        label : int
            Its class according to the model.
        count : int
            How many nearest images are wanted.

        Returns
        -------
        Look
            The nearest images of any class, and how strange the picture is for one of its class.
        """
        codes, left_out = self._encode(image[None])
        # All but the length of the codes themselves.
        distances = self._lengths - 2 * (self._rows @ codes[0])
        order = np.argpartition(distances, min(count, len(distances) - 1))[:count]
        rest = np.square(codes).sum() + left_out
        is_own = self.labels == label
        distance = distances[is_own].min(initial=np.inf) + rest
        strangeness = self._against_non_digits(distance, codes, left_out)
        alone, in_row = (strangeness / self.limits).tolist()
        other = distances[~is_own].min(initial=np.inf) + rest
        doubt = float((distance / np.maximum(other, LEAST))[0])
        return Look(order[np.argsort(distances[order])], (alone, in_row), doubt)

    def rank(self, image: Images, others: Images) -> NDArray[np.intp]:
        """Return positions of images (n, h, w), the most like a picture (h, w) first."""
        code, codes = self._encode(image[None])[0], self._encode(others)[0]
        return np.argsort(np.square(codes - code).sum(1), kind="stable")

    @cached_property
    def _rows(self) -> NDArray[np.float32]:
        return self.codes.astype(np.float32)

    @cached_property
    def _rows_by_label(self) -> dict[int, NDArray[np.float32]]:
        return {int(label): self._rows[self.labels == label] for label in np.unique(self.labels)}

    @cached_property
    def _lengths(self) -> NDArray[np.float32]:
        return np.asarray(np.square(self._rows).sum(1))

    def _encode(self, images: Images) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Components (m, k) of images, and the squared length (m,) of what they leave out."""
        centred = _features(images) - self.mean
        codes = np.asarray(centred @ self.axes.T, np.float32)
        left_out = np.square(centred).sum(1) - np.square(codes).sum(1)
        return codes, np.maximum(left_out, np.float32(0))

    def strangeness(self, images: Images, labels: Labels) -> NDArray[np.float64]:
        """How far (m,) images are from the nearest of their class; infinite where there is none."""
        return self.compare(images, labels)[0]

    def compare(
        self, images: Images, labels: Labels
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Strangeness (m,) of images that were given classes, and `Look.doubt` of each."""
        codes, left_out = self._encode(images)
        others, distances = np.full((2, len(images)), np.inf)
        for label, rows in self._rows_by_label.items():
            _, squared = nearest(codes, rows, 1)
            away = squared[:, 0] + left_out
            distances = np.where(labels == label, away, distances)
            others = np.where(labels == label, others, np.minimum(others, away))
        strangeness = self._against_non_digits(distances, codes, left_out)
        return strangeness, distances / np.maximum(others, LEAST)

    def _against_non_digits(
        self, distances: NDArray[Any], codes: NDArray[np.float32], left_out: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Squared distances (m,) over a power of those to the nearest non-digits, if any."""
        if not len(self.non_digits):
            return distances
        away = nearest(codes, self.non_digits, 1)[1][:, 0] + left_out
        return np.asarray(distances / np.maximum(away, LEAST) ** CONTRAST, np.float64)


def is_bar_or_blot(image: Ink) -> bool:
    """Tell whether the ink (28, 28) lies flat or fills its box; 1 in 1,000 training images does."""
    box = image[ink_box(image)]
    return len(box) < LOWEST or bool(min(box.shape) >= BROAD and box.mean() / 255 > FULLEST)


def _redrawn(image: Ink) -> Ink:
    """Give an image of strokes the sharp edges of a pen, and MNIST's look as a drawing gets it."""
    large = Image.fromarray(image).resize((8 * SIDE, 8 * SIDE), Image.Resampling.BICUBIC)
    return drawn_to_mnist(np.where(np.asarray(large) > 127, np.uint8(255), np.uint8(0)))


def _features(images: Images) -> NDArray[np.float32]:
    """HOG of images brought to MNIST's size where they are larger: more pixels tell no more."""
    height, width = images.shape[1:]
    if max(height, width) > SIDE:
        scale = SIDE / max(height, width)
        images = resized(images, (round(height * scale) or 1, round(width * scale) or 1))
    # HOG needs 8 pixels a side.
    n_jobs = 1 if len(images) < MANY else -1
    extract = Hog(deskew=False, n_jobs=n_jobs) if min(images.shape[1:]) >= 8 else Pixels()
    return np.asarray(extract.fit_transform(images), np.float32)
