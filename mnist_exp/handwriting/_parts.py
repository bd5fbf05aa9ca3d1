"""Which connected ink is writing, and which is a table, an edge, a frame, a rule below a digit."""

import numpy as np
import scipy  # its parts are imported when they are first used

from mnist_exp.handwriting._files import Values, border
from mnist_exp.handwriting._paper import Mask

NEAR = 0.04  # of the picture's side
LOCAL = 0.35  # of the darkest ink near it: what is lighter is shade, or a rule that a stroke crosses
CONTACT = 0.4  # of a part's length: so much of the picture's border belongs to no stroke
BOTH_SIDES = 0.7  # of the pixels around a stroke differ from it; along an edge it is half of them
SPECK = 0.02  # of the largest part


def writing(ink: Values, light: Values | None, paper: Values | None) -> Mask:
    """Mark the ink that is writing: no shade (below half the peak) and no speck."""
    reach = 2 * round(NEAR * max(ink.shape) / 2) + 1
    core = ink > LOCAL * scipy.ndimage.maximum_filter(ink, reach)
    labels, count = scipy.ndimage.label(core, np.ones((3, 3)))
    if not count:
        return np.zeros(ink.shape, bool)
    boxes = scipy.ndimage.find_objects(labels)
    sums = np.bincount(labels.ravel(), ink.ravel())
    peaks = scipy.ndimage.maximum(ink, labels, np.arange(count + 1))
    spans = np.array([1] + [max(x.stop - x.start for x in box) for box in boxes])
    contact = np.bincount(border(labels), minlength=count + 1)
    foreign = contact > CONTACT * spans
    if light is not None:
        foreign |= _contrast_around(labels, light, paper, count) < BOTH_SIDES
    foreign[0] = True
    if sums[~foreign].sum() < 0.1 * sums[1:].sum() and paper is None or foreign.all():
        foreign[1:] = False
    wanted = ~foreign & (sums > SPECK * sums[~foreign].max())
    wanted &= peaks > 0.5 * peaks[wanted].max()
    return np.asarray(scipy.ndimage.maximum_filter(wanted[labels], 3))


def _contrast_around(labels, light, paper, count):
    """The share of the pixels around each part that differ from it as paper does from ink."""
    reach = 7
    inked = labels > 0
    ink_light = scipy.ndimage.minimum_filter(np.where(inked, light, np.inf), reach)
    contrast = scipy.ndimage.maximum_filter(np.where(inked, paper - light, 0), reach)
    nearest = scipy.ndimage.maximum_filter(labels, 5)
    ring = (nearest > 0) & ~inked
    differs = light[ring] - ink_light[ring] > 0.5 * contrast[ring]
    around = np.bincount(nearest[ring], minlength=count + 1)
    return np.bincount(nearest[ring][differs], minlength=count + 1) / np.maximum(around, 1)
