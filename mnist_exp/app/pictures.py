"""Pictures to and from the browser: what arrives is anything at all until it was checked."""

import base64
import binascii
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_exp.errors import UserError
from mnist_exp.handwriting import Ink, open_picture, read_image

WIDTH, HEIGHT = 420, 300  # the canvas, as in canvas.html
MAX_TEXT = 400_000  # characters of a drawing's data URI; noise on the whole canvas has fewer
_PREFIX = "data:image/png;base64,"


def drawing_ink(value: object) -> Ink:
    """The ink (h, w) of a canvas: the alpha channel of a PNG in a data URI; UserError for whatever
    is none.
    """
    if not value:
        return np.zeros((HEIGHT, WIDTH), np.uint8)
    if not isinstance(value, str) or not value.startswith(_PREFIX):
        raise UserError("a drawing is a PNG in a data URI")
    if len(value) > MAX_TEXT:
        raise UserError(f"a drawing has at most {MAX_TEXT:,} characters")
    try:
        content = base64.b64decode(value[len(_PREFIX) :], validate=True)
    except binascii.Error as error:
        raise UserError("the drawing is not base64") from error
    with open_picture(io.BytesIO(_png(content))) as image:
        if image.size != (WIDTH, HEIGHT) or image.mode != "RGBA":
            raise UserError(f"a drawing is an RGBA picture of {WIDTH}x{HEIGHT} pixels")
    return np.asarray(read_image(io.BytesIO(content), "the drawing").getchannel("A"))


def _png(content: bytes) -> bytes:
    if (
        not content.startswith(b"\x89PNG\r\n\x1a\n")
        or content[12:16] != b"IHDR"
        or len(content) < 33
    ):
        raise UserError("the drawing is not a PNG")
    return content


def as_drawing(ink: NDArray[np.uint8]) -> str:
    """Ink (h, w) in the middle of a canvas that a browser shows, scaled to fit."""
    image = Image.fromarray(ink)
    scale = min((WIDTH - 40) / image.width, (HEIGHT - 40) / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    alpha = Image.new("L", (WIDTH, HEIGHT))
    alpha.paste(
        image.resize(size, Image.Resampling.BICUBIC),
        ((WIDTH - size[0]) // 2, (HEIGHT - size[1]) // 2),
    )
    canvas = Image.new("RGBA", (WIDTH, HEIGHT))
    canvas.putalpha(alpha)
    return data_uri(canvas)


def data_uri(image: Image.Image) -> str:
    """A picture as text that a page can show without asking for a file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return _PREFIX + base64.b64encode(file.getvalue()).decode()


def grey_uri(pixels: NDArray[np.uint8]) -> str:
    """Grey pixels (h, w) as a data URI."""
    return data_uri(Image.fromarray(pixels))
