"""Pictures to and from the browser: what arrives is anything at all until it has been checked."""

import base64
import binascii
import io
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_exp.errors import UserError
from mnist_exp.handwriting import Ink, read_image
from mnist_exp.report.page import data_uri

WIDTH, HEIGHT = 420, 300  # the canvas, as in canvas.html
MAX_TEXT = 400_000  # characters of a drawing's data URI; noise on the whole canvas has fewer
# What a PNG of the canvas begins with: 8 bits for each of red, green, blue and alpha.
_HEADER = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBB", 13, b"IHDR", WIDTH, HEIGHT, 8, 6)


def drawing_ink(value: object) -> Ink:
    """The ink (h, w) of a canvas, the alpha of a PNG in a data URI; UserError for anything else."""
    if not value:
        return np.zeros((HEIGHT, WIDTH), np.uint8)
    if not isinstance(value, str) or not value.startswith(data_uri(b"")):
        raise UserError("a drawing is a PNG in a data URI")
    if len(value) > MAX_TEXT:
        raise UserError(f"a drawing has at most {MAX_TEXT:,} characters")
    try:
        content = base64.b64decode(value.removeprefix(data_uri(b"")), validate=True)
    except binascii.Error as error:
        raise UserError("the drawing is not base64") from error
    if not content.startswith(_HEADER):
        raise UserError(f"a drawing is an RGBA picture of {WIDTH}x{HEIGHT} pixels")
    return np.asarray(read_image(io.BytesIO(content), "the drawing").getchannel("A"))


def as_drawing(ink: NDArray[np.uint8]) -> str:
    """Ink (h, w) in the middle of a canvas that a browser shows, scaled to fit."""
    image = Image.fromarray(ink)
    scale = min((WIDTH - 40) / image.width, (HEIGHT - 40) / image.height)
    width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    left, top = (WIDTH - width) // 2, (HEIGHT - height) // 2
    canvas = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    alpha = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
    canvas[top : top + height, left : left + width, 3] = alpha
    return picture_uri(canvas)


def picture_uri(pixels: NDArray[np.uint8]) -> str:
    """Grey (h, w), RGB or RGBA (h, w, 3 or 4) pixels as a PNG in a data URI."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return data_uri(file.getvalue())
