"""From a file to its picture, and from a picture to colours, whatever its mode and depth."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mnist_exp.errors import UserError

Values = NDArray[np.float32]

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM")  # EPS would start Ghostscript
MAX_PIXELS = 64_000_000  # that are decoded; a small file can unpack to gigabytes
WORKING_SIDE = 400  # px; a larger picture says no more about a digit and takes 100 times as long
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # as Pillow weighs red, green and blue
DEPTHS = 1, 255, 1023, 4095, 16383, 65535  # the lightest value of floats, and of 8 to 16 bits


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
    mnist_exp.errors.UserError: note.txt: not a readable picture (...): save it as JPEG or PNG
    """
    path = name or str(file)
    try:
        with file.open("rb") if isinstance(file, Path) else nullcontext(file) as opened:
            picture = open_picture(opened)
            picture.draft(None, (2 * WORKING_SIDE, 2 * WORKING_SIDE))  # a JPEG at 1/2, 1/4 or 1/8
            if picture.width * picture.height > MAX_PIXELS:
                raise UserError(
                    f"{path}: {picture.width}x{picture.height} pixels are more than {MAX_PIXELS:,}"
                )
            picture.load()
            return picture
    except (OSError, SyntaxError, ValueError, IndexError) as error:
        raise UserError(
            f"{path}: not a readable picture ({error}): save it as JPEG or PNG"
        ) from error


def colour_values(image: Image.Image) -> Values:
    """Return upright red, green and blue 0..255, float32 (h, w, 3); a large picture is reduced.

    Transparent pictures lie on white, or on black if all their ink is light (drawn in dark mode).
    """
    image = ImageOps.exif_transpose(image)
    if image.mode[0] in "IF":  # 12 or 16 bits, or floating point
        values = np.nan_to_num(np.asarray(image, np.float32))
        values -= min(0, values.min())
        top = next((top for top in DEPTHS if values.max() <= top), values.max())
        image = Image.fromarray(np.asarray(np.rint(values * np.float32(255 / top)), np.uint8))
    elif image.mode == "LAB":
        image = image.getchannel(0)
    elif image.has_transparency_data:
        ink = image.convert("RGBA")
        alpha = np.asarray(ink.getchannel("A"), np.float32)
        is_light_on_nothing = (
            alpha.any()
            and np.median(border(alpha)) <= 127
            and np.average(np.asarray(ink.convert("L")), weights=alpha) > 160
        )
        paper = Image.new("RGBA", image.size, "black" if is_light_on_nothing else "white")
        image = Image.alpha_composite(paper, ink)
    image = image.convert("RGB")
    scale = WORKING_SIDE / np.sqrt(image.width * image.height)
    if scale < 1:
        size = [max(1, round(length * scale)) for length in image.size]
        image = image.resize(size, Image.Resampling.BOX, reducing_gap=2)
    return np.asarray(image, np.float32)


def grey_values(image: Image.Image) -> Values:
    """Return upright grey values 0..255, float32 (h, w)."""
    return np.asarray(colour_values(image) @ LUMINANCE)


def border(values: NDArray[Any]) -> NDArray[Any]:
    """Return the values of the outermost pixels."""
    return np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
