"""Several digits in one picture: which ink belongs together, from left to right."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mnist_exp.handwriting._drawing import Ink

FRAGMENT = 0.45  # of the tallest part's height: what is lower is a bar, a dot or a broken-off end, no digit
OVERLAP = 0.35  # of the narrower part's width: ink one above the other is one character
SPECK = 0.004  # of all ink

_Part = tuple[slice, slice, set[int]]  # rows and columns of a box, and the labels of the ink in it


def split_digits(ink: Ink) -> list[Ink]:
    """White ink on black (h, w) -> the ink of each digit in a box of its own, left to right; none
    if it is blank.
    """
    labels, count = ndimage.label(ink > 0, np.ones((3, 3)))
    if not count:
        return []
    weight = np.bincount(labels.ravel(), ink.ravel())
    boxes = ndimage.find_objects(labels)
    parts = [(*boxes[i], {i + 1}) for i in range(count) if weight[i + 1] > SPECK * weight[1:].sum()]
    tallest = max(_length(part[0]) for part in parts)
    digits = _stack([part for part in parts if _length(part[0]) >= FRAGMENT * tallest])
    for part in parts:
        if _length(part[0]) < FRAGMENT * tallest:
            nearest = min(range(len(digits)), key=lambda i: _gap(digits[i], part))
            digits[nearest] = _joined(digits[nearest], part)
    digits = _stack(digits)
    return [
        _cut(ink, labels, part)
        for part in sorted(digits, key=lambda part: part[1].start + part[1].stop)
    ]


def _stack(parts: list[_Part]) -> list[_Part]:
    """Join what overlaps from side to side until nothing does."""
    parts = sorted(parts, key=lambda part: part[1].start)
    done: list[_Part] = []
    for part in parts:
        while done and _overlap(done[-1][1], part[1]) > OVERLAP * min(
            _length(done[-1][1]), _length(part[1])
        ):
            part = _joined(done.pop(), part)
        done.append(part)
    return done


def _length(span: slice) -> int:
    return int(span.stop - span.start)


def _overlap(a: slice, b: slice) -> int:
    return int(min(a.stop, b.stop) - max(a.start, b.start))


def _gap(a: _Part, b: _Part) -> float:
    return float(np.hypot(max(0, -_overlap(a[0], b[0])), max(0, -_overlap(a[1], b[1]))))


def _joined(a: _Part, b: _Part) -> _Part:
    rows, columns = (
        slice(min(x.start, y.start), max(x.stop, y.stop)) for x, y in zip(a[:2], b[:2], strict=True)
    )
    return rows, columns, a[2] | b[2]


def _cut(ink: Ink, labels: NDArray[np.int32], part: _Part) -> Ink:
    rows, columns, mine = part
    return np.asarray(
        np.where(np.isin(labels[rows, columns], list(mine)), ink[rows, columns], 0), np.uint8
    )
