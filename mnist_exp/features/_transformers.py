"""Scaled pixels, deskewing and HOG, as scikit-learn's transformers, and the joining of steps.

All take images (n, h, w) or flat rows (n, h * w), whose values run from 0 to 255 in any dtype, and
return float32 (n, d). Neither the other images of a batch nor the number of threads change a bit of
an image's features.
"""

from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    OneToOneFeatureMixin,
    TransformerMixin,
)
from sklearn.pipeline import Pipeline
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted, validate_data

from mnist_exp.errors import UserError
from mnist_exp.process import Float32, Scratch, bilinear, block_size, run_blocks

Images = NDArray[Any]
Constraints = dict[str, list[Any]]
COUNT = [Interval(Integral, 1, None, closed="left")]


def chain(**steps: BaseEstimator) -> Pipeline:
    """Join named steps into a pipeline.

    A configuration can override an option of a named step, not of one in a list.

    Parameters
    ----------
    **steps
        Transformers, by name, in the order in which they are applied.

    Returns
    -------
    Pipeline
        scikit-learn's.

    Raises
    ------
    UserError
        If a step is no transformer.

    Examples
    --------
    >>> from sklearn.decomposition import PCA
    >>> from mnist_exp.features import Pixels, chain
    >>> list(chain(pixels=Pixels(), pca=PCA(2)).named_steps)
    ['pixels', 'pca']
    """
    for name, step in steps.items():
        if not hasattr(step, "transform"):
            raise UserError(f"features.{name} must be a transformer such as PCA, not {step!r}")
    return Pipeline(list(steps.items()))


class ImageTransformer(TransformerMixin, BaseEstimator):
    """Reads images and remembers their size, `image_shape_`; subclasses compute something of each.

    Images (n, h, w) carry their size with them. Of flat rows it is `shape`, (height, width);
    without it a row is a square image if its length is a square number, else an image one pixel
    high.
    """

    _parameter_constraints: ClassVar[Constraints] = {"shape": ["array-like", None]}
    image_shape_: tuple[int, int]

    def __init__(self, *, shape: tuple[int, int] | None = None) -> None:
        self.shape = shape

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the size of the images; nothing else depends on the data."""
        self._validate_params()
        self._read(X, reset=True)
        return self

    def transform(self, X: Any) -> Float32:
        """Return float32 (n, d); ValueError for images of another size than those seen in `fit`."""
        check_is_fitted(self)
        return self._extract(self._read(X, reset=False))

    def _extract(self, images: Images) -> Float32:
        raise NotImplementedError

    def _read(self, X: Any, *, reset: bool) -> Images:
        """Return images (n, h, w) of the dtype that came in; a contiguous array is not copied."""
        shape = X.shape[1:] if getattr(X, "ndim", 2) == 3 else None
        if shape is not None:
            if not reset and shape != self.image_shape_:
                raise ValueError(
                    f"{type(self).__name__} was fitted on images of {by(self.image_shape_)} pixels,"
                    f" these have {by(shape)}"
                )
            X = X.reshape(len(X), shape[0] * shape[1])
        X = validate_data(self, X, reset=reset)
        if reset:
            self.image_shape_ = self._image_shape(X.shape[1], shape)
        return np.reshape(X, (-1, *self.image_shape_))

    def _image_shape(self, length: int, shape: tuple[int, int] | None) -> tuple[int, int]:
        if self.shape is None:
            side = round(length**0.5)
            return shape or ((side, side) if side**2 == length else (1, length))
        height, width = self.shape
        if shape not in (None, (height, width)) or height * width != length:
            raise ValueError(
                f"shape={by(self.shape)} does not fit images of {by(shape or (length,))} pixels"
            )
        return height, width

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []  # float32 whatever comes in
        return tags


class Pixels(OneToOneFeatureMixin, ImageTransformer):
    """The pixels as a row, from 0..255 to 0..1.

    Parameters
    ----------
    shape
        (height, width) of images that come as flat rows; None: square, where that is possible.

    Attributes
    ----------
    image_shape_
        (height, width) of the images seen in `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from mnist_exp.features import Pixels
    >>> print(Pixels().fit_transform(np.uint8([[[0, 51], [102, 255]]])))
    [[0.  0.2 0.4 1. ]]
    """

    def _extract(self, images: Images) -> Float32:
        return np.divide(images.reshape(len(images), -1), 255, dtype=np.float32)


class Deskew(OneToOneFeatureMixin, ImageTransformer):
    """The pixels of the upright image as a row, from 0..255 to 0..1.

    The centre of mass is moved to the middle, and the rows sideways in proportion to their height
    above it, until the rows and columns of the ink no longer correlate.

    Parameters
    ----------
    shape
        (height, width) of images that come as flat rows; None: square, where that is possible.
    n_jobs
        Number of threads; None is 1. It changes no bit of the result.

    Attributes
    ----------
    image_shape_
        (height, width) of the images seen in `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from mnist_exp.features import Deskew
    >>> slanted = np.uint8(np.eye(5) * 255)
    >>> print(Deskew().fit_transform(slanted[None]).reshape(5, 5))
    [[0. 0. 1. 0. 0.]
     [0. 0. 1. 0. 0.]
     [0. 0. 1. 0. 0.]
     [0. 0. 1. 0. 0.]
     [0. 0. 1. 0. 0.]]
    """

    _parameter_constraints: ClassVar[Constraints] = {
        **ImageTransformer._parameter_constraints,
        "n_jobs": [Integral, None],
    }

    def __init__(self, *, shape: tuple[int, int] | None = None, n_jobs: int | None = None) -> None:
        super().__init__(shape=shape)
        self.n_jobs = n_jobs

    def _extract(self, images: Images) -> Float32:
        result = np.empty(images.shape, np.float32)

        def work(block: slice, scratch: Scratch) -> None:
            np.divide(upright(images[block], scratch), 255, out=result[block])

        run_blocks(work, len(images), block_size(*self.image_shape_), effective_n_jobs(self.n_jobs))
        return result.reshape(len(images), -1)


class Hog(ClassNamePrefixFeaturesOutMixin, ImageTransformer):
    """Histograms of oriented gradients.

    Each pixel's gradient is shared out, by its length, among the two nearest directions over the
    full circle (the two sides of a stroke differ) and the four nearest cells; each block of
    neighbouring cells is brought to unit length. 28x28 images have 7x7 cells and 6x6 blocks: 1296
    columns.

    Parameters
    ----------
    deskew
        Whether the image is made upright first.
    cell
        Side of a cell in pixels.
    bins
        Number of directions.
    block
        Side of a block in cells.
    shape
        (height, width) of images that come as flat rows; None: square, where that is possible.
    n_jobs
        Number of threads; None is 1. It changes no bit of the result.

    Attributes
    ----------
    image_shape_
        (height, width) of the images seen in `fit`.

    References
    ----------
    Dalal & Triggs 2005, "Histograms of oriented gradients for human detection".

    Examples
    --------
    >>> import numpy as np
    >>> from mnist_exp.features import Hog
    >>> Hog().fit_transform(np.zeros((2, 28, 28), np.uint8)).shape
    (2, 1296)
    """

    _parameter_constraints: ClassVar[Constraints] = {
        **Deskew._parameter_constraints,
        "deskew": ["boolean"],
        "cell": COUNT,
        "bins": COUNT,
        "block": COUNT,
    }

    def __init__(
        self,
        *,
        deskew: bool = True,
        cell: int = 4,
        bins: int = 9,
        block: int = 2,
        shape: tuple[int, int] | None = None,
        n_jobs: int | None = None,
    ) -> None:
        super().__init__(shape=shape)
        self.deskew = deskew
        self.cell = cell
        self.bins = bins
        self.block = block
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the size of the images; raises UserError if they are smaller than one block."""
        super().fit(X, y)
        if min(self._cells) < self.block:
            side = self.cell * self.block
            raise UserError(
                f"HOG: blocks of {side}x{side} pixels do not fit images of {by(self.image_shape_)};"
                " lower cell or block"
            )
        return self

    @property
    def _cells(self) -> tuple[int, int]:
        height, width = self.image_shape_
        return height // self.cell, width // self.cell

    @property
    def _n_features_out(self) -> int:
        rows, cols = (count - self.block + 1 for count in self._cells)
        return rows * cols * self.block**2 * self.bins

    def _extract(self, images: Images) -> Float32:
        _, height, width = images.shape
        rows, cols = self._cells
        pool_rows, pool_cols = (
            np.float32(regions(size, cells, cells * self.cell))
            for size, cells in ((height, rows), (width, cols))
        )
        result = np.empty((len(images), self._n_features_out), np.float32)

        def work(block: slice, scratch: Scratch) -> None:
            grey = upright(images[block], scratch) if self.deskew else images[block]
            shares = _directions(grey, self.bins, scratch).reshape(-1, height, width * self.bins)
            cells = np.matmul(
                pool_cols, np.matmul(pool_rows, shares).reshape(-1, rows, width, self.bins)
            )
            _normalise(cells, self.block, result[block])

        run_blocks(
            work, len(images), max(1, block_size(height, width) // 2), effective_n_jobs(self.n_jobs)
        )
        return result


def upright(images: Images, scratch: Scratch) -> Float32:
    """Return deskewed images (n, h, w), 0 outside, in an array of `scratch`."""
    _, height, width = images.shape
    y, x = (
        np.arange(size, dtype=np.float32) - np.float32((size - 1) / 2) for size in (height, width)
    )
    moment = np.multiply(images, x, out=scratch("moment", images.shape)).sum(axis=2)
    ink = images.sum(axis=2, dtype=np.float32)
    mass = ink.sum(axis=1, keepdims=True)
    centre_y = _ratio((ink * y).sum(axis=1, keepdims=True), mass)
    centre_x = _ratio(moment.sum(axis=1, keepdims=True), mass)
    dy = y - centre_y
    slope = _ratio(
        (moment * dy).sum(axis=1, keepdims=True), (ink * dy**2).sum(axis=1, keepdims=True)
    )
    rows, cols = scratch("rows", images.shape), scratch("cols", images.shape)
    rows[:] = (centre_y + y - y[0])[:, :, None]
    np.add((centre_x + slope * y - x[0])[:, :, None], x, out=cols)
    return bilinear(images, rows, cols, scratch)


def _ratio(above: Float32, below: Float32) -> Float32:
    """Divide, giving 0 where there is no ink to divide by."""
    return np.divide(above, below, out=np.zeros_like(below), where=below > 0)


def _directions(images: Images, bins: int, scratch: Scratch) -> Float32:
    """Return each pixel's gradient (n, h, w, bins), shared out among the two nearest directions."""
    n, height, width = images.shape
    framed = scratch("framed", (n, height + 2, width + 2))
    framed[:, 1:-1, 1:-1] = images
    down, right, angle, lower = (
        scratch(name, images.shape) for name in ("down", "right", "angle", "lower")
    )
    np.subtract(framed[:, 2:, 1:-1], framed[:, :-2, 1:-1], out=down)
    np.subtract(framed[:, 1:-1, 2:], framed[:, 1:-1, :-2], out=right)
    np.arctan2(down, right, out=angle)
    angle *= np.float32(bins / (2 * np.pi))
    np.floor(angle, out=lower)
    angle -= lower
    length = np.sqrt(np.square(down, out=down) + np.square(right, out=right))
    upper_share = np.multiply(length, angle, out=angle)
    shares: Float32 = scratch("shares", (n, height, width, bins))
    shares[:] = 0
    flat, pixel = shares.reshape(-1), np.arange(0, shares.size, bins).reshape(images.shape)
    direction = lower.astype(np.intp)
    flat[pixel + direction % bins] = length - upper_share
    flat[pixel + (direction + 1) % bins] += upper_share
    return shares


def regions(size: int, count: int, span: int) -> NDArray[np.float64]:
    """Return weights (count, size) of `count` regions over the middle `span` of `size` pixels.

    They are 1 at a region's centre and fall to 0 at its neighbours' centres.
    """
    centres = (np.arange(count)[:, None] + 0.5) * span / count + (size - span - 1) / 2
    return np.maximum(0, 1 - np.abs(np.arange(size) - centres) * count / span)


def _normalise(cells: Float32, block: int, result: Float32) -> None:
    """Write the blocks of `cells` (n, rows, cols, bins), of unit length, as rows of `result`."""
    n, rows, cols, bins = cells.shape
    rows, cols = rows - block + 1, cols - block + 1
    corners = [(slice(i, i + rows), slice(j, j + cols)) for i in range(block) for j in range(block)]
    energy = np.square(cells).sum(axis=3)
    # 1 is next to nothing, but more than no ink.
    scale = 1 / np.sqrt(1 + sum(energy[:, i, j] for i, j in corners))
    blocks = result.reshape(n, rows, cols, block**2, bins)
    for k, (i, j) in enumerate(corners):
        np.multiply(cells[:, i, j], scale[..., None], out=blocks[:, :, :, k])


def by(shape: tuple[int, ...]) -> str:
    """A size as messages show it: 28x28."""
    return "x".join(map(str, shape))
