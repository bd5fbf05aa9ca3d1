"""The sources that need no download: scikit-learn's digits, and IDX files of any origin."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnist_exp.data._dataset import Images, Labels, Part, Source
from mnist_exp.data._idx import FILES, LABELS, IdxFiles
from mnist_exp.data._splits import part_rows
from mnist_exp.errors import UserError
from mnist_exp.handwriting import to_mnist

DIGITS_TEST_SHARE = 500 / 1797


def digits(
    data_dir: str | Path | None = None, cache_dir: str | Path | None = None, name: str = "digits"
) -> Source:
    """Give the 1,797 8x8 digits bundled with scikit-learn, brought to 28x28 as MNIST looks.

    They are of Alpaydin and Kaynak (UCI). 500 of them, stratified, are the test part.

    Parameters
    ----------
    data_dir, cache_dir : str or Path, optional
        Not used: they are there because `dataset=auto` turns into `digits` or `mnist`.
    name : str
        What the dataset is called.

    Returns
    -------
    Source
        For `load`.

    Examples
    --------
    >>> from mnist_exp.data import load
    >>> dataset = load(digits())
    >>> dataset.train.images.shape, dataset.test.images.shape
    ((1297, 28, 28), (500, 28, 28))
    """
    return Source(name, _digits_part, lambda: tuple("0123456789"))


def _digits_part(which: Part, split_seed: int) -> tuple[Images, Labels]:
    from sklearn.datasets import load_digits

    bundled = load_digits()
    labels = bundled.target.astype(np.int64)
    rows = part_rows(labels, DIGITS_TEST_SHARE, split_seed)[which]
    return np.stack([to_mnist(image) for image in bundled.images[rows]]), labels[rows]


def idx(path: str | Path | None, cache_dir: str | Path | None = None, name: str = "idx") -> Source:
    """Give four IDX files in a folder, named as MNIST's, of any image size.

    Parameters
    ----------
    path : str or Path
        The folder with `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and likewise `t10k-`,
        packed as `.gz` or not.
    cache_dir : str or Path, optional
        Where decoded images are kept.
    name : str
        What the dataset is called.

    Returns
    -------
    Source
        For `load`; its classes are the training labels' values, in order.

    Raises
    ------
    UserError
        If there is no such folder; on loading, if a file is missing or damaged.

    Examples
    --------
    >>> from struct import pack
    >>> from tempfile import TemporaryDirectory
    >>> from mnist_exp.data import load
    >>> with TemporaryDirectory() as folder:
    ...     for part in ("train", "t10k"):
    ...         images = pack(">4I", 0x803, 4, 2, 2) + bytes(16)
    ...         _ = Path(folder, f"{part}-images-idx3-ubyte").write_bytes(images)
    ...         labels = pack(">2I", 0x801, 4) + bytes([1, 2, 1, 2])
    ...         _ = Path(folder, f"{part}-labels-idx1-ubyte").write_bytes(labels)
    ...     dataset = load(idx(folder))
    >>> dataset.classes, dataset.test.labels.tolist()
    (('1', '2'), [0, 1, 0, 1])
    """
    files = _NumberedFiles(given_folder(path, "idx"), cache_dir)
    return Source(name, files.part, lambda: tuple(str(value) for value in files.values()))


def given_folder(path: str | Path | None, dataset: str) -> Path:
    """Return the folder that `dataset.path` names; UserError if it names none."""
    if path is None:
        raise UserError(f"dataset={dataset} needs dataset.path=FOLDER")
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise UserError(f"dataset.path={path}: there is no such folder")
    return folder


@dataclass(frozen=True)
class _NumberedFiles(IdxFiles):
    """IDX files whose labels need not begin at 0 (EMNIST's letters are 1 to 26)."""

    def part(self, which: Part, split_seed: int) -> tuple[Images, Labels]:
        """Read one part; labels become the positions of their values among the training part's."""
        images, labels = super().part(which, split_seed)
        known = self.values()
        unknown = np.setdiff1d(labels, known)
        if unknown.size:
            raise UserError(
                f"{self.folder}: label {unknown[0]} in the {which} part, "
                "but not among the training labels"
            )
        return images, np.searchsorted(known, labels)

    def values(self) -> Images:
        """Return the training labels' values in order."""
        return np.unique(self.array(FILES["train"][1], LABELS))
