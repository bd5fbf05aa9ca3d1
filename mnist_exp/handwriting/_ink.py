"""From a file to its picture, and from a photo, a scan or a drawing to the ink in it."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import scipy  # its parts are imported when they are first used
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mnist_exp.errors import UserError

Ink = NDArray[np.uint8]

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM")  # EPS would start Ghostscript
MAX_PIXELS = 64_000_000  # that are decoded; a small file can unpack to gigabytes
WORKING_SIDE = 400  # px; a larger picture says no more about a digit and takes 100 times as long
DEPTHS = 1, 255, 4095, 65535  # the lightest value of floats, and of 8, 12 and 16 bits
MIN_CONTRAST = 24  # of 255: paper texture and JPEG noise stay below, the faintest pencil above


def open_picture(file: BinaryIO) -> Image.Image:
    """Read the header of a picture, of any size, and decode nothing.

    `Image.open` would refuse a JPEG of 180 megapixels, and warn on stderr of one of 90. It does
    not know that JPEG can be reduced while it is decoded, and its limit holds for the whole
    process. So the reader of the format is called directly; the caller checks the size.

    Parameters
    ----------
    file : BinaryIO
        An open file, which must stay open until the picture is decoded.

    Returns
    -------
    Image.Image
        The picture with its size, not yet decoded.

    Raises
    ------
    UnidentifiedImageError
        If the file has none of the formats in `FORMATS`.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> file = io.BytesIO()
    >>> Image.new("1", (12_000, 8_000)).save(file, "PNG")
    >>> open_picture(file).size
    (12000, 8000)
    """
    Image.init()  # makes the formats known
    file.seek(0)
    start = file.read(16)
    file.seek(0)
    for read_header, accepts in (Image.OPEN[name] for name in FORMATS):
        if accepts is None or accepts(start):
            return read_header(file, "")
    raise UnidentifiedImageError(f"none of {', '.join(FORMATS)}")


def read_image(file: Path | BinaryIO, name: str | None = None) -> Image.Image:
    """Decode the picture in a file; a large JPEG is reduced while it is decoded.

    Parameters
    ----------
    file : Path or BinaryIO
        A PNG, JPEG, GIF, WebP, BMP, TIFF or PPM file.
    name : str, optional
        What messages call it; by default its path.

    Returns
    -------
    Image.Image
        The decoded picture, in the mode of the file.

    Raises
    ------
    UserError
        If the file cannot be read, or would unpack to more than `MAX_PIXELS`.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> file = io.BytesIO()
    >>> Image.new("L", (4000, 3000)).save(file, "JPEG")
    >>> read_image(file).size
    (2000, 1500)
    >>> read_image(io.BytesIO(b"hello"), "note.txt")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    mnist_exp.errors.UserError: note.txt: not a readable picture (none of PNG, JPEG, ...)
    """
    path = name or str(file)
    try:
        with file.open("rb") if isinstance(file, Path) else nullcontext(file) as opened:
            picture = open_picture(opened)
            picture.draft("L", (2 * WORKING_SIDE, 2 * WORKING_SIDE))  # a JPEG at 1/2, 1/4 or 1/8
            if picture.width * picture.height > MAX_PIXELS:
                raise UserError(
                    f"{path}: {picture.width}x{picture.height} pixels are more than {MAX_PIXELS:,}"
                )
            picture.load()
            return picture
    except (OSError, SyntaxError, ValueError, IndexError) as error:
        raise UserError(f"{path}: not a readable picture ({error})") from error


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
        White ink on black, at most 400 px a side; all zeros where there is hardly any contrast.

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
    grey = grey_values(image)
    light = grey if _has_light_ink(grey) else 255 - grey
    # Paper and shadows: a grey opening removes what is narrower than a third of the picture.
    window = max(3, min(grey.shape) // 3)
    smooth = scipy.ndimage.gaussian_filter(light, 1.5)
    paper = scipy.ndimage.uniform_filter(
        scipy.ndimage.grey_opening(smooth, (window, window)), window
    )
    ink = light - paper
    ink -= np.median(ink)
    # 4 standard deviations of Gaussian noise, or the ripples that JPEG leaves around strokes
    # (measured: 6 % is best).
    noise = max(6 * np.median(np.abs(ink)), 0.06 * ink.max())
    # A single pixel is no stroke.
    if scipy.ndimage.uniform_filter(ink, 2).max() < max(MIN_CONTRAST, 1.5 * noise):
        return np.zeros(grey.shape, np.uint8)
    # The share of the local light, since in shadow the same ink makes less of a difference.
    ink = np.where(_in_strokes(ink, noise), (ink - noise) / np.maximum(255 - paper, 32), 0)
    ink *= 255 / np.percentile(ink[ink > 0], 99)
    return np.asarray(np.rint(ink.clip(0, 255)), np.uint8)


def _in_strokes(ink: NDArray[np.float32], noise: float) -> NDArray[np.bool_]:
    """Mark connected ink, but no shade (below half the peak) and no speck (0.2 % of the most)."""
    parts, _ = scipy.ndimage.label(ink > noise, np.ones((3, 3)))
    sums = np.bincount(parts.ravel(), ink.ravel())
    strong = np.bincount(parts[ink > ink.max() / 2], minlength=len(sums)) > 0
    return np.asarray((strong & (sums > 0.002 * sums[1:].max()))[parts] & (parts > 0))


def grey_values(image: Image.Image) -> NDArray[np.float32]:
    """Return upright grey values 0..255, float32 (h, w), large pictures reduced by area.

    Transparent pictures lie on white, or on black if all their ink is light (drawn in dark mode).
    """
    image = ImageOps.exif_transpose(image)
    if image.mode[0] in "IF":  # 12 or 16 bits, or floating point
        values = np.nan_to_num(np.asarray(image, np.float32))
        values -= min(0, values.min())
        top = next((top for top in DEPTHS if values.max() <= top), values.max())
        grey = Image.fromarray(values * np.float32(255 / top))
    elif image.mode == "LAB":
        grey = image.getchannel(0)
    elif image.has_transparency_data:
        ink = image.convert("RGBA")
        alpha = np.asarray(ink.getchannel("A"), np.float32)
        is_light_on_nothing = (
            alpha.any()
            and np.median(border(alpha)) <= 127
            and np.average(np.asarray(ink.convert("L")), weights=alpha) > 160
        )
        paper = Image.new("RGBA", image.size, "black" if is_light_on_nothing else "white")
        grey = Image.alpha_composite(paper, ink).convert("L")
    else:
        grey = image.convert("L")
    return np.asarray(grey.reduce(-(-max(grey.size) // WORKING_SIDE)), np.float32)


def border(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the values of the outermost pixels."""
    return np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])


def _has_light_ink(grey: NDArray[np.float32]) -> bool:
    """Whether the picture leaves the plane through its border further upwards than downwards.

    A plane and not one value: a photo's light may change from side to side by more than faint ink.
    """
    y, x = np.indices(grey.shape, np.float32)
    terms = np.stack([np.ones_like(x), x, y], axis=-1)
    frame = np.ones(grey.shape, bool)
    frame[1:-1, 1:-1] = False
    plane, *_ = np.linalg.lstsq(terms[frame], grey[frame])
    above = grey - terms @ plane
    return bool(above.max() >= -above.min())
