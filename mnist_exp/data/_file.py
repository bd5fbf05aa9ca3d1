"""One table or archive of images, or a folder with one for each part."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from mnist_exp.data._arrays import ArrayPart, PartedArrays, Values, adjusted, as_parts, part_of
from mnist_exp.data._cache import cached_array, identify
from mnist_exp.data._content import kind_of, start_of
from mnist_exp.data._dataset import Images, Source, given_path, log_once
from mnist_exp.data._readers import FORMATS, Content, Key, Options, is_data, read
from mnist_exp.errors import UserError

TEXTS = ".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt"  # of the texts, these are tables


def file(
    path: str | Path | None,
    cache_dir: str | Path | None = None,
    shape: Sequence[int] | None = None,
    label: str | int | None = None,
    test_fraction: float = 0.2,
    transpose: bool = False,
    invert: bool = False,
    classes: Sequence[str] | None = None,
    name: str = "file",
) -> Source:
    r"""Give the images of a CSV, NPZ, Parquet, MAT or NPY file, or of one for each part.

    Parameters
    ----------
    path : str or Path
        A file, or a folder with files whose names say `train` and `test`.
    cache_dir : str or Path, optional
        Where decoded images are kept.
    shape : (int, int), optional
        Height and width of images that are rows of pixels; by default they are squares.
    label : str or int, optional
        The column of the labels: `first`, `last`, its name, or its number from 0.
    test_fraction : float
        If there is one part only, the share of its images that is the test part, stratified.
    transpose, invert : bool
        Turn images about their diagonal; swap black and white.
    classes : list of str, optional
        The names of the classes, in the order of the labels.
    name : str
        What the dataset is called.

    Returns
    -------
    Source
        For `load`; its classes are the training labels, in order.

    Raises
    ------
    UserError
        If there is no such file; on loading, if its content is wrong: with row or key.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from mnist_exp.data import load
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "four.csv")
    ...     _ = path.write_text("label,a,b,c,d\n1,0,9,0,9\n7,9,0,9,0\n1,0,8,0,8\n7,8,0,8,0\n")
    ...     dataset = load(file(path, test_fraction=0.5))
    >>> dataset.classes, dataset.train.images.shape, dataset.test.labels.tolist()
    (('1', '7'), (2, 2, 2), [1, 0])
    """
    given = given_path(path, "file")
    arrays = _parted(given, cache_dir, _options(shape, label), test_fraction)
    return adjusted(Source(name, arrays.part, arrays.classes), transpose, invert, classes)


def table_images(path: str | Path, shape: Sequence[int] | None = None) -> Images | None:
    r"""Return the images of a file that `file` reads, labelled or not; None for any other file.

    Parameters
    ----------
    path : str or Path
        A file. Of several parts the test part is read.
    shape : (int, int), optional
        Height and width of images that are rows of pixels.

    Returns
    -------
    array of shape (n, h, w), uint8, or None

    Raises
    ------
    UserError
        If the file is damaged.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "two.csv")
    ...     _ = path.write_text("0,9,0,9\n9,0,9,0\n")
    ...     table_images(path).shape
    (2, 2, 2)
    """
    path = Path(path)
    kind, words = kind_of(start_of(path))
    if kind in ("picture", "unknown") or (kind == "text" and not path.name.lower().endswith(TEXTS)):
        return None
    if not is_data(path):
        raise UserError(f"{path} is {words}")
    arrays = read(path, _options(shape, None)).arrays
    parts = [part for part, role in arrays if role == "images"]
    if not parts:
        raise UserError(f"{path} holds labels only, no images")
    return arrays["test" if "test" in parts else parts[0], "images"]()


def _options(shape: Sequence[int] | None, label: str | int | None) -> Options:
    if shape is None:
        return Options(None, label)
    sides = list(shape) if isinstance(shape, list | tuple) else []
    if len(sides) != 2 or any(type(side) is not int or side < 1 for side in sides):
        raise UserError(f"dataset.shape={shape}: must be [height,width]")
    return Options((sides[0], sides[1]), label)


def _parted(
    given: Path, cache_dir: str | Path | None, options: Options, test_fraction: float
) -> PartedArrays:
    """Sort the arrays of all files by part and role; what is left out is said."""
    files = [_File(path, cache_dir, options) for path in _data_files(given)]
    groups: dict[str | None, dict[str, list[Callable[[], Values]]]] = {}
    for file in files:
        for place, (part, role) in enumerate(file.keys):
            groups.setdefault(part, {}).setdefault(role, []).append(partial(file.array, place))
    if "train" in groups and groups.keys() & {"test", "val"}:
        groups.pop(None, None)  # a sample submission
    if len(groups.get(None, {}).get("images", [])) > 1:
        raise UserError(
            f"{given} holds {', '.join(file.path.name for file in files[:8])}: name the files "
            "train... and test..., or choose one with dataset.path"
        )
    parts = {part: arrays for part, arrays in as_parts(groups).items() if "images" in arrays}
    if not parts:
        raise UserError(f"{given} holds labels only, no images")
    train = parts.get("train", next(iter(parts.values())))
    if "labels" not in train:
        raise UserError(
            f"{given}: no labels; a column called label, an array called labels or y, or "
            "dataset.label=first or last is needed to train"
        )
    if "labels" not in parts.get("test", train):
        log_once(f"{given}: the test images have no labels: they are for mnist_exp.predict")
        del parts["test"]
    names = next((file.names for file in files if file.names), [])
    return PartedArrays(
        given,
        {
            part: ArrayPart(partial(_joined, arrays["images"]), partial(_joined, arrays["labels"]))
            for part, arrays in parts.items()
        },
        test_fraction,
        names,
    )


def _data_files(given: Path) -> list[Path]:
    """The files to read: the one that is given, or those in the folder that hold data."""
    if given.is_file():
        return [given]
    there = sorted(
        path for path in given.iterdir() if path.is_file() and not path.name.startswith(".")
    )
    files = [path for path in there if is_data(path)]
    if not files:
        holds = "; ".join(f"{path.name} is {kind_of(start_of(path))[1]}" for path in there[:5])
        raise UserError(
            f"{given}: no file that dataset=file reads ({FORMATS}); "
            f"{holds or 'there are no files in it: dataset=folder reads folders of pictures'}"
        )
    if len(files) < len(there):
        others = [path.name for path in there if path not in files]
        log_once(f"{given}: left out, since they are no data: {', '.join(others[:8])}")
    return files


def _joined(arrays: Sequence[Callable[[], Values]]) -> Values:
    """Read the arrays of a part; several files are its shards."""
    values = [array() for array in arrays]
    if len(values) == 1:
        return values[0]
    if len({array.shape[1:] for array in values}) > 1:
        raise UserError(f"shards of one part have images of {values[0].shape[1:]} and other pixels")
    return np.concatenate(values)


@dataclass(frozen=True)
class _File:
    """One file, whose arrays are read once and then come from the cache."""

    path: Path
    cache_dir: str | Path | None
    options: Options

    @cached_property
    def _content(self) -> Content:
        return read(self.path, self.options)

    @cached_property
    def keys(self) -> list[Key]:
        """The part and role of each array, the part by the file's name if by nothing else."""
        texts = self._cached("keys", self._key_texts)
        pairs = [str(text).split("|") for text in texts]
        return [(part or part_of(self.path.name), role) for part, role in pairs]

    def _key_texts(self) -> Values:
        return _texts(f"{part or ''}|{role}" for part, role in self._content.arrays)

    @cached_property
    def names(self) -> list[str]:
        """The names of labels 0, 1 ..., where the file says them."""
        texts = self._cached("names", lambda: _texts(self._content.names or [""]))
        return [str(text) for text in texts if any(texts)]

    def array(self, place: int) -> Values:
        """Return the array at that place among the keys."""
        return self._cached(str(place), lambda: list(self._content.arrays.values())[place]())

    def _cached(self, what: str, build: Callable[[], Values]) -> Values:
        identity = f"{identify(self.path.resolve(), self.path.stat())}|{what}|{self.options}"
        return cached_array(self.cache_dir, f"{self.path.stem}-{what}", identity, build)


def _texts(texts: Iterable[str]) -> Values:
    return np.asarray(list(texts), str)
