"""From pictures to ink, from ink to digits that look like MNIST's, and what is no digit."""

from mnist_exp.handwriting._hands import usual_hands
from mnist_exp.handwriting._ink import Ink, ink_box, open_picture, photo_to_ink, read_image
from mnist_exp.handwriting._marks import looks_like_mark, mark_of
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
from mnist_exp.handwriting._segments import Piece, cut, joined, share, split_lines

__all__ = [
    "SIDE",
    "Ink",
    "Piece",
    "as_prepared",
    "cut",
    "drawn_to_mnist",
    "image_to_mnist",
    "ink_box",
    "joined",
    "looks_like_mark",
    "looks_like_mnist",
    "mark_of",
    "non_digits",
    "open_picture",
    "photo_to_ink",
    "read_image",
    "resized",
    "share",
    "split_lines",
    "to_mnist",
    "usual_hands",
]
