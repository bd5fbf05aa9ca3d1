"""Marks between digits by their geometry: point, comma, colon, minus, slash and others."""

from collections.abc import Sequence

import numpy as np

from mnist_exp.handwriting._segments import Piece, gap, pen_width, share, shared_rows

SMALL = 0.5  # of the line's height: what is higher is no point, comma or minus
DOT = 0.32  # of the line's height
ROUND, LONG = 1.45, 1.6  # length to breadth of a dot at most, of a stroke at least
NEAR = 1.0  # of the pen's width: a smaller gap is a break in a stroke
LEAN, BOW = 0.2, 0.07  # across over down, of a slash and of a bracket


def mark_of(pieces: Sequence[Piece], rows: range) -> str | None:
    """Name the mark that one to three pieces are.

    Parameters
    ----------
    pieces : sequence of Piece
        Neighbours in a line.
    rows : range
        Rows of the line's digits.

    Returns
    -------
    str or None
        One of `. , : - = %`.

    Examples
    --------
    >>> import numpy as np
    >>> dot = np.full((8, 8), 255, np.uint8)
    >>> upper, lower = Piece(dot, 30, 200), Piece(dot, 92, 201)
    >>> mark_of([lower], range(0, 100)), mark_of([upper, lower], range(0, 100))
    ('.', ':')
    >>> mark_of([upper], range(0, 100)) is None
    True
    """
    if any(piece.seams for piece in pieces):
        return None  # what is left of a cut is no mark
    small = [piece for piece in pieces if len(piece.rows) < SMALL * len(rows)]
    if len(pieces) == 1:
        return _small_mark(pieces[0], rows) if small else None
    if len(pieces) == len(small) == 2:
        return _pair(small[0], small[1], rows)
    tall = [piece for piece in pieces if len(piece.rows) >= SMALL * len(rows)]
    if len(pieces) != 3 or len(tall) != 1 or _stroke(tall[0])[0] < LEAN:
        return None
    upper, lower = sorted(small, key=lambda piece: piece.top)
    is_apart = upper.left < lower.left and upper.rows.stop <= lower.top + 0.1 * len(rows)
    return "%" if is_apart else None


def long_mark_of(piece: Piece, others: Sequence[Piece]) -> str | None:
    """Name a long mark: one smooth stroke that goes beyond the digits beside it at both ends.

    A 1 may be that too.

    Parameters
    ----------
    piece : Piece
        One piece of a line.
    others : sequence of Piece
        All pieces of the line.

    Returns
    -------
    str or None
        One of `/ ( )`.
    """
    digits = [other for other in others if other is not piece]
    if not digits or piece.seams:
        return None
    rows = shared_rows(digits)
    spare = 0.01 * len(rows)
    is_beyond = piece.top < rows.start + spare and piece.rows.stop > rows.stop - spare
    if not is_beyond or len(piece.rows) < 1.08 * len(rows):
        return None
    lean, bow = _stroke(piece)
    if abs(bow) > BOW and abs(lean) < LEAN:
        return "(" if bow > 0 else ")"
    return "/" if lean > LEAN and abs(bow) < BOW else None


def are_loose(pieces: Sequence[Piece], rows: range) -> list[bool]:
    """Tell which pieces are small and stand by themselves, so that they are no part of a digit.

    Parameters
    ----------
    pieces : sequence of Piece
        The pieces of a line.
    rows : range
        Rows of the line's digits.

    Returns
    -------
    list of bool
        For each piece, whether it is a mark or foreign; false for the bar of a 5, above its body.
    """
    tall = [piece for piece in pieces if len(piece.rows) >= SMALL * len(rows)]
    return [piece not in tall and _is_loose(piece, tall, rows) for piece in pieces]


def _is_loose(piece: Piece, tall: Sequence[Piece], rows: range) -> bool:
    if piece.seams:
        return False
    if _small_mark(piece, rows) in (".", ","):
        return True
    above = [one for one in tall if share(piece.columns, one.columns) > 0.35]
    if above:
        return all(piece.top >= one.rows.stop for one in above)
    pen = min(pen_width(one.ink) for one in (piece, *tall))
    gaps = [gap(piece.columns, one.columns) for one in tall]
    return min(gaps, default=np.inf) > NEAR * pen or _is_dot(piece, rows)


def _pair(a: Piece, b: Piece, rows: range) -> str | None:
    """Colon or equals sign: two dots or bars, one above the other."""
    if share(a.columns, b.columns) < 0.3:
        return None
    if _is_dot(a, rows) and _is_dot(b, rows):
        return ":"
    are_bars = all(len(piece.columns) > LONG * len(piece.rows) for piece in (a, b))
    return "=" if are_bars and share(a.columns, b.columns) > 0.7 else None


def _small_mark(piece: Piece, rows: range) -> str | None:
    """Point, comma or minus; None where one might be taken for another."""
    height, width = piece.ink.shape
    top, stop = ((y - rows.start) / len(rows) for y in (piece.top, piece.rows.stop))
    length, breadth, angle = _axes(piece)
    if length > LONG * breadth and angle < 25:
        return "-" if 0.2 < (top + stop) / 2 < 0.8 and height < 0.3 * len(rows) else None
    if top > 0.6 and _is_dot(piece, rows) and stop < 1.2:
        return "."
    is_comma = length > LONG * breadth and height > width / 1.2
    return "," if is_comma and top > 0.55 and stop > 1.02 else None


def _is_dot(piece: Piece, rows: range) -> bool:
    length, breadth, _ = _axes(piece)
    return max(piece.ink.shape) < DOT * len(rows) and length < ROUND * breadth


def _axes(piece: Piece) -> tuple[float, float, float]:
    """Length and breadth of the ink, and the angle of its longer axis to the line in degrees."""
    y, x = np.nonzero(piece.ink > 100)
    if len(y) < 2:
        return 1.0, 1.0, 0.0
    values, axes = np.linalg.eigh(np.cov(np.stack([x, y])) + np.eye(2) / 12)  # a pixel has breadth
    breadth, length = np.sqrt(12 * values)
    return float(length), float(breadth), float(np.degrees(np.arctan2(*abs(axes[::-1, 1]))))


def _stroke(piece: Piece) -> tuple[float, float]:
    """How far one smooth stroke leans to the right and bows to the left, of its height; else 0."""
    y, x = np.nonzero(piece.ink > 127)
    if len(set(y)) < 5:
        return 0.0, 0.0
    height = len(piece.rows)
    curve = np.polynomial.Polynomial.fit(y, x, 2)  # in -1..1
    _, slope, bow = (float(term) for term in curve.coef)
    off = np.percentile(abs(x - curve(y)), 98)
    is_smooth = off < 0.8 * pen_width(piece.ink)
    return (-2 * slope / height, bow / height) if is_smooth else (0.0, 0.0)
