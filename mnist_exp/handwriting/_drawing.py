"""A photo, a scan or a stroke -> 28x28 as MNIST was made.

LeCun, Bottou, Bengio and Haffner (1998, "Gradient-based learning applied to document recognition",
section III.A): the digit fitted into 20x20 pixels without changing its proportions, grey by anti-
aliasing, then placed with its centre of mass at the centre of 28x28. Read off the files: the
longest side is 20 px, the peak 254 or 255, and the centre of mass lies within half a pixel of index
14.0, that is, images were moved by whole pixels.
"""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy import ndimage

from mnist_exp.errors import UserError

SIDE = 28
BOX = 20
CENTRE = 14.0
MIN_CONTRAST = 24  # of 255: paper texture and JPEG noise stay below, the faintest pencil above
MAX_PIXELS = (
    64_000_000  # after a JPEG was reduced while decoding; a small file can unpack to gigabytes
)
FORMATS = (
    "PNG",
    "JPEG",
    "GIF",
    "WEBP",
    "BMP",
    "TIFF",
    "PPM",
)  # not EPS, which would start Ghostscript
Image.MAX_IMAGE_PIXELS = (
    None  # Pillow's own limit knows nothing of reducing while decoding, and warns on stderr
)
WORKING_SIDE = (
    400  # px; a 12-megapixel photo says no more about a digit, and takes 100 times as long
)

STROKE = 2.95  # px of a stroke's width at MNIST's size: the median of the training images
USUAL = (
    0.75,
    1.4,
)  # times that width; what lies outside was drawn with another pen, and is brought to it
FINE = 4  # working pixels per MNIST pixel when a stroke's width is measured and changed

Ink = NDArray[np.uint8]


def read_image(file: Path | BinaryIO, name: str | None = None) -> Image.Image:
    """The picture in a file, decoded; UserError names a file that is broken or would unpack to an
    absurd size.
    """
    path = name or str(file)
    try:
        with Image.open(file, formats=FORMATS) as image:
            image.draft(
                "L", (2 * WORKING_SIDE, 2 * WORKING_SIDE)
            )  # lets JPEG decode at a half, a quarter or an eighth
            if image.width * image.height > MAX_PIXELS:
                raise UserError(
                    f"{path}: {image.width}x{image.height} pixels are more than {MAX_PIXELS:,}"
                )
            image.load()
            return image
    except (
        UnidentifiedImageError
    ) as error:  # its own text names a temporary file, or an object in memory
        raise UserError(f"{path}: not a readable picture (none of {', '.join(FORMATS)})") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: not a readable picture ({error})") from error


def image_to_mnist(image: Image.Image) -> Ink:
    """A picture -> uint8 (28, 28), white ink on black.

    A 28x28 picture with a dark border is taken for one that was prepared already, and left as it
    is: fitting it into 20x20 again would shrink what fills its frame on purpose (Fashion-MNIST).
    """
    prepared = as_prepared(image)
    return to_mnist(photo_to_ink(image)) if prepared is None else prepared


def as_prepared(image: Image.Image) -> Ink | None:
    """The values of a picture that is 28x28 with a dark border; None for any other."""
    if image.size != (SIDE, SIDE):
        return None
    grey = _grey(image)
    return np.rint(grey).astype(np.uint8) if np.median(_border(grey)) < 128 else None


def to_mnist(ink: NDArray[np.uint8] | NDArray[np.floating]) -> Ink:
    """White ink on black (h, w), any scale -> uint8 (28, 28) with MNIST's size, place and peak;
    blank stays blank.
    """
    rows, columns = np.flatnonzero((ink > 0).any(axis=1)), np.flatnonzero((ink > 0).any(axis=0))
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    if not rows.size:
        return canvas
    digit = _fit(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32))
    height, width = digit.shape
    y, x = ndimage.center_of_mass(digit)
    top = int(np.clip(round(CENTRE - y), 0, SIDE - height))
    left = int(np.clip(round(CENTRE - x), 0, SIDE - width))
    canvas[top : top + height, left : left + width] = np.rint(digit * (255 / digit.max()))
    return canvas


def drawn_to_mnist(ink: Ink) -> Ink:
    """As `to_mnist`, with very thin and very thick strokes brought to the width that MNIST's pens
    had.
    """
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not rows.size:
        return np.zeros((SIDE, SIDE), np.uint8)
    box = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = FINE * BOX / max(box.shape)
    size = (max(1, round(box.shape[1] * scale)), max(1, round(box.shape[0] * scale)))
    margin = FINE * 2
    fine = np.pad(np.asarray(Image.fromarray(box).resize(size, Image.Resampling.BICUBIC)), margin)
    drawn = fine > 127
    if not drawn.any():
        return to_mnist(ink)
    inside = ndimage.distance_transform_edt(drawn)
    width = (
        4 * inside[drawn].mean() / FINE
    )  # across a stroke, the distance to its edge rises to a half and falls
    if USUAL[0] * STROKE <= width <= USUAL[1] * STROKE:
        return to_mnist(ink)
    edge = inside - ndimage.distance_transform_edt(~drawn) + (STROKE - width) * FINE / 2
    return to_mnist(np.clip(edge + 0.5, 0, 1))


def _fit(digit: NDArray[np.float32]) -> NDArray[np.float32]:
    """Resample so that the longest side is 20 px: by area when shrinking, bicubic (cut at 0) when
    enlarging.
    """
    height, width = digit.shape
    scale = BOX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(digit).resize(size, method)).clip(0)


def resized(images: Ink, shape: tuple[int, ...]) -> Ink:
    """Images (n, h, w) at the size of those that a model knows, by area."""
    if images.shape[1:] == shape:
        return images
    size = shape[1], shape[0]
    return np.stack(
        [np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)) for image in images]
    )


def photo_to_ink(image: Image.Image) -> Ink:
    """A picture of dark or light strokes -> uint8 (h, w), white ink on black; all zeros if it has
    hardly any contrast.

    The result is smaller than the picture where that has more than 400 px a side.
    """
    grey = _grey(image)
    light = grey if _has_light_ink(grey) else 255 - grey
    paper = _background(light)
    ink = light - paper
    ink -= np.median(ink)
    # 4 standard deviations of Gaussian noise, or the ripples that JPEG leaves around strokes (measured: 6 % is best)
    noise = max(6 * np.median(np.abs(ink)), 0.06 * ink.max())
    if ndimage.uniform_filter(ink, 2).max() < max(
        MIN_CONTRAST, 1.5 * noise
    ):  # a single pixel is no stroke
        return np.zeros(grey.shape, np.uint8)
    # The share of the local light, since in shadow the same ink makes less of a difference.
    ink = np.where(_strokes(ink, noise), (ink - noise) / np.maximum(255 - paper, 32), 0)
    ink *= 255 / np.percentile(ink[ink > 0], 99)
    return np.asarray(np.rint(ink.clip(0, 255)), np.uint8)


def _strokes(ink: NDArray[np.float32], noise: float) -> NDArray[np.bool_]:
    """Where connected ink is neither shade (nowhere half as strong as the peak) nor a speck (2 % of
    the largest).
    """
    parts, count = ndimage.label(ink > noise, np.ones((3, 3)))
    sums = np.bincount(parts.ravel(), ink.ravel())
    drawn = np.zeros(count + 1, bool)
    drawn[parts[ink > ink.max() / 2]] = True
    drawn &= sums > 0.02 * sums[1:].max()
    drawn[0] = False  # the paper
    return np.asarray(drawn[parts])


def _grey(image: Image.Image) -> NDArray[np.float32]:
    """Upright grey values 0..255, float32 (h, w), large pictures reduced by area.

    Alpha goes onto white, or onto black where there is nothing but light ink (drawn in an
    application's dark mode).
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits
        grey = Image.fromarray((np.asarray(image) / 257).astype(np.float32))
    elif image.has_transparency_data:
        ink = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "black" if _is_light_on_nothing(ink) else "white")
        grey = Image.alpha_composite(paper, ink).convert("L")
    else:
        grey = image.convert("L")
    return np.asarray(grey.reduce(-(-max(grey.size) // WORKING_SIDE)), np.float32)


def _is_light_on_nothing(image: Image.Image) -> bool:
    alpha = np.asarray(image.getchannel("A"), np.float32)
    if not alpha.any() or np.median(_border(alpha)) > 127:
        return False
    return bool(np.average(np.asarray(image.convert("L")), weights=alpha) > 160)


def _border(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """The values of the outermost pixels."""
    return np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])


def _has_light_ink(grey: NDArray[np.float32]) -> bool:
    """Whether the picture leaves the plane through its border further upwards than downwards.

    A plane and not one value, since a photo's lighting may change from side to side by more than
    faint ink does.
    """
    y, x = np.indices(grey.shape, np.float32)
    terms = np.stack([np.ones_like(x), x, y], axis=-1)
    frame = np.zeros(grey.shape, bool)
    frame[[0, -1]] = frame[:, [0, -1]] = True
    plane, *_ = np.linalg.lstsq(terms[frame], grey[frame])
    above = grey - terms @ plane
    return bool(above.max() >= -above.min())


def _background(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Paper and shadows: what a grey opening leaves of a picture without all that is narrower than
    a third of it.
    """
    window = max(3, min(grey.shape) // 3)
    paper = ndimage.grey_opening(ndimage.gaussian_filter(grey, 1.5), (window, window))
    return np.asarray(ndimage.uniform_filter(paper, window))
