"""Marks between digits by their geometry: point, comma, colon, minus, slash, percent."""

from collections.abc import Sequence

import numpy as np

from mnist_exp.handwriting._segments import Piece, pen_width, share

LOW = 0.4  # of the line's height: what is higher is no dot, comma or minus


def mark_of(pieces: Sequence[Piece], line: range) -> str | None:
    """Name the mark that one to three pieces are.

    Parameters
    ----------
    pieces : sequence of Piece
        Neighbours in a line.
    line : range
        Rows of the line's digits.

    Returns
    -------
    str or None
        One of `. , : - / %`.
    """
    if any(piece.seams for piece in pieces):
        return None  # what is left of a cut is no mark
    low = [piece for piece in pieces if len(piece.rows) <= LOW * len(line)]
    if len(pieces) == 1 and low:
        return _low_mark(pieces[0], line)
    if len(pieces) == 1 and _is_slash(pieces[0], line):
        return "/"
    dots = [_is_dot(piece, line) for piece in pieces]
    if len(pieces) == 2 and all(dots) and share(pieces[0].columns, pieces[1].columns) > 0.3:
        return ":"
    slash = [piece for piece in pieces if len(piece.rows) > LOW * len(line)]
    if len(pieces) == 3 and len(low) == 2 and _lean(slash[0]) > 0.12:
        upper, lower = sorted(low, key=lambda piece: piece.top)
        if upper.left < lower.left and upper.rows.stop <= lower.top + 0.1 * len(line):
            return "%"
    return None


def looks_like_mark(piece: Piece, line: range) -> bool:
    """Whether a piece is so likely a mark, or half of one, that it is no part of a digit."""
    is_low = not piece.seams and len(piece.rows) <= LOW * len(line)
    return bool(is_low and (_is_dot(piece, line) or _low_mark(piece, line) is not None))


def _low_mark(piece: Piece, line: range) -> str | None:
    height, width = piece.ink.shape
    middle = (piece.top + height / 2 - line.start) / len(line)
    if width > 1.7 * height and height < 0.25 * len(line) and 0.25 < middle < 0.75:
        return "-"
    if middle > 0.75 and height <= 1.5 * width and _is_dot(piece, line):
        return "."
    is_below = piece.rows.stop > line.stop + 0.02 * len(line)
    return "," if middle > 0.8 and height > width and is_below else None


def _is_dot(piece: Piece, line: range) -> bool:
    height, width = piece.ink.shape
    return bool(
        max(height, width) < 0.3 * len(line) and max(height, width) < 1.8 * min(height, width)
    )


def _lean(piece: Piece) -> float:
    """How far one straight stroke leans to the right, across over down; -1 if it is not one."""
    y, x = np.nonzero(piece.ink > 127)
    if len(set(y)) < 5:
        return -1.0
    slope, start = np.polyfit(y, x, 1)
    off = np.percentile(abs(x - y * slope - start), 98)
    return float(-slope) if off < 0.8 * pen_width(piece.ink) else -1.0


def _is_slash(piece: Piece, line: range) -> bool:
    """Whether it is longer than the digits; a 1 may be so too, then the two readings compete."""
    beyond = 0.01 * len(line)
    is_longer = piece.top < line.start - beyond and piece.rows.stop > line.stop + beyond
    return is_longer and len(piece.rows) > 1.05 * len(line) and _lean(piece) > 0.25
