"""From pictures to ink, from ink to digits that look like MNIST's, and what is no digit."""

from mnist_exp.handwriting._cuts import cut
from mnist_exp.handwriting._files import open_picture, read_image
from mnist_exp.handwriting._hands import usual_hands
from mnist_exp.handwriting._ink import Ink, Page, find_ink, ink_box, photo_to_ink
from mnist_exp.handwriting._marks import are_loose, long_mark_of, mark_of
from mnist_exp.handwriting._non_digits import non_digits
from mnist_exp.handwriting._normalize import (
    SIDE,
    as_prepared,
    drawn_to_mnist,
    image_to_mnist,
    looks_like_mnist,
    resized,
    to_mnist,
)
from mnist_exp.handwriting._pages import read_pages
from mnist_exp.handwriting._segments import (
    Piece,
    are_tangled,
    joined,
    share,
    shared_rows,
    split_lines,
)

__all__ = [
    "SIDE",
    "Ink",
    "Page",
    "Piece",
    "are_loose",
    "are_tangled",
    "as_prepared",
    "cut",
    "drawn_to_mnist",
    "find_ink",
    "image_to_mnist",
    "ink_box",
    "joined",
    "long_mark_of",
    "looks_like_mnist",
    "mark_of",
    "non_digits",
    "open_picture",
    "photo_to_ink",
    "read_image",
    "read_pages",
    "resized",
    "share",
    "shared_rows",
    "split_lines",
    "to_mnist",
    "usual_hands",
]
