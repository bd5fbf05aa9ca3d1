"""The sources that need no download: scikit-learn's digits, and IDX files of any origin."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnist_exp.data._dataset import Images, Labels, Part, Source
from mnist_exp.data._idx import FILES, IMAGES, LABELS, cached_idx, find_idx, paired
from mnist_exp.data._splits import part_rows
from mnist_exp.errors import UserError
from mnist_exp.handwriting import to_mnist

DIGITS_TEST_SHARE = 500 / 1797


def digits(
    data_dir: str | Path | None = None, cache_dir: str | Path | None = None, name: str = "digits"
) -> Source:
    """The 1,797 8x8 digits bundled with scikit-learn (Alpaydin and Kaynak, UCI), brought to 28x28
    as MNIST looks.

    500 of them, stratified, are the test part. The folders are not used: the function takes what
    `mnist` takes because `dataset=auto` turns into either.
    """
    return Source(name, _digits_part, lambda: tuple("0123456789"))


def _digits_part(which: Part, split_seed: int) -> tuple[Images, Labels]:
    from sklearn.datasets import load_digits

    bundled = load_digits()
    labels = bundled.target.astype(np.int64)
    rows = part_rows(labels, DIGITS_TEST_SHARE, split_seed)[which]
    return np.stack([to_mnist(image) for image in bundled.images[rows]]), labels[rows]


def idx(path: str | Path | None, cache_dir: str | Path | None = None, name: str = "idx") -> Source:
    """Four IDX files in a folder, named as MNIST's, of any image size; the classes are the training
    labels' values.
    """
    reader = _IdxFolder(
        given_folder(path, "idx"), Path(cache_dir).expanduser() if cache_dir else None
    )
    return Source(name, reader.part, reader.classes)


def given_folder(path: str | Path | None, dataset: str) -> Path:
    """The folder that `dataset.path` names; UserError if it names none."""
    if path is None:
        raise UserError(f"dataset={dataset} needs dataset.path=FOLDER")
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise UserError(f"dataset.path={path}: there is no such folder")
    return folder


@dataclass(frozen=True)
class _IdxFolder:
    folder: Path
    cache_dir: Path | None

    def part(self, which: Part, split_seed: int) -> tuple[Images, Labels]:
        """Read one part; labels become the positions of their values among the training part's."""
        images, labels = FILES[which]
        pixels, values = paired(
            self._array(images, IMAGES), self._array(labels, LABELS), self.folder
        )
        known = self._values()
        unknown = np.setdiff1d(values, known)
        if unknown.size:
            raise UserError(
                f"{self.folder}: label {unknown[0]} in the {which} part, but not among the training labels"
            )
        return pixels, np.searchsorted(known, values)

    def classes(self) -> tuple[str, ...]:
        """The training labels' values, which need not begin at 0 (EMNIST's letters are 1 to 26)."""
        return tuple(str(value) for value in self._values())

    def _values(self) -> Images:
        return np.unique(self._array(FILES["train"][1], LABELS))

    def _array(self, name: str, dimensions: int) -> Images:
        paths = find_idx(self.folder, name)
        if not paths:
            raise UserError(f"{self.folder}: neither {name} nor {name}.gz is there")
        return cached_idx(paths[0], dimensions, self.cache_dir)
