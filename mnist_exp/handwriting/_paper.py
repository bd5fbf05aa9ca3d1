"""What a picture was written on: a canvas of one colour, or paper in any light."""

import numpy as np
import scipy  # its parts are imported when they are first used
from numpy.typing import NDArray

from mnist_exp.handwriting._files import LUMINANCE, Values, border

Mask = NDArray[np.bool_]

WIDEST = 1 / 3  # of the picture's side: what is narrower is no surface that one writes on
SMALL = 128  # px a side: up to that size a picture has one ground
FEW, MANY = 0.2, 0.8  # share of equal neighbours from which on a small, a large picture is drawn
PANE = 0.08  # of a picture's area: the least that a window's canvas takes
GROUND = 0.3, 0.6  # of the area: the least that the ground takes, and in a large picture
NEARLY = 10  # levels of 255
LINEAR = 0.9  # correlation of lightness and colour along strokes that are drawn in one colour


def canvas_of(colours: Values) -> tuple[tuple[slice, slice], Values] | None:
    """Find the canvas of a screenshot, a figure or a drawing, and its colour; None in a photo.

    A canvas is a rectangle of exactly one colour in which something is drawn. No photo has one.
    Where several lie in one another (the desktop, the window) it is the innermost, then the
    largest. Without one, a colour that the most part of the picture has is its ground.
    """
    code = (colours @ np.array([1, 256, 65536])).astype(np.int64)
    equal = np.count_nonzero(code[:, 1:] == code[:, :-1])
    if equal < (FEW if max(code.shape) <= SMALL else MANY) * code.size:
        edge = border(code)  # of enlarged pixels it has one colour, however soft the strokes are
        is_ground = (edge == edge[0]).all() and (code == edge[0]).mean() > GROUND[0]
        return ((slice(None), slice(None)), colours[0, 0]) if is_ground else None
    values, counts = np.unique(code, return_counts=True)
    panes: list[tuple[int, tuple[slice, slice], int]] = []
    for value in values[counts > PANE * code.size]:
        areas, _ = scipy.ndimage.label(code == value)
        sizes = np.bincount(areas.ravel())
        for label, box in enumerate(scipy.ndimage.find_objects(areas), 1):
            if sizes[label] > PANE * code.size and _is_pane(areas[box] == label):
                panes.append((areas[box].size, box, int(value)))
    innermost = [a for a in panes if not any(b is not a and _within(b[1], a[1]) for b in panes)]
    whole = slice(None), slice(None)
    _, box, value = max(innermost, default=(0, whole, values[counts.argmax()]), key=_area)
    y, x = np.argwhere(code == value)[0]
    away = np.abs(colours[box] - colours[y, x]).max(2)
    # A photo has as many pixels of nearly that colour; a canvas none but at the rims of strokes.
    is_canvas = (away == 0).mean() > GROUND[not innermost and max(code.shape) > SMALL] and (
        away < NEARLY
    ).sum() < 1.2 * (away == 0).sum()
    return (box, colours[y, x]) if is_canvas else None


def _area(pane: tuple[int, tuple[slice, slice], int]) -> int:
    return pane[0]


def _is_pane(area: Mask) -> bool:
    """Whether an area is a rectangle with holes that something is drawn in."""
    filled = scipy.ndimage.binary_fill_holes(area)
    return bool(filled.mean() > 0.95 and (filled & ~area).mean() > 0.002)


def _within(inner: tuple[slice, slice], outer: tuple[slice, slice]) -> bool:
    return all(a.start >= b.start and a.stop <= b.stop for a, b in zip(inner, outer, strict=True))


def difference(colours: Values, ground: Values) -> Values:
    """How far each pixel is from the ground, 0..255: in lightness, or in colour where that is more.

    A colour map may turn back in lightness ("jet"), so that of its strokes only the rim would be
    left: there, half of the way counts as all of it.
    """
    grey = np.abs((colours - ground) @ LUMINANCE)
    colour = np.sqrt(np.square(colours - ground).mean(2))
    inked = colour > 0.2 * colour.max()
    if not inked.any() or grey.max() > 0.9 * colour.max():
        return np.asarray(grey)
    if min(grey[inked].std(), colour[inked].std()) < 1:
        return np.asarray(colour)
    is_linear = np.corrcoef(np.stack([grey[inked], colour[inked]]))[0, 1] > LINEAR
    return np.asarray(colour if is_linear else np.minimum(colour, 0.45 * colour.max()))


def surface(light: Values, beyond: bool) -> Values:
    """The light of the paper, the table, the shadow at each pixel, as if nothing dark was written.

    A closing takes away dark strokes and leaves the straight edge of a large dark area as it is,
    so that a table or a shadow is a surface of its own. It may reach beyond the picture, where
    nothing hides a surface: then what is enclosed between a stroke and the border is no stroke.
    """
    window = max(3, int(min(light.shape) * WIDEST))
    smooth = scipy.ndimage.gaussian_filter(light, 1)
    margin = window // 2 * beyond
    wide = np.pad(smooth, margin, constant_values=-np.inf)
    closed = scipy.ndimage.grey_closing(wide, (window, window))
    return np.asarray(closed[margin : margin + len(light), margin : margin + light.shape[1]])
