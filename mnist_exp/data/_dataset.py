"""What the rest of the program knows of data: images, labels, and which rows of the source they
are.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Part = Literal["train", "test"]


@dataclass(frozen=True, eq=False)
class Split:
    """Images and labels in evaluation order; the images may be a read-only memory map."""

    images: Images  # (n, h, w), white ink on black
    labels: Labels  # (n,), class numbers 0..k-1
    index: Labels  # (n,), the row in the source's part, so that a picture can be found again

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the images' bytes, then the labels' as little-endian int64: the same data
        have the same one.
        """
        digest = hashlib.sha256(np.ascontiguousarray(self.images).data)
        digest.update(np.ascontiguousarray(self.labels, "<i8").data)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Dataset:
    """One training split, and a validation and a test split where they were asked for."""

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split | None
    test: Split | None


@dataclass(frozen=True)
class Source:
    """Where a dataset's images come from; nothing is read until a part or the classes are asked
    for.

    `part(which, split_seed)` returns images uint8 (n, h, w) and labels int64 (n,), and decodes
    nothing else; the seed matters to sources that come without a test part of their own.
    `classes()` reads no test part either.
    """

    name: str
    part: Callable[[Part, int], tuple[Images, Labels]]
    classes: Callable[[], tuple[str, ...]]
