"""Several digits in one picture: its lines, the pieces of ink in each, and where pieces can be cut.

Too many pieces on purpose: which of them make one digit is decided where they are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray
from PIL import Image

from mnist_exp.handwriting._ink import Ink, ink_box

FRAGMENT = 0.45  # of the tallest piece's height: what is lower is a bar, a dot or a broken-off end
SPECK = 0.12  # of the squared pen's width; a dot has 0.8, one of a finer pen 0.3
BRIDGED = 0.25  # of the pen's width: a gap where a stroke broke, not one between digits
SAME_LINE = 0.3  # of the lower piece's height: pieces that share less stand in different lines
CUT_SIDE = 64  # px that a piece is high, at most, when cuts are looked for
PENS = 2.2  # times the pen's width that a cut may cross
APART, LEAST = 0.12, 0.06  # of the height between cuts; of the ink on either side
MAX_CUTS = 3


@dataclass(frozen=True)
class Piece:
    """Connected ink, or what a cut left of it.

    Attributes
    ----------
    ink : array of shape (h, w), uint8
        The ink alone, in its box.
    top, left : int
        Where the box lies in the picture.
    seams : tuple of (int, float)
        The cuts that bound it: a number that both sides share, and pens' widths of ink crossed.
    """

    ink: Ink
    top: int
    left: int
    seams: tuple[tuple[int, float], ...] = ()

    @property
    def rows(self) -> range:
        """Rows of the picture."""
        return range(self.top, self.top + self.ink.shape[0])

    @property
    def columns(self) -> range:
        """Columns of the picture."""
        return range(self.left, self.left + self.ink.shape[1])


def joined(pieces: Sequence[Piece]) -> Piece:
    """Return one piece that holds the ink of several; cuts between them are undone."""
    if len(pieces) == 1:
        return pieces[0]
    top, left = min(p.top for p in pieces), min(p.left for p in pieces)
    shape = max(p.rows.stop for p in pieces) - top, max(p.columns.stop for p in pieces) - left
    ink = np.zeros(shape, np.uint8)
    for piece in pieces:
        place = ink[piece.top - top :, piece.left - left :][: len(piece.rows), : len(piece.columns)]
        np.maximum(place, piece.ink, out=place)
    seams = [seam for piece in pieces for seam in piece.seams]
    return Piece(ink, top, left, tuple(seam for seam in seams if seams.count(seam) == 1))


def pen_width(ink: Ink) -> float:
    """Return the width of the strokes in px: a mean distance to the edge is a quarter of it."""
    drawn = np.pad(ink > 127, 1)
    inside = scipy.ndimage.distance_transform_edt(drawn)
    return float(4 * inside[drawn].mean()) if drawn.any() else 1.0


def split_lines(ink: Ink) -> list[list[Piece]]:
    """Find connected ink, line by line.

    Parameters
    ----------
    ink : array of shape (h, w), uint8
        White ink on black.

    Returns
    -------
    list of lists of Piece
        The lines from the top, in each the pieces from left to right; empty where there is no ink.

    Examples
    --------
    >>> import numpy as np
    >>> ink = np.zeros((130, 100), np.uint8)
    >>> ink[10:50, 10:20] = ink[10:50, 60:75] = ink[80:120, 30:40] = 255
    >>> [[piece.left for piece in line] for line in split_lines(ink)]
    [[10, 60], [30]]
    """
    pen = pen_width(ink)
    near = scipy.ndimage.distance_transform_edt(ink == 0) <= BRIDGED * pen / 2
    labels, _ = scipy.ndimage.label(near & bool(ink.any()), np.ones((3, 3)))
    labels[ink == 0] = 0
    weight = np.bincount(labels.ravel(), ink.ravel())[1:] / 255
    speck = min(SPECK * pen**2, weight.max(initial=0) - 1)
    pieces = [
        Piece(np.where(labels[box] == label, ink[box], np.uint8(0)), box[0].start, box[1].start)
        for label, box in enumerate(scipy.ndimage.find_objects(labels), 1)
        if weight[label - 1] > speck
    ]
    lowest = FRAGMENT * max((len(piece.rows) for piece in pieces), default=0)
    tall = [piece for piece in pieces if len(piece.rows) >= lowest]
    lines: list[list[Piece]] = []
    for piece in sorted(tall, key=lambda piece: _middle(piece.rows)):
        if lines and all(share(piece.rows, other.rows) > SAME_LINE for other in lines[-1][-2:]):
            lines[-1].append(piece)
        else:
            lines.append([piece])
    homes = [list(line) for line in lines]
    for piece in pieces:
        if len(piece.rows) < lowest:
            near = [min(_gap(piece, other) for other in line) for line in homes]
            lines[int(np.argmin(near))].append(piece)
    return [sorted(line, key=lambda piece: _middle(piece.columns)) for line in lines]


def share(a: range, b: range) -> float:
    """Return how much two ranges overlap, as a share of the shorter; negative if they are apart."""
    return (min(a.stop, b.stop) - max(a.start, b.start)) / min(len(a), len(b))


def _middle(span: range) -> float:
    return (span.start + span.stop) / 2


def _gap(a: Piece, b: Piece) -> float:
    down, across = (
        max(0, max(x.start, y.start) - min(x.stop, y.stop))
        for x, y in ((a.rows, b.rows), (a.columns, b.columns))
    )
    return float(np.hypot(down, across))


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
    step = -(-height // CUT_SIDE)
    drawn = np.asarray(Image.fromarray(piece.ink).reduce(step)) > 100
    paths, crossed = _paths(drawn)
    pens = crossed * step / pen_width(piece.ink)
    rows = np.minimum(np.arange(height) // step, len(drawn) - 1)
    seams: list[tuple[NDArray[np.intp], float]] = []
    for i in np.argsort(pens, kind="stable"):
        path = paths[i][rows] * step + step // 2
        left = piece.ink[np.arange(width) < path[:, None]].sum() / piece.ink.sum()
        apart = min((abs(path - other).mean() for other, _ in seams), default=height)
        if pens[i] <= PENS and LEAST < left < 1 - LEAST and apart > APART * height:
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
