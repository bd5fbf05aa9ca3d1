"""What the rest of the program knows of data: images, labels, and their rows in the source."""

import functools
import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mnist_exp.errors import UserError

log = logging.getLogger(__name__)

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Part = Literal["train", "test"]


@dataclass(frozen=True, eq=False)
class Split:
    """Images and labels in evaluation order.

    Attributes
    ----------
    images : array of shape (n, h, w), uint8
        White ink on black; may be a read-only memory map.
    labels : array of shape (n,), int64
        Class numbers 0..k-1.
    index : array of shape (n,), int64
        The row in the source's part, so that a picture can be found again.

    Examples
    --------
    >>> import numpy as np
    >>> split = Split(np.zeros((2, 28, 28), np.uint8), np.array([3, 1]), np.array([0, 1]))
    >>> len(split)
    2
    >>> split.sha256[:12]
    '14abbcda3255'
    """

    images: Images
    labels: Labels
    index: Labels

    def __len__(self) -> int:
        return len(self.labels)

    @functools.cached_property
    def sha256(self) -> str:
        """Hex digest of the images' bytes, then the labels' as little-endian int64."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images).data)
        digest.update(np.ascontiguousarray(self.labels, "<i8").data)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Dataset:
    """The splits of one dataset.

    Attributes
    ----------
    name : str
        What the dataset is called in configurations.
    classes : tuple of str
        The name of each class number.
    train : Split
        What models learn from.
    val, test : Split or None
        What they are chosen and judged by, where that was asked for.

    Examples
    --------
    >>> from mnist_exp.data import digits, load
    >>> dataset = load(digits(), train_size=100, val_size=50)
    >>> len(dataset.train), len(dataset.val), len(dataset.test), dataset.classes[:3]
    (100, 50, 500, ('0', '1', '2'))
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split | None
    test: Split | None


@dataclass(frozen=True)
class Source:
    """Where a dataset's images come from; nothing is read until a part or the classes are needed.

    Attributes
    ----------
    name : str
        What the dataset is called in configurations and messages.
    part : callable
        `part(which, split_seed)` returns images uint8 (n, h, w) and labels int64 (n,) of "train" or
        "test", and decodes nothing else. The seed matters where there is no test part of its own.
    classes : callable
        `classes()` returns their names, and reads no test part either.
    doubtful : bool
        Whether these are somebody's own data, of which `doubts` may have something to say.

    Examples
    --------
    >>> import numpy as np
    >>> from mnist_exp.data import load
    >>> images, labels = np.zeros((6, 28, 28), np.uint8), np.array([0, 1, 0, 1, 0, 1])
    >>> source = Source("made", lambda which, split_seed: (images, labels), lambda: ("a", "b"))
    >>> load(source, test_size=2).test.labels
    array([1, 0])
    """

    name: str
    part: Callable[[Part, int], tuple[Images, Labels]]
    classes: Callable[[], tuple[str, ...]]
    doubtful: bool = False


@functools.cache
def log_once(message: str) -> None:
    """Log a line that several parts of one dataset would repeat."""
    log.info(message)


def given_path(path: str | Path | None, dataset: str) -> Path:
    """Return the file or folder that `dataset.path` names, absolute; UserError if it names none."""
    if path is None:
        raise UserError(f"dataset={dataset} needs dataset.path=FOLDER")
    given = Path(os.path.expanduser(str(path))).absolute()  # noqa: PTH111  (~x may be no user)
    if not given.exists():
        raise UserError(f"dataset.path={path}: there is no such folder or file")
    return given


def given_folder(path: str | Path | None, dataset: str) -> Path:
    """Return the folder that `dataset.path` names; UserError if it names none."""
    folder = given_path(path, dataset)
    if not folder.is_dir():
        raise UserError(
            f"dataset.path={path} is a file, and dataset={dataset} reads a folder: "
            "dataset=file reads .csv, .npz, .parquet, .mat and .npy"
        )
    return folder
