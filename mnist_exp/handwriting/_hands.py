"""Ink as other hands write it, brought to what MNIST's writers do: its slant, width and pen."""

from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray
from PIL import Image

from mnist_exp.handwriting._ink import Ink, ink_box
from mnist_exp.handwriting._segments import pen_width

# Across over down; nine of ten training images lie within.
SLANTS = (-0.15, 0.45)
NARROW, WIDENED = (
    0.45,
    0.75,
)  # width to height: what is narrower, other than a bar, and what it gets
BAR = 2.5  # pens' widths; what is not wider, and has no hole, is a bar
THIN = 0.06  # pen's width to the longest side; a thinner line would vanish when it is reduced
SIDE, PEN = 80, 9  # px of the longest side, and of the pen, where a digit is drawn again


def usual_hands(ink: Ink) -> list[Ink]:
    """Undo what MNIST's writers do not do: lean far, squeeze a digit, write with a hair.

    Parameters
    ----------
    ink : array of shape (h, w), uint8
        White ink on black; one digit.

    Returns
    -------
    list of one or two arrays of shape (h, w), uint8
        The digit in its box, wide enough, with a pen that is seen; if it leans far, also upright.

    Examples
    --------
    >>> import numpy as np
    >>> ink = np.zeros((100, 40), np.uint8)
    >>> ink[10:90, [8, 9, 20, 21]] = ink[[10, 11, 88, 89], 8:22] = 255  # a narrow 0
    >>> [image.shape for image in usual_hands(ink)]
    [(87, 83)]
    """
    ink = ink[ink_box(ink)]
    upright = _upright(ink)
    return [_widened(view) for view in ([ink] if upright is ink else [ink, upright])]


def _skeleton(is_drawn: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The centre lines of strokes."""
    from skimage.morphology import skeletonize

    thin: Any = skeletonize
    return np.asarray(thin(np.pad(is_drawn, 1)), bool)


def _drawn(line: NDArray[Any], pen: float) -> Ink:
    """Draw a line with a round pen."""
    edge = int(pen) + 2
    away = scipy.ndimage.distance_transform_edt(np.pad(line, edge) < 0.3 * line.max())
    drawn = np.asarray(255 * np.clip(pen / 2 - away + 0.5, 0, 1), np.uint8)
    return drawn[ink_box(drawn)]


def _sheared(ink: Ink, excess: float) -> Ink:
    """Ink that leans less by `excess` of its height."""
    height, width = ink.shape
    size = width + int(abs(excess) * height) + 3, height
    terms = (1, -excess, -max(-excess, 0) * height - 1, 0, 1, 0)
    sheared = np.asarray(
        Image.fromarray(ink).transform(
            size, Image.Transform.AFFINE, terms, Image.Resampling.BICUBIC
        )
    )
    return sheared[ink_box(sheared)]


def _widened(ink: Ink) -> Ink:
    """Draw what is narrow or fine again, wider, with a usual pen."""
    height, width = ink.shape
    if not ink.any():
        return ink
    pen = pen_width(ink)
    is_drawn = ink > min(127, int(ink.max()) // 2)
    has_hole = bool((scipy.ndimage.binary_fill_holes(is_drawn) & ~is_drawn).any())
    is_narrow = width < NARROW * height and (width > BAR * pen or has_hole)
    if not is_narrow and pen > THIN * max(ink.shape):
        return ink
    stretch = (WIDENED * height - pen) / (width - pen) if is_narrow else 1.0
    line = Image.fromarray(_skeleton(is_drawn))
    scale = SIDE / max(height, width * stretch)
    size = [
        max(1, round(side * scale * by)) for side, by in zip(line.size, (stretch, 1), strict=True)
    ]
    return _drawn(np.asarray(line.convert("L").resize(size, Image.Resampling.BILINEAR)), PEN)


def _upright(ink: Ink) -> Ink:
    """Shear ink that leans further than usual, by its moments."""
    y, x = np.nonzero(ink > 127)
    if not len(y):
        return ink
    slant = -np.mean((y - y.mean()) * (x - x.mean())) / max(np.var(y), 1e-6)
    excess = slant - np.clip(slant, *SLANTS)
    return _sheared(ink, excess) if excess else ink
