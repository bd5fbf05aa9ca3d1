"""Many small pictures as one PNG, from which a page cuts each by its position: one download, one
decode.
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
    """Pictures row by row in a grid; `png` is grey, `width` and `height` are those of one picture,
    in pixels.
    """

    png: bytes
    columns: int
    rows: int
    width: int
    height: int


def capacity(images: NDArray[np.uint8]) -> int:
    """How many pictures of this size one sheet should hold, so that a page stays small."""
    height, width = images.shape[1:]
    factor = _shrinking(height, width)
    room: int = PIXELS // (math.ceil(height / factor) * math.ceil(width / factor))
    return max(1, room)


def sprite_sheet(images: NDArray[np.uint8]) -> Sheet:
    """Put uint8 images (n, h, w) into one sheet, in their order; position i is column i % columns,
    row i // columns.
    """
    from PIL import Image

    n, height, width = images.shape
    factor = _shrinking(height, width)
    rows = max(
        2, math.ceil(n / COLUMNS)
    )  # two at least: with one, a place in per cent of the others is undefined
    tile = -(-height // factor) * factor, -(-width // factor) * factor
    tiles = np.zeros((rows * COLUMNS, *tile), np.uint8)
    tiles[:n, :height, :width] = images
    grid = (
        tiles.reshape(rows, COLUMNS, *tile)
        .swapaxes(1, 2)
        .reshape(rows * tile[0], COLUMNS * tile[1])
    )
    buffer = io.BytesIO()
    Image.fromarray(grid).reduce(factor).save(buffer, "PNG")
    return Sheet(buffer.getvalue(), COLUMNS, rows, tile[1] // factor, tile[0] // factor)


def _shrinking(height: int, width: int) -> int:
    return math.ceil(max(height, width) / LONGEST_SIDE)
