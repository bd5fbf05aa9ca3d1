"""From pictures to ink, from ink to digits of MNIST's size and place, and what is no digit."""

from mnist_exp.handwriting._drawing import (
    SIDE,
    Ink,
    as_prepared,
    drawn_to_mnist,
    image_to_mnist,
    photo_to_ink,
    read_image,
    resized,
    to_mnist,
)
from mnist_exp.handwriting._non_digits import non_digits
from mnist_exp.handwriting._segments import split_digits

__all__ = [
    "SIDE",
    "Ink",
    "as_prepared",
    "drawn_to_mnist",
    "image_to_mnist",
    "non_digits",
    "photo_to_ink",
    "read_image",
    "resized",
    "split_digits",
    "to_mnist",
]
