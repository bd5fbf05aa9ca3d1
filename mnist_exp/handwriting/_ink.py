"""From a picture to the ink on it: what is not writing goes before anything is measured."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # its parts are imported when they are first used
from numpy.typing import NDArray
from PIL import Image

from mnist_exp.handwriting._files import LUMINANCE, Values, border, colour_values
from mnist_exp.handwriting._paper import NEARLY, SMALL, Mask, canvas_of, difference, surface
from mnist_exp.handwriting._parts import SLENDER, slenderness, writing

Ink = NDArray[np.uint8]

MIN_CONTRAST = 24  # of 255: paper texture and JPEG noise stay below, the faintest pencil above
ALL = 0.995  # of the ink
NOISE = 0.1  # the most that a pixel of one ground differs from it
ALIKE, PAPER = 12, 0.2  # levels of 255; share of the picture that is as light as light ink
BLANK = 0.25  # share of the light that paper's texture may swallow
LINES = "lines through the digit: write on plain paper"
EDGE = "it touches the edge of the picture: leave a margin"


@dataclass(frozen=True)
class Page:
    """The ink on a picture.

    Attributes
    ----------
    ink : array of shape (h, w), uint8
        White ink on black, of at most 400x400 px; all zeros where there is none.
    obstacle : str or None
        What stands in the way of reading it, if anything does.
    """

    ink: Ink
    obstacle: str | None = None


def ink_box(ink: NDArray[Any]) -> tuple[slice, slice]:
    """Find the rows and columns from the first to the last that hold ink; empty if none does.

    Parameters
    ----------
    ink : array of shape (h, w)
        White ink on black.

    Returns
    -------
    tuple of two slices
        `ink[ink_box(ink)]` is the ink without the paper around it.

    Examples
    --------
    >>> import numpy as np
    >>> ink = np.zeros((9, 9), np.uint8)
    >>> ink[2:5, 3] = 255
    >>> ink_box(ink)
    (slice(2, 5, None), slice(3, 4, None))
    >>> ink[ink_box(0 * ink)].size
    0
    """
    boxes = scipy.ndimage.find_objects((ink > 0).astype(np.uint8))
    return boxes[0] if boxes else (slice(0), slice(0))


def photo_to_ink(image: Image.Image) -> Ink:
    """Find the ink in a picture of dark or light strokes.

    Parameters
    ----------
    image : Image.Image
        A photo, a scan or a drawing, in any mode; its EXIF orientation is applied.

    Returns
    -------
    array of shape (h, w), uint8
        White ink on black, of at most 400x400 px; all zeros where there is hardly any contrast.

    Examples
    --------
    >>> from PIL import Image, ImageDraw
    >>> paper = Image.new("RGB", (300, 200), "ivory")
    >>> photo_to_ink(paper).any()
    np.False_
    >>> ImageDraw.Draw(paper).line((150, 40, 150, 160), "navy", 12)
    >>> ink = photo_to_ink(paper)
    >>> ink_box(ink)
    (slice(40, 161, None), slice(145, 157, None))
    """
    return find_ink(image).ink


def find_ink(image: Image.Image) -> Page:
    """Find the ink in a picture, and what stands in the way of reading it.

    Parameters
    ----------
    image : Image.Image
        A photo, a scan or a drawing, in any mode; its EXIF orientation is applied.

    Returns
    -------
    Page
        The ink without tables, shadows, rules, frames and windows.

    Examples
    --------
    >>> from PIL import Image
    >>> page = find_ink(Image.new("L", (300, 200), "white"))
    >>> page.ink.any(), page.obstacle
    (np.False_, None)
    """
    colours = colour_values(image)
    if canvas := canvas_of(colours):
        box, ground = canvas
        return _page(np.asarray(difference(colours[box], ground) / 255, np.float32), 0)
    grey = np.asarray(colours @ LUMINANCE)
    if max(grey.shape) <= SMALL or _is_cut_out(grey):
        return _on_one_ground(grey)
    (weight, dark), (light_weight, light) = (_on_paper(grey, sign) for sign in (1, -1))
    page = light if light_weight > weight * (1 + _is_inside(dark.ink, light.ink)) else dark
    if not page.ink.any():  # a yellow marker is as light as paper, but not in blue light
        page = _on_paper(colours.min(2), 1)[1]
    if not page.ink.any() and np.ptp(np.percentile(border(grey), (2, 98))) < NEARLY:
        page = _on_one_ground(grey)  # enlarged pixels fade too slowly for strokes on paper
    return page


def _is_inside(ink: Ink, sheet: Ink) -> bool:
    """Whether all ink lies in holes of other ink, as on a small sheet on a table."""
    return bool(ink.any()) and not (ink > 0)[~scipy.ndimage.binary_fill_holes(sheet > 0)].any()


def _rarer(grey: Values) -> tuple[Mask, int]:
    """The rarer half of the lightness, and its sign: 1 where it is the lighter one."""
    is_light = grey > np.percentile(grey, (2, 98)).mean()
    return (~is_light, -1) if is_light.mean() > 0.5 else (is_light, 1)


def _is_cut_out(grey: Values) -> bool:
    """Whether all ink is one stroke from side to side of the picture, on one ground."""
    inked, _ = _rarer(grey)
    labels, count = scipy.ndimage.label(inked, np.ones((3, 3)))
    if not count or np.ptp(np.percentile(grey, (2, 98))) < 3 * MIN_CONTRAST:
        return False
    stroke = labels == np.bincount(labels[inked]).argmax()
    sides = [edge.any() for edge in (stroke[0], stroke[-1], stroke[:, 0], stroke[:, -1])]
    is_across = all(sides[:2]) or all(sides[2:])
    return bool(is_across and stroke.sum() > ALL * inked.sum() and slenderness(stroke) > SLENDER)


def _on_one_ground(grey: Values) -> Page:
    """Find ink on a ground that is the same everywhere."""
    inked, sign = _rarer(grey)
    ink = np.asarray(sign * (grey - np.median(grey[~inked])) / 255, np.float32)
    return _page(ink, 6 * float(np.median(np.abs(ink[np.abs(ink) < NOISE]))))


def _on_paper(grey: Values, sign: int) -> tuple[float, Page]:
    """Find dark ink on paper, or light ink on a board, and how much speaks for it."""
    light = grey if sign > 0 else 255 - grey
    paper = surface(light, beyond=sign < 0)
    # The share of the local light, since in shadow the same ink makes less of a difference.
    ink = np.asarray((paper - light) / np.maximum(paper, 32), np.float32)
    blank = ink[ink < BLANK]
    ink -= np.median(blank)
    # 4 standard deviations of Gaussian noise.
    page = _page(ink, 6 * np.median(np.abs(blank - np.median(blank))), light, paper)
    inked = page.ink > 80
    if not inked.any():
        return 0.0, page
    ground = paper[inked] if sign > 0 else 255 - paper[inked]
    ratio = np.abs(np.log((ground + 10) / (grey[inked] + 10))).mean()
    # As light as the paper is what lies between strokes, or between a stroke and a line.
    is_paper = sign < 0 and (np.abs(grey - np.median(grey[inked])) < ALIKE).mean() > PAPER
    return 0.0 if is_paper else float(ratio * slenderness(inked)), page


def _page(
    share: Values, noise: float, light: Values | None = None, paper: Values | None = None
) -> Page:
    """Bring ink, given as shares of the light, to full strength, and drop what is not writing."""
    nothing = Page(np.zeros(share.shape, np.uint8))
    # The ripples that JPEG leaves around strokes (measured: 6 % is best).
    noise = max(noise, 0.06 * float(share.max()))
    # A single pixel is no stroke.
    if scipy.ndimage.uniform_filter(share, 2).max() < max(MIN_CONTRAST / 255, 1.5 * noise):
        return nothing
    ink = np.where(share > noise, share - noise, 0)
    ink = np.where(writing(ink, light, paper), ink, 0)
    if not ink.any():
        return nothing
    ink *= 255 / np.percentile(ink[ink > 0], 99)
    strokes = np.asarray(np.rint(ink.clip(0, 255)), np.uint8)
    return Page(strokes, _obstacle(strokes > 0, light is not None))


def _obstacle(inked: Mask, is_photo: bool) -> str | None:
    """What may be in the way of reading ink that reaches the picture's border."""
    top, bottom, left, right = (
        bool(edge.any()) for edge in (inked[0], inked[-1], inked[:, 0], inked[:, -1])
    )
    if is_photo and ((top and bottom) or (left and right)):
        return LINES
    return EDGE if top or bottom or left or right else None
