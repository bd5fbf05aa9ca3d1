"""Where digits that touch can be cut: too many places on purpose."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_exp.handwriting._ink import Ink, ink_box
from mnist_exp.handwriting._segments import Piece, pen_width

SIDE = 64  # px that a piece is high, at most, when cuts are looked for
PENS = 2.2  # times the pen's width that a cut may cross
APART = 0.1  # of the height between cuts
LEAST, LOWEST = 0.1, 0.6  # of the ink on either side of a cut; of the height that it has there
MAX_CUTS = 4


def cut(piece: Piece, first: int) -> list[Piece]:
    """Cut a piece where a path from top to bottom crosses the least ink.

    Parameters
    ----------
    piece : Piece
        Perhaps digits that touch.
    first : int
        Number of its first seam; those of other pieces must differ.

    Returns
    -------
    list of Piece
        From left to right; the piece itself where no place is thin.
    """
    height, width = piece.ink.shape
    step = -(-height // SIDE)
    drawn = np.asarray(Image.fromarray(piece.ink).reduce(step)) > 100
    paths, crossed = _paths(drawn)
    pens = crossed * step / pen_width(piece.ink)
    rows = np.minimum(np.arange(height) // step, len(drawn) - 1)
    seams: list[tuple[NDArray[np.intp], float]] = []
    for i in np.argsort(pens, kind="stable"):
        path = paths[i][rows] * step + step // 2
        is_left = np.arange(width) < path[:, None]
        left = piece.ink[is_left].sum() / piece.ink.sum()
        lowest = min(len(_rows_of(piece.ink * side)) for side in (is_left, ~is_left))
        apart = min((abs(path - other).mean() for other, _ in seams), default=height)
        is_thin = pens[i] <= PENS and LEAST < left < 1 - LEAST and lowest > LOWEST * height
        if is_thin and apart > APART * height:
            seams = [*seams, (path, float(pens[i]))][:MAX_CUTS]
    seams.sort(key=lambda seam: seam[0].mean())
    side = sum((np.arange(width) >= path[:, None] for path, _ in seams), np.zeros((1, 1), int))
    numbered = [(first + i, crossing) for i, (_, crossing) in enumerate(seams)]
    parts = []
    for i in range(len(seams) + 1):
        ink = np.where(side == i, piece.ink, np.uint8(0))
        rows_, columns = ink_box(ink)
        if ink.any():
            bounds = tuple(numbered[max(i - 1, 0) : i + 1])
            place = piece.top + rows_.start, piece.left + columns.start
            parts.append(Piece(ink[rows_, columns], *place, piece.seams + bounds))
    return parts


def _rows_of(ink: Ink) -> range:
    rows = ink_box(ink)[0]
    return range(rows.start or 0, rows.stop)


def _paths(drawn: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The path (n, h) of least ink within each of n overlapping bands, and the ink it crosses.

    Dynamic programming from the top; a path moves by at most one column a row.
    """
    height, width = drawn.shape
    centres = np.arange(0.1 * height, width - 0.1 * height, max(1, 0.05 * height))
    columns = np.arange(width)
    outside = abs(columns - centres[:, None]) > 0.16 * height
    total = np.where(outside, np.inf, 0.0)
    steps = np.empty((height, *total.shape), np.int8)
    for y, row in enumerate(drawn):
        padded = np.pad(total, ((0, 0), (1, 1)), constant_values=np.inf)
        ways = np.stack([padded[:, 1:-1], padded[:, :-2] + 0.05, padded[:, 2:] + 0.05])
        steps[y] = np.array([0, -1, 1])[ways.argmin(0)]
        total = np.where(outside, np.inf, ways.min(0) + row)
    x = total.argmin(1) if len(centres) else np.zeros(0, np.intp)
    crossed, bands = total[np.arange(len(x)), x], np.arange(len(x))
    paths = np.empty((len(x), height), np.intp)
    for y in range(height - 1, -1, -1):
        paths[:, y] = x
        x = x + steps[y, bands, x]
    return paths, crossed
