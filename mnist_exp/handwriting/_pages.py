"""The pages of a picture: of a scanned TIFF, or the frames of a GIF."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO

from PIL import Image

from mnist_exp.errors import UserError
from mnist_exp.handwriting._files import MAX_PIXELS, read_image

PAGED = "TIFF", "GIF", "WEBP", "PNG"  # the second picture in a phone's JPEG is a preview
DAMAGED = (OSError, EOFError, SyntaxError, TypeError, ValueError, IndexError)  # as Pillow says it


def read_pages(file: BinaryIO, name: str) -> Iterator[tuple[str, Callable[[], Image.Image]]]:
    """Yield a name for each page of a picture, and what decodes it.

    Parameters
    ----------
    file : BinaryIO
        An open file, which must stay open until the last page is decoded.
    name : str
        What the picture is called.

    Yields
    ------
    str, callable
        The name, with the page's number from 1 where there are several; and a function that
        returns the page, or raises UserError.

    Raises
    ------
    UserError
        If it is no picture.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> file, pages = io.BytesIO(), [Image.new("L", (8, 8), grey) for grey in (9, 90)]
    >>> pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    >>> [(name, page().getpixel((0, 0))) for name, page in read_pages(file, "scan.tif")]
    [('scan.tif[1]', 9), ('scan.tif[2]', 90)]
    """
    picture = read_image(file, name)
    try:
        n_pages = getattr(picture, "n_frames", 1) if picture.format in PAGED else 1
    except DAMAGED as error:
        raise UserError(f"{name}: its list of pages is damaged ({error})") from error
    for number in range(n_pages):
        title = f"{name}[{number + 1}]" if n_pages > 1 else name
        yield title, partial(_page, picture, number, title)


def _page(picture: Image.Image, number: int, title: str) -> Image.Image:
    try:
        picture.seek(number)
        if picture.width * picture.height > MAX_PIXELS:
            raise UserError(
                f"{title}: {picture.width}x{picture.height} pixels are more than {MAX_PIXELS:,}"
            )
        picture.load()
    except DAMAGED as error:
        raise UserError(f"{title}: not a readable page ({error})") from error
    return picture
