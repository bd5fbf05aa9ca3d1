"""From arrays of any type and layout to images (n, h, w), uint8, and labels; and their parts."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_exp.data._dataset import Images, Labels, Part, Source, log_once
from mnist_exp.data._splits import part_rows
from mnist_exp.errors import UserError

Values = NDArray[Any]

_PARTS = {"train": "train", "training": "train", "test": "test", "testing": "test", "t10k": "test"}
_PARTS |= dict.fromkeys(("val", "valid", "validation"), "val")
_ROLES = dict.fromkeys(
    ("x", "image", "images", "img", "imgs", "picture", "pictures", "data", "pixels"), "images"
) | dict.fromkeys(("y", "label", "labels", "target", "targets", "class", "digit"), "labels")
_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601, as Pillow's
_CHANNELS = (), (1,), (3,), (4,)


def part_of(name: str) -> str | None:
    """The part that a name speaks of: train, test or val, as in `x_train` or `t10k-images`."""
    return next((_PARTS[word] for word in _words(name) if word in _PARTS), None)


def as_parts(groups: Mapping[str | None, Any]) -> dict[Part, Any]:
    """Make the test part of the validation part where there is none, and say what is left out.

    What names no part is the training part, if nothing else is.
    """
    train = "train" if "train" in groups else None
    test = "test" if "test" in groups else "val"
    if unused := groups.keys() - {train, test}:
        log_once(f"left out, since train and {test} are there: {', '.join(map(str, unused))}")
    if train in groups and test in groups:
        return {"train": groups[train], "test": groups[test]}
    alone = train if train in groups else test
    return {"train": groups[alone]} if alone in groups else {}


def role_of(name: str) -> str | None:
    """Whether a name speaks of `images` or of `labels`; the last word that does decides."""
    return next((_ROLES[word] for word in reversed(_words(name)) if word in _ROLES), None)


def _words(name: str) -> list[str]:
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()
    spaced = re.sub(r"\b([xy])(train|test|val)", r"\1 \2", spaced)
    return re.findall(r"t10k|[a-z]+", spaced)


def as_images(values: Values, shape: tuple[int, int] | None, where: str) -> Images:
    """Return uint8 (n, h, w) of flat rows, images, or images with channels, from 0..255 or 0..1."""
    if values.ndim == 4 and values.shape[3] not in (1, 3, 4):
        values = np.moveaxis(values, 1, 3)  # channels first
    if values.ndim == 2 and values.size:
        values = values.reshape(len(values), *_shape(values.shape[1], shape, where))
    if values.ndim not in (3, 4) or not values.size or values.shape[3:] not in _CHANNELS:
        sides = " x ".join(map(str, values.shape)) or "one number"
        raise UserError(f"{where}: an array of {sides} holds no images")
    grey_levels = _as_bytes(values, where)
    if values.ndim == 3:
        return grey_levels
    if values.shape[3] == 1:
        return grey_levels[..., 0]
    return np.asarray(np.rint(grey_levels[..., :3] @ _GREY), np.uint8)


def _as_bytes(values: Values, where: str) -> Images:
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind not in "biuf":
        raise UserError(f"{where}: pixels are numbers from 0 to 255, not {values.dtype}")
    good = (values >= 0) & (values <= 255)
    if not good.all():
        place = tuple(np.argwhere(~good)[0])
        raise UserError(
            f"{where}: row {place[0] + 1} has a pixel of {values[place]}; "
            "pixels are 0 to 255, or 0 to 1 with fractions"
        )
    scale = 255 if values.dtype.kind in "bf" and values.max() <= 1 else 1
    return np.rint(np.multiply(values, scale, dtype=np.float32)).astype(np.uint8)


def as_labels(values: Values, where: str) -> Values:
    """Return int64 (n,), or text (n,) where the labels are names.

    Of several columns the first holds the labels, unless each class has a column of its own.
    """
    if values.ndim > 1:
        columns = values.reshape(len(values), -1)
        values = columns.argmax(1) if _is_one_hot(columns) else columns[:, 0]
    if values.dtype.kind not in "biuf":
        text = np.char.strip(values.astype(str))
        if (text == "").any():
            raise UserError(f"{where}: row {int(np.argmax(text == '')) + 1} has no label")
        if not np.char.isdecimal(np.char.lstrip(text, "-")).all():
            return text
        values = text.astype(np.int64)
    bad = (values < 0) | (values != np.floor(values))
    if bad.any():
        row = int(np.argmax(bad))
        raise UserError(
            f"{where}: row {row + 1} has the label {values[row]}; "
            "labels are whole numbers from 0, or names"
        )
    return values.astype(np.int64)


def _is_one_hot(columns: Values) -> bool:
    is_numeric = columns.shape[1] > 1 and columns.dtype.kind in "biuf"
    return bool(is_numeric and ((columns != 0).sum(1) == 1).all() and (columns.max(1) == 1).all())


def _shape(length: int, shape: tuple[int, int] | None, where: str) -> tuple[int, int]:
    if shape:
        if shape[0] * shape[1] == length:
            return shape
        raise UserError(
            f"{where}: {length} pixels in a row are not dataset.shape=[{shape[0]},{shape[1]}]"
        )
    if isqrt(length) ** 2 != length:
        raise UserError(
            f"{where}: {length} pixels in a row make no square (28x28 are 784): is one missing, or "
            "a column too many? Rectangles need dataset.shape=[height,width]"
        )
    return isqrt(length), isqrt(length)


@dataclass(frozen=True)
class ArrayPart:
    """What reads the images and the labels of a part, when it is called and not before."""

    images: Callable[[], Images]
    labels: Callable[[], Values]


@dataclass(frozen=True)
class PartedArrays:
    """Images and labels of a training and a test part, or of one that is split."""

    where: Path
    parts: Mapping[Part, ArrayPart]
    test_fraction: float
    names: Sequence[str] = ()  # of the labels 0, 1 ..., where the file says them

    def __post_init__(self) -> None:
        check_fraction(self.test_fraction)

    def part(self, which: Part, split_seed: int) -> tuple[Images, Labels]:
        """Return one part; labels become the positions of their values among the classes."""
        part = self.parts[which] if len(self.parts) > 1 else self._first
        images, values = part.images(), part.labels()
        if len(images) != len(values):
            raise UserError(f"{self.where}: {len(images)} images, but {len(values)} labels")
        known = self._values()
        unknown = np.setdiff1d(values, known)
        if unknown.size:
            raise UserError(
                f"{self.where}: label {unknown[0]} in the {which} part, "
                "but not among the training labels"
            )
        labels = np.searchsorted(known, values)
        if len(self.parts) > 1:
            return images, labels
        rows = split_rows(labels, self.classes(), self.test_fraction, split_seed, str(self.where))[
            which
        ]
        return images[rows], labels[rows]

    def classes(self) -> tuple[str, ...]:
        """Return the name of each class: the file's own, or the label."""
        values = self._values()
        named = values.dtype.kind == "i" and values[-1] < len(self.names)
        return tuple(str(self.names[value] if named else value) for value in values)

    @property
    def _first(self) -> ArrayPart:
        return next(iter(self.parts.values()))

    def _values(self) -> Values:
        """The training labels' values in order."""
        values = np.unique(self.parts.get("train", self._first).labels())
        if not len(values):
            raise UserError(f"{self.where}: it holds no images")
        return values


def check_fraction(test_fraction: Any) -> None:
    """Raise UserError unless it is a share of the images."""
    if type(test_fraction) not in (int, float) or not 0 < test_fraction < 1:
        raise UserError(f"dataset.test_fraction={test_fraction}: must be a number between 0 and 1")


def split_rows(
    labels: Labels, names: Sequence[str], test_fraction: float, split_seed: int, where: str
) -> dict[Part, Labels]:
    """Return stratified rows for each part of data that come as one; the log says it."""
    counts = np.bincount(labels, minlength=len(names))
    if counts.min() < 2:
        raise UserError(
            f"{where}, class {names[int(counts.argmin())]}: one picture only, so none is left for "
            "testing"
        )
    share = f"{test_fraction:.0%} of the images, stratified by class, are"
    log_once(f"{where} has no test part of its own: {share} put aside for testing")
    return part_rows(labels, test_fraction, split_seed)


def turned(images: Images) -> Images:
    """Turn images about their diagonal."""
    return np.ascontiguousarray(images.swapaxes(1, 2))


def adjusted(source: Source, transpose: bool, invert: bool, classes: Any) -> Source:
    """Turn a user's images about their diagonal, swap black and white, name their classes."""
    if classes is not None and not isinstance(classes, list | tuple):
        raise UserError(f"dataset.classes={classes}: must be a list of names, as [zero,one,two]")

    def part(which: Part, split_seed: int) -> tuple[Images, Labels]:
        images, labels = source.part(which, split_seed)
        if transpose:
            images = turned(images)
        return 255 - images if invert else images, labels

    def names() -> tuple[str, ...]:
        own = source.classes()
        if classes is None:
            return own
        if len(classes) != len(own):
            raise UserError(
                f"dataset.classes has {len(classes)} names, but there are {len(own)} classes: "
                f"{', '.join(own)}"
            )
        return tuple(str(name) for name in classes)

    return Source(source.name, part, names, doubtful=True)
