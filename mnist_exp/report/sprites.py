"""Many small pictures as one PNG, from which a page cuts each by its position.

One sheet means one download and one decode, however many pictures a page shows.
"""

import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COLUMNS = 40
LONGEST_SIDE = 56  # larger pictures are shrunk: a gallery shows them no bigger
# 2,000 digits take 0.7 MB in a page; pictures that do not compress at all would take 2.1 MB.
PIXELS = 2_000 * 28 * 28


@dataclass(frozen=True)
class Sheet:
    """Grey pictures row by row in a grid; `width` and `height` are those of one, in pixels."""

    png: bytes
    columns: int
    rows: int
    width: int
    height: int


def capacity(images: NDArray[np.uint8]) -> int:
    """How many pictures of this size one sheet should hold, so that a page stays small."""
    factor = _shrinking(images)
    height, width = (math.ceil(side / factor) for side in images.shape[1:])
    return int(max(1, PIXELS // (height * width)))


def sprite_sheet(images: NDArray[np.uint8]) -> Sheet:
    """Put uint8 images (n, h, w) into one sheet, in their order.

    Position i is column i % columns, row i // columns.
    """
    from PIL import Image

    n, height, width = images.shape
    factor = _shrinking(images)
    # With a single row, a place in per cent of the other rows would be undefined.
    rows = max(2, math.ceil(n / COLUMNS))
    tile = -(-height // factor) * factor, -(-width // factor) * factor
    tiles = np.zeros((rows * COLUMNS, *tile), np.uint8)
    tiles[:n, :height, :width] = images
    grid = tiles.reshape(rows, COLUMNS, *tile).swapaxes(1, 2)
    buffer = io.BytesIO()
    picture = Image.fromarray(grid.reshape(rows * tile[0], COLUMNS * tile[1]))
    picture.reduce(factor).save(buffer, "PNG")
    return Sheet(buffer.getvalue(), COLUMNS, rows, tile[1] // factor, tile[0] // factor)


def _shrinking(images: NDArray[np.uint8]) -> int:
    return int(-(-max(images.shape[1:]) // LONGEST_SIDE))
