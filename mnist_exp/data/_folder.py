"""Pictures in one folder per class, brought to 28x28 as MNIST was made."""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
from joblib import cpu_count

from mnist_exp.data._cache import cached_array, identify
from mnist_exp.data._dataset import Images, Labels, Part, Source, given_folder
from mnist_exp.data._splits import part_rows
from mnist_exp.errors import UserError
from mnist_exp.handwriting import SIDE, image_to_mnist, read_image
from mnist_exp.process import progress_bar

log = logging.getLogger(__name__)

SUFFIXES = (".png", ".jpg", ".jpeg")
BLOCK = 64  # pictures that a thread decodes in one go

_File = os.DirEntry[str]  # a path that remembers its size and time of change


def folder(
    path: str | Path | None,
    cache_dir: str | Path | None = None,
    test_fraction: float = 0.2,
    name: str = "folder",
) -> Source:
    """Give PNG and JPEG files in one folder per class, brought to 28x28 as MNIST was made.

    Parameters
    ----------
    path : str or Path
        A folder with `train/<class>/` and `test/<class>/`, or with `<class>/`.
    cache_dir : str or Path, optional
        Where decoded images are kept.
    test_fraction : float
        Without `train` and `test`, the share of the pictures that is the test part, stratified.
    name : str
        What the dataset is called.

    Returns
    -------
    Source
        For `load`; classes that are numbers are in their order.

    Raises
    ------
    UserError
        If there is no such folder; on loading, if a picture is broken or a class has none.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from PIL import Image
    >>> from mnist_exp.data import load
    >>> with TemporaryDirectory() as root:
    ...     for row in range(10):
    ...         path = Path(root, "left" if row % 2 else "right", f"{row}.png")
    ...         path.parent.mkdir(exist_ok=True)
    ...         Image.new("L", (28, 28), row).save(path)
    ...     dataset = load(folder(root))
    >>> dataset.classes, len(dataset.train), len(dataset.test)
    (('left', 'right'), 8, 2)
    """
    if type(test_fraction) not in (int, float) or not 0 < test_fraction < 1:
        raise UserError(f"dataset.test_fraction={test_fraction}: must be a number between 0 and 1")
    pictures = _Pictures(given_folder(path, "folder").resolve(), cache_dir, test_fraction)
    return Source(name, pictures.part, lambda: pictures.classes)


@dataclass(frozen=True)
class _Pictures:
    """The pictures in one folder per class, with a folder for each part or without."""

    root: Path
    cache_dir: str | Path | None
    test_fraction: float

    @cached_property
    def _has_parts(self) -> bool:
        return (self.root / "train").is_dir()

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The folders' names, numbers by value (so that 10 follows 9)."""
        return _class_names(self.root / "train" if self._has_parts else self.root)

    def part(self, which: Part, split_seed: int) -> tuple[Images, Labels]:
        """List the part's files, and decode them or take them from the cache."""
        parent = self.root / which if self._has_parts else self.root
        differing = set(_class_names(parent)) ^ set(self.classes)
        if differing:
            raise UserError(
                f"{self.root}: {min(differing)} is a class in only one of train and test"
            )
        by_class = [_pictures(parent / name) for name in self.classes]
        labels = np.repeat(np.arange(len(by_class)), [len(files) for files in by_class])
        files = list(chain.from_iterable(by_class))
        if not self._has_parts:
            single = [
                name for name, group in zip(self.classes, by_class, strict=True) if len(group) < 2
            ]
            if single:
                raise UserError(
                    f"{self.root / single[0]}: one picture only, so none is left for testing"
                )
            rows = part_rows(labels, self.test_fraction, split_seed)[which]
            files, labels = [files[row] for row in rows], labels[rows]
        identity = "\n".join(identify(file.path, file.stat()) for file in files)
        images = cached_array(self.cache_dir, f"folder-{which}", identity, lambda: _decode(files))
        return images, labels


def _class_names(parent: Path) -> tuple[str, ...]:
    """The folders in `parent`, but for hidden ones and the __MACOSX of an unpacked zip."""
    if not parent.is_dir():
        raise UserError(f"{parent}: there is no such folder")
    names = [
        entry.name
        for entry in os.scandir(parent)
        if entry.is_dir() and not entry.name.startswith((".", "__"))
    ]
    if len(names) < 2:
        raise UserError(
            f"{parent}: needs a folder of pictures for each class, at least two; "
            f"there are {len(names)}"
        )
    return tuple(sorted(names, key=lambda name: (int(name) if name.isdecimal() else np.inf, name)))


def _pictures(class_folder: Path) -> list[_File]:
    """The pictures of a class by name; what else lies there, such as Thumbs.db, is left out."""
    files = [
        entry
        for entry in os.scandir(class_folder)
        if entry.is_file() and not entry.name.startswith(".")
    ]
    pictures = [file for file in files if file.name.lower().endswith(SUFFIXES)]
    if not pictures:
        raise UserError(f"{class_folder}: no PNG or JPEG files")
    if len(pictures) < len(files):
        left_out = len(files) - len(pictures)
        log.info("%s: %d files left out, neither PNG nor JPEG", class_folder, left_out)
    return sorted(pictures, key=lambda file: file.name)


def _decode(files: list[_File]) -> Images:
    """Decode pictures on all cores; of several broken ones the first in order is named."""
    images = np.empty((len(files), SIDE, SIDE), np.uint8)

    def decode(start: int) -> int:
        block = files[start : start + BLOCK]
        images[start : start + BLOCK] = [
            image_to_mnist(read_image(Path(file.path))) for file in block
        ]
        return start + len(block)

    with (
        progress_bar(f"Decoding {len(files):,} pictures") as show,
        ThreadPoolExecutor(cpu_count()) as pool,
    ):
        for done in pool.map(decode, range(0, len(files), BLOCK)):
            show(done, len(files))
    return images
