"""Which connected ink is writing, and which is a table, an edge, a frame, a line below a digit."""

import numpy as np
import scipy  # its parts are imported when they are first used
from numpy.typing import NDArray

from mnist_exp.handwriting._files import Values, border
from mnist_exp.handwriting._paper import Mask

NEAR = 0.05  # of the picture's side
LOCAL = (
    0.35  # of the darkest ink near it: what is lighter is shade, or a rule that a stroke crosses
)
CONTACT = 0.4  # of a part's length: so much of the picture's border belongs to no stroke
SIDES = 0.7  # of the pixels around a stroke differ from it; along an edge it is half of them
SPECK = 0.002  # of the largest part; a point has more
FAINT = 24  # levels of 255: the texture of a dark surface stays below
SLENDER = 2.5  # times as long as wide is a stroke at least, and no table
TINY = 0.04  # of the picture's side: all ink is larger together, even that of a small digit
RULE = 0.12, 0.9  # of the picture's sides: how thick at most and how long at least a rule is
NET = 50  # times as long as wide are no strokes of a digit
ENCLOSED = 0.3  # of a frame's height: the least that a digit in it is high
AROUND = 0.8  # of all directions in which a frame is seen from within
DIRECTIONS = 36

Labels = NDArray[np.int32]
Box = tuple[slice, slice]


def writing(ink: Values, light: Values | None = None, paper: Values | None = None) -> Mask:
    """Mark the ink that is writing.

    Parameters
    ----------
    ink : array of shape (h, w)
        Ink 0..1.
    light, paper : arrays of shape (h, w), optional
        Of a photo: the picture, dark where there is ink, and what it was written on.
    """
    reach = 2 * round(NEAR * max(ink.shape) / 2) + 1
    core = ink > LOCAL * scipy.ndimage.maximum_filter(ink, reach)
    labels, count = scipy.ndimage.label(core, np.ones((3, 3)))
    boxes = scipy.ndimage.find_objects(labels)
    sums = np.bincount(labels.ravel(), ink.ravel(), count + 1)
    contact = np.bincount(border(labels), minlength=count + 1)
    spans = np.array([0] + [max(_lengths(box)) for box in boxes])
    is_apart = contact <= CONTACT * spans
    is_stroke = np.ones(count + 1, bool)
    if light is not None and paper is not None:
        is_stroke &= _contrast_around(labels, light, paper, reach) > SIDES
        is_stroke &= np.bincount(labels[paper - light > FAINT], minlength=count + 1) > 0
        is_stroke[1:] &= [not _is_rule(labels, i, box) for i, box in enumerate(boxes, 1)]
    is_stroke[0] = False
    touching, is_stroke = is_stroke & ~is_apart, is_stroke & is_apart
    # A digit that was cut out touches the border everywhere.
    if sums[is_stroke].sum() < 0.1 * sums[1:].sum() and (
        light is None or (not is_stroke.any() and slenderness(touching[labels]) > SLENDER)
    ):
        is_stroke |= touching
    wanted = is_stroke & (sums > SPECK * sums[is_stroke].max(initial=0))
    strong = ink > 0.5 * ink[wanted[labels]].max(initial=0)
    wanted &= np.bincount(labels[strong], minlength=count + 1) > 0
    if light is not None and spans[wanted].max(initial=0) < TINY * max(ink.shape):
        return np.zeros(ink.shape, bool)
    wanted[_frames(labels, boxes, np.flatnonzero(wanted))] = False
    return np.asarray(scipy.ndimage.maximum_filter(wanted[labels], 3))


def slenderness(inked: Mask) -> float:
    """How many times longer than wide strokes are, all together."""
    if not inked.any():
        return 0.0
    inside = scipy.ndimage.distance_transform_edt(inked)
    # Across a stroke the distance to its edge is on average a quarter of the width.
    return float(inked.sum() / (4 * inside[inked].mean()) ** 2)


def _lengths(box: Box) -> tuple[int, int]:
    return box[0].stop - box[0].start, box[1].stop - box[1].start


def _is_rule(labels: Labels, part: int, box: Box) -> bool:
    """Whether a part is a line from side to side of the picture, or a net of such lines."""
    shares = sorted(length / side for length, side in zip(_lengths(box), labels.shape, strict=True))
    if shares[1] < RULE[1]:
        return False
    return shares[0] < RULE[0] or slenderness(labels == part) > NET


def _contrast_around(
    labels: Labels, light: Values, paper: Values, reach: int
) -> NDArray[np.float64]:
    """The share of the pixels around each part that differ from it as paper does from ink.

    Not from its faint rim alone: a spot of light fades too slowly for that.
    """
    inked, count = labels > 0, int(labels.max()) + 1
    ink_light = scipy.ndimage.minimum_filter(np.where(inked, light, np.inf), reach)
    contrast = np.where(inked, paper - light, 0)
    peaks = np.zeros(count)
    np.maximum.at(peaks, labels[inked], contrast[inked])
    nearest = scipy.ndimage.maximum_filter(labels, 5)
    ring = (nearest > 0) & ~inked
    parts = nearest[ring]
    local = scipy.ndimage.maximum_filter(contrast, reach)[ring]
    differs = light[ring] - ink_light[ring] > 0.5 * np.maximum(local, 0.5 * peaks[parts])
    return np.bincount(parts, differs, count) / np.maximum(np.bincount(parts, minlength=count), 1)


def _frames(labels: Labels, boxes: list[Box], parts: NDArray[np.intp]) -> list[int]:
    """List the parts that go around another, or lie below all others."""
    frames: list[int] = []
    for part in sorted(parts, key=lambda part: -boxes[part - 1][0].start):
        others = [boxes[i - 1] for i in parts if i != part and i not in frames]
        if others and (
            _is_underline(boxes[part - 1], others)
            or any(_is_around(labels, part, boxes[part - 1], other) for other in others)
        ):
            frames.append(int(part))
    return frames


def _is_underline(box: Box, others: list[Box]) -> bool:
    height, width = _lengths(box)
    tallest = max(_lengths(other)[0] for other in others)
    lowest = max(other[0].stop for other in others)
    across = max(other[1].stop for other in others) - min(other[1].start for other in others)
    is_flat = width > 4 * height and height < 0.3 * tallest
    return is_flat and box[0].start > lowest - 0.1 * tallest and width > 0.6 * across


def _is_around(labels: Labels, part: int, box: Box, other: Box) -> bool:
    """Whether a part is seen in nearly all directions from the middle of another."""
    if not all(a.start < b.start and b.stop < a.stop for a, b in zip(box, other, strict=True)):
        return False
    if _lengths(other)[0] < ENCLOSED * _lengths(box)[0] or (labels[other] == part).any():
        return False
    y, x = np.nonzero(labels[box] == part)
    down, across = ((o.start + o.stop) / 2 - b.start for o, b in zip(other, box, strict=True))
    angles = np.arctan2(y - down, x - across)
    seen = np.histogram(angles, DIRECTIONS, (-np.pi, np.pi))[0] > 0
    return bool(seen.mean() > AROUND)
