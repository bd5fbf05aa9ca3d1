"""Several digits in one picture: which ink belongs together, from left to right."""

import numpy as np
import scipy

from mnist_exp.handwriting._ink import Ink, ink_box

FRAGMENT = 0.45  # of the tallest part's height: what is lower is a bar, a dot or a broken-off end
OVERLAP = 0.35  # of the narrower part's width: ink one above the other is one character
SPECK = 0.004  # of all ink

_Part = tuple[range, range, set[int]]  # rows and columns of a box, and the labels of the ink in it


def split_digits(ink: Ink) -> list[Ink]:
    """Cut ink into digits, from left to right.

    Parts that overlap from side to side are one digit; a low part belongs to the nearest tall one.

    Parameters
    ----------
    ink : array of shape (h, w), uint8
        White ink on black.

    Returns
    -------
    list of arrays, uint8
        The ink of each digit in a box of its own; empty where there is no ink.

    Examples
    --------
    >>> import numpy as np
    >>> ink = np.zeros((60, 100), np.uint8)
    >>> ink[10:50, 10:20] = ink[10:50, 60:75] = 255
    >>> ink[5:8, 60:90] = 255  # a bar over the second
    >>> [digit.shape for digit in split_digits(ink)]
    [(40, 10), (45, 30)]
    """
    labels, _ = scipy.ndimage.label(ink > 0, np.ones((3, 3)))
    weight = np.bincount(labels.ravel(), ink.ravel())[1:]
    # Among a thousand dots none is a speck.
    speck = min(SPECK * weight.sum(), weight.max(initial=0) - 1)
    parts: list[_Part] = [
        (range(rows.start, rows.stop), range(columns.start, columns.stop), {label})
        for label, (rows, columns) in enumerate(scipy.ndimage.find_objects(labels), 1)
        if weight[label - 1] > speck
    ]
    lowest = FRAGMENT * max((len(rows) for rows, _, _ in parts), default=0)
    digits = _stack([part for part in parts if len(part[0]) >= lowest])
    for part in parts:
        if len(part[0]) < lowest:
            nearest = min(range(len(digits)), key=lambda i: _gap(digits[i], part))
            digits[nearest] = _joined(digits[nearest], part)
    from_left = sorted(_stack(digits), key=lambda part: part[1].start + part[1].stop)
    alone = [np.where(np.isin(labels, list(inside)), ink, np.uint8(0)) for *_, inside in from_left]
    return [digit[ink_box(digit)] for digit in alone]


def _stack(parts: list[_Part]) -> list[_Part]:
    """Join what overlaps from side to side until nothing does."""
    done: list[_Part] = []
    for part in sorted(parts, key=lambda part: part[1].start):
        while done and _overlap(done[-1][1], part[1]) > OVERLAP * min(
            len(done[-1][1]), len(part[1])
        ):
            part = _joined(done.pop(), part)
        done.append(part)
    return done


def _overlap(a: range, b: range) -> int:
    return min(a.stop, b.stop) - max(a.start, b.start)


def _gap(a: _Part, b: _Part) -> float:
    return float(np.hypot(max(0, -_overlap(a[0], b[0])), max(0, -_overlap(a[1], b[1]))))


def _joined(a: _Part, b: _Part) -> _Part:
    rows, columns = (
        range(min(x.start, y.start), max(x.stop, y.stop)) for x, y in zip(a[:2], b[:2], strict=True)
    )
    return rows, columns, a[2] | b[2]
