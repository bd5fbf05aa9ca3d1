"""From ink to 28x28 as MNIST was made.

LeCun, Bottou, Bengio and Haffner (1998, "Gradient-based learning applied to document recognition",
section III.A): the digit is fitted into 20x20 pixels without changing its proportions, grey by
anti-aliasing, then placed with its centre of mass at the centre of 28x28. Read off the files: the
longest side is 20 px, the peak 254 or 255, and the centre of mass lies within half a pixel of
index 14.0, that is, images were moved by whole pixels.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray
from PIL import Image

from mnist_exp.handwriting._files import border, grey_values
from mnist_exp.handwriting._ink import Ink, ink_box, photo_to_ink

SIDE = 28
BOX = 20
CENTRE = 14.0

GROUND = 0.63  # the least share of an image that is black

STROKE = 2.95  # px of a stroke's width at MNIST's size: the median of the training images
USUAL = (0.75, 1.4)  # times that width; thinner and thicker strokes are brought to it
FINE = 4  # working pixels per MNIST pixel when a stroke's width is measured and changed


def image_to_mnist(image: Image.Image) -> Ink:
    """Bring a picture of one digit to MNIST's look.

    A 28x28 picture with a dark border is taken for one that was prepared already, and left as it
    is: fitting it into 20x20 again would shrink what fills its frame on purpose (Fashion-MNIST).

    Parameters
    ----------
    image : Image.Image
        A photo, a scan or a drawing of one digit.

    Returns
    -------
    array of shape (28, 28), uint8
        White ink on black.

    Examples
    --------
    >>> from PIL import Image, ImageDraw
    >>> paper = Image.new("L", (300, 200), 255)
    >>> ImageDraw.Draw(paper).line((150, 40, 150, 160), 0, 12)
    >>> image = image_to_mnist(paper)
    >>> image.shape, image.max()
    ((28, 28), np.uint8(255))
    """
    prepared = as_prepared(image)
    return to_mnist(photo_to_ink(image)) if prepared is None else prepared


def as_prepared(image: Image.Image) -> Ink | None:
    """Return the values of a picture that is 28x28 with a dark border, or None for any other.

    Parameters
    ----------
    image : Image.Image
        Any picture.

    Returns
    -------
    array of shape (28, 28), uint8, or None
        Its grey values as they are.

    Examples
    --------
    >>> from PIL import Image
    >>> as_prepared(Image.new("L", (28, 28))).shape
    (28, 28)
    >>> as_prepared(Image.new("L", (28, 28), "white")) is None
    True
    """
    if image.size != (SIDE, SIDE):
        return None
    grey = grey_values(image)
    return np.rint(grey).astype(np.uint8) if np.median(border(grey)) < 128 else None


def looks_like_mnist(image: Ink) -> bool:
    """Tell whether a picture is of MNIST's size, place and peak, as all but 1 in 1,000 of it are.

    Parameters
    ----------
    image : array of shape (28, 28), uint8
        White ink on black.

    Returns
    -------
    bool
        Whether the ink is 20 px long, centred, of full strength and on black.

    Examples
    --------
    >>> import numpy as np
    >>> ink = np.zeros((28, 28), np.uint8)
    >>> ink[8:14, 3:6] = 255
    >>> looks_like_mnist(ink), looks_like_mnist(to_mnist(ink))
    (False, True)
    """
    longest = max(image[ink_box(image)].shape)
    if longest not in (BOX - 1, BOX) or image.max() < 254 or (image == 0).mean() < GROUND:
        return False
    place = np.array(scipy.ndimage.center_of_mass(image))
    return bool(abs(place - CENTRE).max() < 0.52)


def to_mnist(ink: NDArray[np.uint8] | NDArray[np.floating]) -> Ink:
    """Bring ink to MNIST's size, place and peak.

    Parameters
    ----------
    ink : array of shape (h, w)
        White ink on black, of any scale.

    Returns
    -------
    array of shape (28, 28), uint8
        The ink fitted into 20x20 px, its centre of mass at (14, 14); blank stays blank.

    Examples
    --------
    >>> import numpy as np
    >>> ink = np.zeros((300, 200))
    >>> ink[200:260, 150:180] = 0.7
    >>> image = to_mnist(ink)
    >>> ink_box(image)
    (slice(4, 24, None), slice(9, 19, None))
    """
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    box = ink[ink_box(ink)]
    if box.size:
        method = Image.Resampling.BOX if max(box.shape) > BOX else Image.Resampling.BICUBIC
        digit = _fitted(box.astype(np.float32), BOX, method).clip(0)
        place = []
        for mass, length in zip(scipy.ndimage.center_of_mass(digit), digit.shape, strict=True):
            start = int(np.clip(round(CENTRE - mass), 0, SIDE - length))
            place.append(slice(start, start + length))
        canvas[tuple(place)] = np.rint(digit * (255 / digit.max()))
    return canvas


def drawn_to_mnist(ink: Ink) -> Ink:
    """Bring drawn ink to MNIST's look: as `to_mnist`, with the stroke as wide as MNIST's pens.

    Parameters
    ----------
    ink : array of shape (h, w), uint8
        White ink on black.

    Returns
    -------
    array of shape (28, 28), uint8
        The digit, all of its strokes about as wide as MNIST's.

    Examples
    --------
    >>> import numpy as np
    >>> ink = np.zeros((200, 200), np.uint8)
    >>> ink[40:160, 99:101] = 255
    >>> for image in (to_mnist(ink), drawn_to_mnist(ink)):
    ...     print(image[14, 11:18])
    [  0   0   0 255   0   0   0]
    [  0   0   0 255 246   0   0]

    """
    box = ink[ink_box(ink)]
    if not box.size:
        return to_mnist(ink)
    fine = np.pad(_fitted(box, FINE * BOX, Image.Resampling.BICUBIC), FINE * 2)
    drawn = fine > 127
    inside = scipy.ndimage.distance_transform_edt(drawn)
    # Across a stroke the distance to its edge rises to half its width and falls again, so that its
    # mean is a quarter of the width.
    width = 4 * inside[drawn].mean() / FINE if drawn.any() else STROKE
    if USUAL[0] * STROKE <= width <= USUAL[1] * STROKE:
        return to_mnist(ink)
    outside = scipy.ndimage.distance_transform_edt(~drawn)
    return to_mnist(np.clip(inside - outside + (STROKE - width) * FINE / 2 + 0.5, 0, 1))


def resized(images: Ink, shape: tuple[int, ...]) -> Ink:
    """Bring images to the size of those that a model knows, by area.

    Parameters
    ----------
    images : array of shape (n, h, w), uint8
        Images of one size.
    shape : tuple of int
        Height and width wanted.

    Returns
    -------
    array of shape (n, *shape), uint8
        The images resampled; a copy where they have that size.

    Examples
    --------
    >>> import numpy as np
    >>> resized(np.zeros((5, 28, 28), np.uint8), (8, 8)).shape
    (5, 8, 8)
    """
    return np.stack([_resampled(image, shape, Image.Resampling.BOX) for image in images])


def _fitted(box: NDArray[Any], side: int, method: Image.Resampling) -> NDArray[Any]:
    """Resample so that the longest side has `side` px and the proportions stay."""
    scale = side / max(box.shape)
    return _resampled(box, [max(1, round(length * scale)) for length in box.shape], method)


def _resampled(image: NDArray[Any], shape: Iterable[int], method: Image.Resampling) -> NDArray[Any]:
    return np.asarray(Image.fromarray(image).resize(list(shape)[::-1], method))
