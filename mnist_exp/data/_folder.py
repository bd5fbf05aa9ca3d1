"""Pictures in one folder per class, brought to 28x28 as MNIST was made."""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from joblib import cpu_count

from mnist_exp.data._cache import cached_array, identify
from mnist_exp.data._dataset import Images, Labels, Part, Source
from mnist_exp.data._sources import given_folder
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
    """PNG and JPEG files in `train/<class>/` and `test/<class>/`, or in `<class>/`.

    In the second case `test_fraction` of them, stratified, are the test part. Pictures become 28x28
    as MNIST was made.
    """
    if type(test_fraction) not in (int, float) or not 0 < test_fraction < 1:
        raise UserError(f"dataset.test_fraction={test_fraction}: must be a number between 0 and 1")
    root = given_folder(path, "folder").resolve()
    reader = _Pictures(root, Path(cache_dir).expanduser() if cache_dir else None, test_fraction)
    return Source(name, reader.part, lambda: reader.classes)


@dataclass(frozen=True)
class _Pictures:
    root: Path
    cache_dir: Path | None
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
        files, labels = self._list(self.root / which if self._has_parts else self.root)
        if not self._has_parts:
            rows = self._rows(labels, which, split_seed)
            files, labels = [files[row] for row in rows], labels[rows]
        identity = "\n".join(identify(file.path, file.stat()) for file in files)
        return cached_array(
            self.cache_dir, f"folder-{which}", identity, lambda: _decode(files)
        ), labels

    def _list(self, parent: Path) -> tuple[list[_File], Labels]:
        differing = set(_class_names(parent)) ^ set(self.classes)
        if differing:
            raise UserError(
                f"{self.root}: {min(differing)} is a class in only one of train and test"
            )
        by_class = [_pictures(parent / name) for name in self.classes]
        labels = np.repeat(np.arange(len(by_class)), [len(files) for files in by_class])
        return [file for files in by_class for file in files], labels

    def _rows(self, labels: Labels, which: Part, split_seed: int) -> Labels:
        single = np.flatnonzero(np.bincount(labels) < 2)
        if single.size:
            raise UserError(
                f"{self.root / self.classes[single[0]]}: one picture only, so none is left for testing"
            )
        return part_rows(labels, self.test_fraction, split_seed)[which]


def _class_names(parent: Path) -> tuple[str, ...]:
    """The folders in `parent`, but for hidden ones and the __MACOSX of an unpacked zip."""
    if not parent.is_dir():
        raise UserError(f"{parent}: there is no such folder")
    with os.scandir(parent) as entries:
        names = [
            entry.name
            for entry in entries
            if entry.is_dir() and not entry.name.startswith((".", "__"))
        ]
    if len(names) < 2:
        raise UserError(
            f"{parent}: a folder of pictures per class is wanted, at least two; there are {len(names)}"
        )
    return tuple(sorted(names, key=lambda name: (int(name) if name.isdecimal() else np.inf, name)))


def _pictures(class_folder: Path) -> list[_File]:
    """The pictures of a class in the order of their names; what else lies there, such as Thumbs.db,
    is left out.
    """
    with os.scandir(class_folder) as entries:
        files = [entry for entry in entries if entry.is_file() and not entry.name.startswith(".")]
    pictures = sorted(
        (file for file in files if file.name.lower().endswith(SUFFIXES)), key=lambda file: file.name
    )
    if not pictures:
        raise UserError(f"{class_folder}: no PNG or JPEG files")
    if len(pictures) < len(files):
        log.info(
            "%s: %d files are neither PNG nor JPEG and left out",
            class_folder,
            len(files) - len(pictures),
        )
    return pictures


def _decode(files: list[_File]) -> Images:
    """Decode pictures on all cores; of several broken ones the first is named, whatever the number
    of threads.
    """
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
