"""Augmentation: more training images from the ones there are.

Every choice is a pure function of one form: `f(images, rng, *, <options>, n_jobs=1)` takes uint8
images (n, h, w) of any size and returns uint8 (m * n, h, w): the originals, then altered copy 1 of
all images, then copy 2, so that the labels are `np.tile(labels, m)`. Random ones work in blocks of
a fixed size, each with a random stream of its own, so that any number of threads gives the same
images. What comes into a picture from outside is 0.
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from threadpoolctl import threadpool_limits

from mnist_exp.errors import UserError
from mnist_exp.process import Float32, Scratch, bilinear, blend, block_size, run_blocks

Images = NDArray[np.uint8]
# alter(images, rng, result, scratch) writes one altered copy of a block of images into `result`.
Alter = Callable[[Images, np.random.Generator, Images, Scratch], None]


def none(images: Images, rng: np.random.Generator, *, n_jobs: int = 1) -> Images:
    """Return the images as they are.

    Parameters
    ----------
    images
        uint8 (n, h, w).
    rng
        Unused: nothing here is random.
    n_jobs
        Unused.

    Returns
    -------
    NDArray[np.uint8]
        The images themselves.

    Examples
    --------
    >>> images = np.zeros((10, 28, 28), np.uint8)
    >>> none(images, np.random.default_rng(0)) is images
    True
    """
    _size(images)
    return images


def shift(
    images: Images,
    rng: np.random.Generator,
    *,
    pixels: int = 1,
    diagonal: bool = False,
    n_jobs: int = 1,
) -> Images:
    """Add the images moved up, left, right and down, or in all eight directions.

    Parameters
    ----------
    images
        uint8 (n, h, w).
    rng
        Unused: nothing here is random.
    pixels
        How far they are moved.
    diagonal
        Whether they are moved in all eight directions.
    n_jobs
        Unused: one thread already writes as fast as the memory takes it.

    Returns
    -------
    NDArray[np.uint8]
        Images (m * n, h, w): the originals, then those moved in each direction; m = 5 or 9.

    Examples
    --------
    >>> image = np.uint8([[[0, 0, 0], [0, 9, 0], [0, 0, 0]]])
    >>> shift(image, np.random.default_rng(0))[1].tolist()
    [[0, 9, 0], [0, 0, 0], [0, 0, 0]]
    """
    height, width = _size(images)
    _check(whole=True, pixels=(pixels, 1, min(height, width) - 1))
    if not isinstance(diagonal, bool):
        raise UserError(f"augment.diagonal must be true or false, not {diagonal!r}")
    directions = [
        (down, right)
        for down, right in itertools.product((-1, 0, 1), repeat=2)
        if (down, right) != (0, 0) and (diagonal or 0 in (down, right))
    ]
    result = np.zeros((1 + len(directions), *images.shape), np.uint8)
    result[0] = images
    # What stays in the picture, by direction.
    inside = {-1: slice(pixels, None), 0: slice(None), 1: slice(None, -pixels)}
    for moved, (down, right) in zip(result[1:], directions, strict=True):
        moved[:, inside[-down], inside[-right]] = images[:, inside[down], inside[right]]
    return result.reshape(-1, height, width)


def rotate(
    images: Images,
    rng: np.random.Generator,
    *,
    degrees: float = 15,
    copies: int = 4,
    n_jobs: int = 1,
) -> Images:
    """Add copies turned about the centre.

    Parameters
    ----------
    images
        uint8 (n, h, w).
    rng
        Source of all randomness.
    degrees
        The angle is uniform within ± degrees.
    copies
        Number of altered copies of each image.
    n_jobs
        Number of threads.

    Returns
    -------
    NDArray[np.uint8]
        Images (m * n, h, w): the originals, then copy after copy of all of them; m = 1 + copies.

    Examples
    --------
    >>> images = np.full((10, 28, 28), 200, np.uint8)
    >>> rotate(images, np.random.default_rng(0), degrees=10, copies=2).shape
    (30, 28, 28)
    """
    return affine(
        images, rng, degrees=degrees, scale=0, shear=0, translation=0, copies=copies, n_jobs=n_jobs
    )


def affine(
    images: Images,
    rng: np.random.Generator,
    *,
    degrees: float = 10,
    scale: float = 0.15,
    shear: float = 15,
    translation: float = 1,
    copies: int = 4,
    n_jobs: int = 1,
) -> Images:
    """Add copies resized, slanted and turned about the centre, then moved.

    Each by as much as a uniform random number within ± its option says.

    Parameters
    ----------
    images
        uint8 (n, h, w).
    rng
        Source of all randomness.
    degrees
        Of the rotation.
    scale
        A share; 0.1: from 0.9 to 1.1 times as large.
    shear
        The slant of upright strokes, in degrees.
    translation
        In pixels, down and to the right.
    copies
        Number of altered copies of each image.
    n_jobs
        Number of threads.

    Returns
    -------
    NDArray[np.uint8]
        Images (m * n, h, w): the originals, then copy after copy of all of them; m = 1 + copies.

    Examples
    --------
    >>> images = np.full((10, 28, 28), 200, np.uint8)
    >>> affine(images, np.random.default_rng(0), degrees=5, copies=1).shape
    (20, 28, 28)
    """
    height, width = _size(images)
    _check(
        degrees=(degrees, 0, 180),
        scale=(scale, 0, 0.95),
        shear=(shear, 0, 80),
        translation=(translation, 0, max(height, width)),
    )
    y, x = (
        np.arange(size, dtype=np.float32) - np.float32((size - 1) / 2) for size in (height, width)
    )

    def alter(images: Images, rng: np.random.Generator, result: Images, scratch: Scratch) -> None:
        turn, slant, size, down, right = rng.uniform(-1, 1, (5, len(images), 1)).astype(np.float32)
        angle, slope, size = (
            np.deg2rad(turn * degrees),
            np.tan(np.deg2rad(slant * shear)),
            1 + size * scale,
        )
        sin, cos = np.sin(angle) / size, np.cos(angle) / size
        # Where each pixel comes from: the inverse of resize, then slant, then turn, then move.
        dy, dx = y - down * translation, x - right * translation
        rows, cols = scratch("rows", images.shape), scratch("cols", images.shape)
        np.add((cos * dy - y[0])[:, :, None], (-sin * dx)[:, None, :], out=rows)
        np.add(
            ((sin - slope * cos) * dy - x[0])[:, :, None],
            ((cos + slope * sin) * dx)[:, None, :],
            out=cols,
        )
        _round(bilinear(images, rows, cols, scratch), result)

    return _with_copies(images, rng, copies, n_jobs, alter)


def elastic(
    images: Images,
    rng: np.random.Generator,
    *,
    alpha: float = 18,
    sigma: float = 4,
    copies: int = 4,
    n_jobs: int = 1,
) -> Images:
    """Add copies whose pixels are displaced by smooth random fields.

    A field is uniform noise in ±1, smoothed by a Gaussian and multiplied by `alpha`. Away from the
    border its standard deviation is alpha / (sigma * sqrt(12 * pi)) pixels: 0.7 by default, 1.4
    with the paper's alpha of 34.

    Parameters
    ----------
    images
        uint8 (n, h, w).
    rng
        Source of all randomness.
    alpha
        How strong the fields are.
    sigma
        How smooth they are: of the Gaussian, in pixels.
    copies
        Number of altered copies of each image.
    n_jobs
        Number of threads.

    Returns
    -------
    NDArray[np.uint8]
        Images (m * n, h, w): the originals, then copy after copy of all of them; m = 1 + copies.

    References
    ----------
    Simard, Steinkraus & Platt 2003, "Best practices for convolutional neural networks applied to
    visual document analysis", section 2.

    Examples
    --------
    >>> images = np.full((10, 28, 28), 200, np.uint8)
    >>> elastic(images, np.random.default_rng(0), alpha=34, copies=1).shape
    (20, 28, 28)
    """
    height, width = _size(images)
    _check(alpha=(alpha, 0, np.inf), sigma=(sigma, 0.1, np.inf))
    # As matrices: a product with them is several times faster than a convolution line by line.
    smooth_rows, smooth_cols = (
        gaussian_filter1d(np.eye(size, dtype=np.float32), sigma, mode="constant")
        for size in (height, width)
    )
    smooth_rows = smooth_rows * np.float32(2 * alpha)
    y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)

    def alter(images: Images, rng: np.random.Generator, result: Images, scratch: Scratch) -> None:
        field, half = scratch("field", (2, *images.shape)), scratch("half", (2, *images.shape))
        rng.random(out=field, dtype=np.float32)
        field -= np.float32(0.5)
        np.matmul(field, smooth_cols, out=half)
        rows, cols = np.matmul(smooth_rows, half, out=field)
        rows += y
        cols += x
        _round(bilinear(images, rows, cols, scratch), result)

    with threadpool_limits(1, user_api="blas"):  # its threads would get in the way of these
        return _with_copies(images, rng, copies, n_jobs, alter)


def morph(
    images: Images,
    rng: np.random.Generator,
    *,
    strength: float = 0.5,
    copies: int = 4,
    n_jobs: int = 1,
) -> Images:
    """Add copies with thinner or thicker strokes.

    Each is a blend of the image with its grey erosion or dilation by a cross of 3x3 pixels, brought
    back to the brightness it had: a thin pen is no paler than a thick one.

    Parameters
    ----------
    images
        uint8 (n, h, w).
    rng
        Source of all randomness.
    strength
        The share of erosion or dilation is uniform in 0..strength.
    copies
        Number of altered copies of each image.
    n_jobs
        Number of threads.

    Returns
    -------
    NDArray[np.uint8]
        Images (m * n, h, w): the originals, then copy after copy of all of them; m = 1 + copies.

    Examples
    --------
    >>> images = np.full((10, 28, 28), 200, np.uint8)
    >>> morph(images, np.random.default_rng(0), strength=1, copies=1).shape
    (20, 28, 28)
    """
    height, width = _size(images)
    _check(strength=(strength, 0, 1))
    cross = [(1, 1), (0, 1), (2, 1), (1, 0), (1, 2)]

    def alter(images: Images, rng: np.random.Generator, result: Images, scratch: Scratch) -> None:
        share = rng.uniform(-strength, strength, (len(images), 1, 1)).astype(np.float32)
        framed = scratch("framed", (len(images), height + 2, width + 2), np.uint8)
        framed[:, 1:-1, 1:-1] = images
        neighbours = [framed[:, row : row + height, col : col + width] for row, col in cross]
        thick, thin = np.maximum.reduce(neighbours), np.minimum.reduce(neighbours)
        grey, extreme = scratch("grey", images.shape), scratch("extreme", images.shape)
        np.copyto(grey, images)
        np.copyto(extreme, thin)
        np.copyto(extreme, thick, where=share > 0)
        blend(grey, extreme, np.abs(share))
        peak, wanted = (levels.max(axis=(1, 2), keepdims=True) for levels in (grey, images))
        grey *= wanted / np.maximum(peak, 1)
        _round(grey, result)

    return _with_copies(images, rng, copies, n_jobs, alter)


def noise(
    images: Images,
    rng: np.random.Generator,
    *,
    std: float = 16,
    amount: float = 0,
    copies: int = 4,
    n_jobs: int = 1,
) -> Images:
    """Add copies with Gaussian noise, and with pixels turned black or white.

    Parameters
    ----------
    images
        uint8 (n, h, w).
    rng
        Source of all randomness.
    std
        Of the Gaussian, in grey levels.
    amount
        Share of the pixels that turn, half of them black, half white.
    copies
        Number of altered copies of each image.
    n_jobs
        Number of threads.

    Returns
    -------
    NDArray[np.uint8]
        Images (m * n, h, w): the originals, then copy after copy of all of them; m = 1 + copies.

    Examples
    --------
    >>> grey = np.full((10, 28, 28), 128, np.uint8)
    >>> noisy = noise(grey, np.random.default_rng(0), std=10, copies=1)[10:]
    >>> round(noisy.std())
    10
    """
    _size(images)
    _check(std=(std, 0, np.inf), amount=(amount, 0, 1))

    def alter(images: Images, rng: np.random.Generator, result: Images, scratch: Scratch) -> None:
        grey = scratch("grey", images.shape)
        rng.standard_normal(out=grey, dtype=np.float32)
        grey *= np.float32(std)
        grey += images
        _round(np.clip(grey, 0, 255, out=grey), result)
        if amount:
            rng.random(out=grey, dtype=np.float32)
            result[grey < amount / 2] = 0
            result[grey >= 1 - amount / 2] = 255

    return _with_copies(images, rng, copies, n_jobs, alter)


def chain(images: Images, rng: np.random.Generator, *, n_jobs: int = 1, **steps: Any) -> Images:
    """Apply steps in the order given, each to all images that the one before returned.

    Parameters
    ----------
    images
        uint8 (n, h, w).
    rng
        Source of all randomness.
    n_jobs
        Number of threads.
    **steps
        Augmentations by name, with their options bound; their copies multiply.

    Returns
    -------
    NDArray[np.uint8]
        Images (m * n, h, w); m is the product of the steps' own.

    Examples
    --------
    >>> from functools import partial
    >>> images = np.full((10, 28, 28), 200, np.uint8)
    >>> steps = {"shift": shift, "morph": partial(morph, copies=1)}
    >>> chain(images, np.random.default_rng(0), **steps).shape
    (100, 28, 28)
    """
    _size(images)
    for name, step in steps.items():
        if not callable(step):
            raise UserError(f"augment.{name} must be an augmentation such as affine, not {step!r}")
        images = step(images, rng, n_jobs=n_jobs)
    return images


def _with_copies(
    images: Images, rng: np.random.Generator, copies: int, n_jobs: int, alter: Alter
) -> Images:
    _check(whole=True, copies=(copies, 1, np.inf))
    n, height, width = images.shape
    size = block_size(height, width)
    streams = rng.spawn(-(-n // size))
    result = np.empty((1 + copies, n, height, width), np.uint8)

    def work(block: slice, scratch: Scratch) -> None:
        result[0, block] = images[block]
        for copy in result[1:, block]:
            alter(result[0, block], streams[block.start // size], copy, scratch)

    run_blocks(work, n, size, n_jobs)
    return result.reshape(-1, height, width)


def _round(grey: Float32, result: Images) -> None:
    """Write values in 0..255 as the nearest grey levels; overwrites them."""
    grey += np.float32(0.5)
    np.copyto(result, grey, casting="unsafe")


def _size(images: Images) -> tuple[int, int]:
    """Return height and width of uint8 images (n, h, w)."""
    if images.ndim != 3 or images.dtype != np.uint8:
        raise ValueError(
            f"augmentation takes uint8 images (n, h, w), not {images.dtype} of shape {images.shape}"
        )
    return images.shape[1], images.shape[2]


def _check(*, whole: bool = False, **options: tuple[Any, float, float]) -> None:
    """Refuse an option (value, low, high) that is not a finite number from `low` to `high`."""
    kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    for name, (value, low, high) in options.items():
        is_number = isinstance(value, kinds) and not isinstance(value, bool)
        if not is_number or not low <= value <= high or value == np.inf:
            kind = "a whole number" if whole else "a number"
            span = f"of at least {low}" if high == np.inf else f"from {low} to {high}"
            raise UserError(f"augment.{name} must be {kind} {span}, not {value!r}")
