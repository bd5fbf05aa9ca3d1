"""Features as scikit-learn transformers: what it lacks for pictures (scaled pixels, deskewing, HOG) and the joining of steps.

All take pictures (n, h, w) or flat rows (n, h * w) whose values run from 0 to 255 in any dtype, and return float32 (n, d).
A picture's features do not depend on the other pictures of its batch, nor on the number of threads, in a single bit.
"""

from collections.abc import Callable
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from joblib import effective_n_jobs
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, OneToOneFeatureMixin, TransformerMixin
from sklearn.pipeline import Pipeline
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted, validate_data

from mnist_exp.blocks import Scratch, block_size, run_blocks
from mnist_exp.errors import UserError

Float32 = NDArray[np.float32]
_COUNT = [Interval(Integral, 1, None, closed="left")]
_THREADS = [None, Integral]


def chain(**steps: Any) -> Pipeline:
    """Join named steps into a pipeline; a mapping, so that a configuration can override one option of one step."""
    return Pipeline(list(steps.items()))


class _ImageTransformer(TransformerMixin, BaseEstimator):
    """Reads pictures and remembers their size; subclasses say what to compute of them.

    `shape` is the (height, width) of flat rows. Without it a row is a square picture if its length is a square number,
    else a picture one pixel high. Pictures (n, h, w) carry their shape with them.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"shape": ["array-like", None]}

    def __init__(self, *, shape: tuple[int, int] | None = None) -> None:
        self.shape = shape

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Learn the size of the pictures, `image_shape_`; nothing else depends on the data."""
        self._validate_params()
        self._read(X, reset=True)
        return self

    def transform(self, X: ArrayLike) -> Float32:
        """Return float32 (n, d); raises ValueError for pictures of another size than those seen in `fit`."""
        check_is_fitted(self)
        return self._extract(self._read(X, reset=False))

    def _extract(self, images: NDArray) -> Float32:
        raise NotImplementedError

    def _read(self, X: Any, *, reset: bool) -> NDArray:
        """Return pictures (n, h, w) in the dtype they came in: a view, unless they are no array or not contiguous."""
        shape = None
        if getattr(X, "ndim", 2) == 3:
            shape = X.shape[1:]
            if not reset and shape != self.image_shape_:
                raise ValueError(
                    f"{type(self).__name__} was fitted on pictures of {_by(self.image_shape_)} pixels, these have {_by(shape)}"
                )
            X = X.reshape(len(X), shape[0] * shape[1])
        X = validate_data(self, X, reset=reset)
        if reset:
            self.image_shape_ = self._image_shape(X.shape[1], shape)
        return X.reshape(-1, *self.image_shape_)

    def _image_shape(self, length: int, shape: tuple[int, int] | None) -> tuple[int, int]:
        root = round(length**0.5)
        if self.shape is None:
            return shape or ((root, root) if root * root == length else (1, length))
        height, width = self.shape
        if shape not in (None, (height, width)) or height * width != length:
            raise ValueError(
                f"shape={_by(self.shape)} does not fit pictures of {_by(shape) if shape else length} pixels"
            )
        return height, width

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []  # float32 whatever comes in
        return tags


class Pixels(OneToOneFeatureMixin, _ImageTransformer):
    """Pixels as a row, from 0..255 to 0..1."""

    def _extract(self, images: NDArray) -> Float32:
        return np.divide(images.reshape(len(images), -1), 255, dtype=np.float32)


class Deskew(OneToOneFeatureMixin, _ImageTransformer):
    """Pixels of the upright picture as a row, from 0..255 to 0..1.

    Rows are moved sideways about the centre of mass until columns and rows of the ink no longer correlate.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **_ImageTransformer._parameter_constraints,
        "n_jobs": _THREADS,
    }

    def __init__(self, *, shape: tuple[int, int] | None = None, n_jobs: int | None = None) -> None:
        super().__init__(shape=shape)
        self.n_jobs = n_jobs

    def _extract(self, images: NDArray) -> Float32:
        result = np.empty((len(images), images[0].size), np.float32)

        def work(block: slice, scratch: Scratch) -> None:
            np.divide(_upright(images[block], scratch).reshape(result[block].shape), 255, out=result[block])

        run_blocks(work, len(images), block_size(*self.image_shape_), effective_n_jobs(self.n_jobs))
        return result


class Hog(ClassNamePrefixFeaturesOutMixin, _ImageTransformer):
    """Histograms of oriented gradients (Dalal & Triggs 2005), of the deskewed picture.

    Each pixel's gradient is shared out, by its length, among the two nearest of `bins` directions over the full circle (ink has two
    sides) and the four nearest cells of `cell` x `cell` pixels; every block of `block` x `block` cells is brought to unit length.
    28x28 pictures give 7x7 cells and 6x6 overlapping blocks, 1296 columns.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Deskew._parameter_constraints,
        "deskew": ["boolean"],
        "cell": _COUNT,
        "bins": _COUNT,
        "block": _COUNT,
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

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Learn the size of the pictures, `image_shape_`; raises UserError if they are smaller than one block."""
        super().fit(X, y)
        if min(self._cells) < self.block:
            side = self.cell * self.block
            raise UserError(
                f"HOG blocks of {side}x{side} pixels do not fit pictures of {_by(self.image_shape_)}: lower features.hog.cell or .block"
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

    def _extract(self, images: NDArray) -> Float32:
        result = np.empty((len(images), self._n_features_out), np.float32)
        pool_rows, pool_cols = (
            _pooling(size, cells, self.cell) for size, cells in zip(self.image_shape_, self._cells, strict=True)
        )

        def work(block: slice, scratch: Scratch) -> None:
            grey = _upright(images[block], scratch) if self.deskew else images[block]
            n, height, width = grey.shape
            shares = _directions(grey, self.bins, scratch).reshape(n, height, width * self.bins)
            cells = np.matmul(pool_cols, np.matmul(pool_rows, shares).reshape(n, -1, width, self.bins))
            _normalise(cells, self.block, result[block])

        run_blocks(work, len(images), max(1, block_size(*self.image_shape_) // 2), effective_n_jobs(self.n_jobs))
        return result


def _upright(images: NDArray, scratch: Scratch) -> Float32:
    """Return deskewed pictures (n, h, w), 0 outside; the array is overwritten by the next call with the same scratch."""
    n, height, width = images.shape
    y, x = np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32)
    padded = scratch("padded", (n, height, 3 * width + 1))  # a row may leave its picture altogether
    padded[:, :, width : 2 * width] = images
    grey = padded[:, :, width : 2 * width]
    mass, first = grey.sum(axis=2), np.multiply(grey, x, out=scratch("first", images.shape)).sum(axis=2)
    dy = y - _ratio((mass * y).sum(axis=1, keepdims=True), mass.sum(axis=1, keepdims=True))
    slope = _ratio((first * dy).sum(axis=1, keepdims=True), (mass * dy**2).sum(axis=1, keepdims=True))
    places = np.clip(slope * dy, -width, width)
    whole = np.floor(places)
    windows = sliding_window_view(padded, width + 1, axis=2)[
        np.arange(n)[:, None], np.arange(height), whole.astype(np.intp) + width
    ]
    return _between(
        windows[:, :, :-1], windows[:, :, 1:], (places - whole)[:, :, None], scratch("upright", images.shape)
    )


def _ratio(above: Float32, below: Float32) -> Float32:
    """Divide, where there is no ink (nothing to divide by) giving 0."""
    return np.divide(above, below, out=np.zeros_like(below), where=below > 0)


def _directions(images: NDArray, bins: int, scratch: Scratch) -> Float32:
    """Return the length of each pixel's gradient, shared out among the two directions nearest to its own: (n, h, w, bins)."""
    n, height, width = images.shape
    padded = scratch("framed", (n, height + 2, width + 2))
    padded[:, 1:-1, 1:-1] = images
    down = np.subtract(padded[:, 2:, 1:-1], padded[:, :-2, 1:-1], out=scratch("down", images.shape))
    right = np.subtract(padded[:, 1:-1, 2:], padded[:, 1:-1, :-2], out=scratch("right", images.shape))
    angle = np.arctan2(down, right, out=scratch("angle", images.shape))
    angle *= np.float32(bins / (2 * np.pi))
    lower = np.floor(angle, out=scratch("lower", images.shape))
    angle -= lower
    length = np.sqrt(np.square(down, out=down) + np.square(right, out=right), out=right)
    direction = lower.astype(np.intp)
    shares = scratch("shares", (n, height, width, bins))
    shares[:] = 0
    flat, pixel = shares.reshape(-1), np.arange(0, shares.size, bins).reshape(images.shape)
    upper_share = np.multiply(length, angle, out=angle)
    flat[pixel + direction % bins] = length - upper_share
    flat[pixel + (direction + 1) % bins] += upper_share
    return shares


def _pooling(size: int, cells: int, cell: int) -> Float32:
    """Return weights (cells, size): 1 at a cell's centre, falling to 0 at its neighbours' centres."""
    centres = (np.arange(cells)[:, None] + 0.5) * cell + (size - cells * cell - 1) / 2
    return np.maximum(0, 1 - np.abs(np.arange(size) - centres) / cell).astype(np.float32)


def _normalise(cells: Float32, block: int, result: Float32) -> None:
    """Write every block of `cells` (n, rows, cols, bins), brought to unit length, into rows of `result`."""
    n, rows, cols, bins = cells.shape
    rows, cols = rows - block + 1, cols - block + 1
    corners = [(slice(i, i + rows), slice(j, j + cols)) for i in range(block) for j in range(block)]
    energy = np.square(cells).sum(axis=3)
    scale = 1 / np.sqrt(1 + sum(energy[:, i, j] for i, j in corners))  # 1 against 255: an empty block stays 0
    blocks = result.reshape(n, rows, cols, block**2, bins)
    for k, (i, j) in enumerate(corners):
        np.multiply(cells[:, i, j], scale[..., None], out=blocks[:, :, :, k])


def _by(shape: tuple[int, int]) -> str:
    return "x".join(map(str, shape))
