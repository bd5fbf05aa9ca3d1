"""Stratified, seeded subsamples, and the validation split."""

from typing import Any

import numpy as np

from mnist_exp.data._dataset import Dataset, Images, Labels, Part, Source, Split
from mnist_exp.errors import UserError

# Streams of random numbers under one seed: a draw from one part says nothing about the other.
_STREAMS = {"train": 0, "test": 1, "part": 2}


def load(
    source: Source,
    *,
    train_size: int | None = None,
    val_size: int | None = None,
    test_size: int | None = None,
    split_seed: int = 0,
    with_test: bool = True,
) -> Dataset:
    """Read a source and cut its splits, stratified and seeded.

    `val_size` images are taken out of the training part, then `train_size` out of what remains;
    `test_size` out of the test part. Every class keeps its share, to the nearest image, and at
    least one image. Rows stay in the source's order. The validation images of a seed do not depend
    on the other sizes, nor do the training images as long as validation leaves enough.

    Parameters
    ----------
    source : Source
        Where the images come from.
    train_size, test_size : int, optional
        How many images; by default all.
    val_size : int, optional
        How many images; by default there is no validation split.
    split_seed : int
        Decides which images.
    with_test : bool
        Without it the test part is not read.

    Returns
    -------
    Dataset
        The splits.

    Raises
    ------
    UserError
        For a size or seed out of range, and for data that cannot be read.

    Examples
    --------
    >>> from mnist_exp.data import digits, load
    >>> dataset = load(digits(), train_size=100, with_test=False)
    >>> dataset.train.images.shape
    (100, 28, 28)
    """
    if type(split_seed) is not int or split_seed < 0:
        raise UserError(f"dataset.split_seed={split_seed}: must be a whole number, 0 or more")
    classes = source.classes()
    images, labels = _read(source, "train", split_seed, len(classes))
    val, train = _cut_training(labels, len(classes), train_size, val_size, split_seed)
    return Dataset(
        source.name,
        classes,
        train=_take(images, labels, train),
        val=_take(images, labels, val) if len(val) else None,
        test=_test(source, len(classes), images.shape[1:], test_size, split_seed)
        if with_test
        else None,
    )


def part_rows(labels: Labels, test_fraction: float, split_seed: int) -> dict[Part, Labels]:
    """Return rows for training and for testing of data in one part, stratified, ascending."""
    counts = np.bincount(labels)
    room = counts - 1
    size = int(np.clip(round(test_fraction * len(labels)), np.count_nonzero(room), room.sum()))
    shuffled = _shuffled_by_class(labels, len(counts), split_seed, "part")
    test = _draw(shuffled, _quota(counts, size, room))
    return {"train": np.setdiff1d(np.arange(len(labels)), test, assume_unique=True), "test": test}


def _read(source: Source, part: Part, split_seed: int, n_classes: int) -> tuple[Images, Labels]:
    images, labels = source.part(part, split_seed)
    present = np.unique(labels)
    outside = present[(present < 0) | (present >= n_classes)]
    if outside.size:
        raise UserError(
            f"dataset {source.name}: label {outside[0]} in its {part} part; "
            f"classes are 0 to {n_classes - 1}"
        )
    wanted = max(2, n_classes)
    if part == "train" and len(present) < wanted:
        raise UserError(
            f"dataset {source.name}: training images of {len(present)} of {wanted} classes"
        )
    return images, labels


def _test(
    source: Source, n_classes: int, image_shape: tuple[int, ...], size: int | None, split_seed: int
) -> Split:
    images, labels = _read(source, "test", split_seed, n_classes)
    if images.shape[1:] != image_shape:
        raise UserError(
            f"dataset {source.name}: test images are {images.shape[1:]}, "
            f"training images {image_shape} pixels"
        )
    counts = np.bincount(labels, minlength=n_classes)
    size = _checked("test_size", size, int(np.count_nonzero(counts)), len(labels), "all")
    shuffled = _shuffled_by_class(labels, n_classes, split_seed, "test")
    return _take(images, labels, _draw(shuffled, _quota(counts, size or len(labels), room=counts)))


def _cut_training(
    labels: Labels, n_classes: int, train_size: int | None, val_size: int | None, split_seed: int
) -> tuple[Labels, Labels]:
    """Rows for validation and training, from the two ends of each class's shuffled images."""
    counts = np.bincount(labels, minlength=n_classes)
    val_size = _checked("val_size", val_size, n_classes, len(labels) - n_classes, "none") or 0
    val_quota = _quota(counts, val_size, room=counts - 1) if val_size else np.zeros_like(counts)
    left = len(labels) - val_size
    why = f", since {val_size} of the {len(labels)} are for validation" if val_size else ""
    train_size = _checked("train_size", train_size, n_classes, left, "all", why)
    train_quota = _quota(counts, train_size or left, room=counts - val_quota)
    shuffled = _shuffled_by_class(labels, n_classes, split_seed, "train")
    return _draw(shuffled, val_quota), _draw([rows[::-1] for rows in shuffled], train_quota)


def _checked(
    key: str, size: Any, lowest: int, highest: int, null: str, why: str = ""
) -> int | None:
    if size is None or (type(size) is int and lowest <= size <= highest):
        return size
    raise UserError(
        f"dataset.{key}={size}: must be null ({null}) or a whole number "
        f"from {lowest} (one image per class) to {highest}{why}"
    )


def _quota(counts: Labels, size: int, room: Labels) -> Labels:
    """How many images of each class make `size`: the largest remainders of the exact shares.

    Each class gets at least one image, and at most its room.
    """
    share, n = counts * size, counts.sum()  # in n-ths of an image, so that everything stays exact
    lowest = np.minimum(1, room)
    quota: Labels = np.clip(share // n, lowest, room)
    while missing := int(np.sign(size - quota.sum())):
        movable = quota < room if missing > 0 else quota > lowest
        owed = np.where(movable, (share - quota * n) * missing, np.iinfo(np.int64).min)
        quota[np.argmax(owed)] += missing
    return quota


def _shuffled_by_class(
    labels: Labels, n_classes: int, split_seed: int, stream: str
) -> list[Labels]:
    """The rows of each class in random order."""
    order = np.random.default_rng([split_seed, _STREAMS[stream]]).permutation(len(labels))
    grouped = order[np.argsort(labels[order], kind="stable")]
    return np.split(grouped, np.cumsum(np.bincount(labels, minlength=n_classes))[:-1])


def _draw(by_class: list[Labels], quota: Labels) -> Labels:
    """The first rows of each class, as many as its quota says, in ascending order."""
    return np.sort(np.concatenate([rows[:n] for rows, n in zip(by_class, quota, strict=True)]))


def _take(images: Images, labels: Labels, rows: Labels) -> Split:
    if len(rows) == len(labels):  # everything, so a memory map stays one
        return Split(images, labels, rows)
    return Split(images[rows], labels[rows], rows)
