"""Pictures in one folder per class, brought to 28x28 as MNIST was made."""

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
from joblib import cpu_count

from mnist_exp.data._arrays import adjusted, as_parts, check_fraction, part_of, split_rows
from mnist_exp.data._cache import cached_array, identify
from mnist_exp.data._content import kind_of, start_of
from mnist_exp.data._dataset import Images, Labels, Part, Source, given_folder, log_once
from mnist_exp.errors import UserError
from mnist_exp.handwriting import SIDE, image_to_mnist, read_image
from mnist_exp.process import progress_bar

_NAMES = "png jpg jpeg jfif gif webp bmp dib tif tiff ppm pgm pbm pnm"  # what predict reads
PICTURE_SUFFIXES = tuple(f".{name}" for name in _NAMES.split())
BLOCK = 64  # pictures that a thread decodes in one go

_File = os.DirEntry[str]  # a path that remembers its size and time of change


def folder(
    path: str | Path | None,
    cache_dir: str | Path | None = None,
    test_fraction: float = 0.2,
    strict: bool = False,
    transpose: bool = False,
    invert: bool = False,
    classes: Sequence[str] | None = None,
    name: str = "folder",
) -> Source:
    """Give pictures in one folder per class, brought to 28x28 as MNIST was made.

    Parameters
    ----------
    path : str or Path
        A folder with `train/<class>/` and `test/<class>/`, or with `<class>/`, or one that holds
        only such a folder. `training`, `testing`, `valid` and `val` will do, in any case.
    cache_dir : str or Path, optional
        Where decoded images are kept.
    test_fraction : float
        Without a test part, the share of the pictures that becomes it, stratified.
    strict : bool
        Raise an error where a file would be left out.
    transpose, invert : bool
        Turn images about their diagonal; swap black and white.
    classes : list of str, optional
        Other names of the classes, in the order of the folders.
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
    check_fraction(test_fraction)
    root = given_folder(path, "folder").resolve()
    pictures = _Pictures(root, cache_dir, test_fraction, strict)
    return adjusted(
        Source(name, pictures.part, lambda: pictures.classes), transpose, invert, classes
    )


@dataclass(frozen=True)
class _Pictures:
    """The pictures in one folder per class, with a folder for each part or without."""

    root: Path
    cache_dir: str | Path | None
    test_fraction: float
    strict: bool

    @cached_property
    def _parents(self) -> dict[Part, Path]:
        """The folder of each part; without parts, the one that has the classes is `train`."""
        root = self.root
        inside = _folders(root)
        while len(inside) == 1 and not part_of_folder(inside[0]) and _folders(root / inside[0]):
            root = root / inside[0]
            inside = _folders(root)
        groups = {part_of_folder(name): root / name for name in inside}
        parts = as_parts(groups) if "train" in groups else {}
        if "train" in groups and (others := [name for name in inside if not part_of_folder(name)]):
            log_once(f"{root}: left out beside the parts: {', '.join(others[:8])}")
        return parts or {"train": root}

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The training folders' names, numbers by value (so that 10 follows 9)."""
        names = _folders(self._parents["train"])
        if len(names) < 2:
            raise UserError(
                f"{self._parents['train']}: needs a folder of pictures for each class, at least "
                f"two; there are {len(names)}"
            )
        return tuple(
            sorted(names, key=lambda name: (int(name) if name.isdecimal() else np.inf, name))
        )

    def part(self, which: Part, split_seed: int) -> tuple[Images, Labels]:
        """List the part's files, and decode them or take them from the cache."""
        alone = len(self._parents) == 1
        parent = self._parents["train" if alone else which]
        if unknown := set(_folders(parent)) - set(self.classes):
            raise UserError(f"{parent}: {min(unknown)} is a class in the {which} part only")
        left_out: Counter[str] = Counter()
        by_class = [_pictures(parent / name, left_out) for name in self.classes]
        left_out["beside the classes"] += len(_list(parent, left_out))
        self._report(parent, left_out)
        empty = [name for name, files in zip(self.classes, by_class, strict=True) if not files]
        if empty and (which == "train" or alone or len(empty) == len(by_class)):
            raise UserError(f"{parent / empty[0]}: no pictures ({', '.join(PICTURE_SUFFIXES)})")
        labels = np.repeat(np.arange(len(by_class)), [len(files) for files in by_class])
        files = list(chain.from_iterable(by_class))
        if alone:
            where = str(self.root)
            rows = split_rows(labels, self.classes, self.test_fraction, split_seed, where)[which]
            files, labels = [files[row] for row in rows], labels[rows]
        identity = "\n".join(identify(file.path, file.stat()) for file in files)
        images = cached_array(self.cache_dir, f"folder-{which}", identity, lambda: _decode(files))
        return images, labels

    def _report(self, parent: Path, left_out: Counter[str]) -> None:
        """Say what was left out, by kind; an error if nothing may be."""
        if kinds := ", ".join(f"{n} {kind}" for kind, n in left_out.most_common() if n):
            message = f"{parent}: files left out, since they are no pictures in a class: {kinds}"
            if self.strict:
                raise UserError(f"{message}; dataset.strict=false goes on without them")
            log_once(message)


def part_of_folder(name: str) -> str | None:
    """The part that a folder is: `Training`, `test`, `VAL`."""
    return part_of(name) if name.isalpha() else None


def _folders(parent: Path) -> list[str]:
    """The folders in `parent`, but for hidden ones and the __MACOSX of an unpacked zip."""
    if not parent.is_dir():
        return []
    return sorted(
        entry.name
        for entry in os.scandir(parent)
        if entry.is_dir() and not entry.name.startswith((".", "__"))
    )


def _pictures(class_folder: Path, left_out: Counter[str]) -> list[_File]:
    """The pictures of a class by name, and those one folder deeper; other files are counted."""
    nested = [_list(class_folder / name, left_out) for name in _folders(class_folder)]
    return list(chain(_list(class_folder, left_out), *nested))


def _list(folder: Path, left_out: Counter[str]) -> list[_File]:
    """The pictures in a folder by name; what else lies there, such as Thumbs.db, is counted."""
    if not folder.is_dir():
        return []
    files = sorted(
        (
            entry
            for entry in os.scandir(folder)
            if entry.is_file() and not entry.name.startswith(".")
        ),
        key=lambda file: file.name,
    )
    others = [file.name for file in files if not file.name.lower().endswith(PICTURE_SUFFIXES)]
    left_out.update(Path(name).suffix.lower() or name for name in others)
    return [file for file in files if file.name.lower().endswith(PICTURE_SUFFIXES)]


def _decode(files: list[_File]) -> Images:
    """Decode pictures on all cores; of several broken ones the first in order is named."""
    images = np.empty((len(files), SIDE, SIDE), np.uint8)

    def decode(start: int) -> int:
        block = files[start : start + BLOCK]
        images[start : start + BLOCK] = [_read(Path(file.path)) for file in block]
        return start + len(block)

    with (
        progress_bar(f"Decoding {len(files):,} pictures") as show,
        ThreadPoolExecutor(cpu_count()) as pool,
    ):
        for done in pool.map(decode, range(0, len(files), BLOCK)):
            show(done, len(files))
    return images


def _read(path: Path) -> Images:
    try:
        return image_to_mnist(read_image(path))
    except UserError as error:
        kind, words = kind_of(start_of(path))
        if kind in ("picture", "unknown", "text"):
            raise
        raise UserError(f"{path} is {words}") from error
