"""Several digits in one picture: its lines, and the pieces of ink in each.

Which pieces make one digit is decided where they are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy

from mnist_exp.handwriting._ink import Ink

FRAGMENT = 0.45  # of the tallest piece's height: what is lower is a bar, a dot or a broken-off end
SPECK = 0.12  # of the squared pen's width; a dot has 0.8, one of a finer pen 0.3
BRIDGED = 0.25  # of the pen's width: a gap where a stroke broke, not one between digits
SAME_LINE = 0.3  # of the lower piece's height: pieces that share less stand in different lines


@dataclass(frozen=True, eq=False)
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
    near = scipy.ndimage.distance_transform_edt(ink == 0) <= BRIDGED * pen_width(ink) / 2
    labels, _ = scipy.ndimage.label(near & bool(ink.any()), np.ones((3, 3)))
    labels[ink == 0] = 0
    pieces = _without_specks(
        [
            Piece(np.where(labels[box] == label, ink[box], np.uint8(0)), box[0].start, box[1].start)
            for label, box in enumerate(scipy.ndimage.find_objects(labels), 1)
        ]
    )
    tall = _tall(pieces)
    lines: list[list[Piece]] = []
    for piece in sorted(tall, key=lambda piece: _middle(piece.rows)):
        if lines and all(share(piece.rows, other.rows) > SAME_LINE for other in lines[-1][-2:]):
            lines[-1].append(piece)
        else:
            lines.append([piece])
    homes = [list(line) for line in lines]
    for piece in pieces:
        if piece not in tall:
            near = [min(_distance(piece, other) for other in line) for line in homes]
            lines[int(np.argmin(near))].append(piece)
    return [sorted(line, key=lambda piece: _middle(piece.columns)) for line in lines]


def _without_specks(pieces: list[Piece]) -> list[Piece]:
    """Drop what is finer than a dot of the finest pen among the high pieces."""
    tall = _tall(pieces)
    speck = SPECK * min((pen_width(piece.ink) for piece in tall), default=0) ** 2
    return [piece for piece in pieces if piece in tall or piece.ink.sum() / 255 > speck]


def share(a: range, b: range) -> float:
    """Return how much two ranges overlap, as a share of the shorter; negative if they are apart."""
    return -gap(a, b) / min(len(a), len(b))


def gap(a: range, b: range) -> int:
    """Return how far two ranges are apart; negative where they overlap."""
    return max(a.start, b.start) - min(a.stop, b.stop)


def are_tangled(lines: Sequence[Sequence[Piece]]) -> bool:
    """Tell whether high pieces of different lines stand side by side."""
    return any(
        share(a.rows, b.rows) > SAME_LINE
        for upper, lower in pairwise(lines)
        for a in _tall(upper)
        for b in _tall(lower)
    )


def _tall(pieces: Sequence[Piece]) -> list[Piece]:
    lowest = FRAGMENT * max((len(piece.rows) for piece in pieces), default=0)
    return [piece for piece in pieces if len(piece.rows) >= lowest]


def shared_rows(pieces: Sequence[Piece]) -> range:
    """Return the rows of a line: those of most of its high pieces."""
    tall = [piece.rows for piece in _tall(pieces)]
    start, stop = np.median([[rows.start, rows.stop] for rows in tall], axis=0)
    return range(int(start), int(stop))


def _middle(span: range) -> float:
    return (span.start + span.stop) / 2


def _distance(a: Piece, b: Piece) -> float:
    return float(np.hypot(max(0, gap(a.rows, b.rows)), max(0, gap(a.columns, b.columns))))
