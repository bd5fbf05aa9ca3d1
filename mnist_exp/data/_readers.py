"""Readers of tables and archives: from a file to its arrays, each read when it is asked for."""

import csv
import functools
import gzip
import io
import itertools
import json
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any, TextIO
from zipfile import BadZipFile, ZipFile

import numpy as np

from mnist_exp.data._arrays import Values, as_images, as_labels, part_of, role_of, turned
from mnist_exp.data._content import GZIP, kind_of, start_of
from mnist_exp.data._idx import parse_idx
from mnist_exp.errors import UserError
from mnist_exp.handwriting import read_image

Key = tuple[str | None, str]  # the part, where the file says it, and images or labels
_HEAD = 2**20  # bytes of a text in which its columns are looked at
_SAMPLED = 200  # rows
_NO_PIXELS = {"", "id", "imageid", "index", "unnamed: 0"}  # columns that number the rows


@dataclass(frozen=True)
class Options:
    """What a user says of a file that does not say it itself."""

    shape: tuple[int, int] | None = None
    label: str | int | None = None


@dataclass(frozen=True)
class Content:
    """The arrays of a file, each read when it is called, and the names of labels 0, 1 ..."""

    arrays: Mapping[Key, Callable[[], Values]]
    names: Sequence[str] = ()


def read(path: Path, options: Options) -> Content:
    """Return what is in a file, told by its content; UserError for what is no data."""
    kind, words = kind_of(start_of(path))
    if kind == "zip" and _is_npz(path):
        kind = "npz"
    if kind not in _READERS:
        raise UserError(f"{path} is {words}; dataset=file reads {FORMATS}")
    return _READERS[kind](path, options)


def is_data(path: Path) -> bool:
    """Whether a file is one that `read` reads."""
    kind = kind_of(start_of(path))[0]
    return kind in _READERS or (kind == "zip" and _is_npz(path))


def _is_npz(path: Path) -> bool:
    return any(name.endswith(".npy") for name in _members(path))


def _members(path: Path) -> list[str]:
    try:
        with ZipFile(path) as archive:
            return archive.namelist()
    except BadZipFile as error:
        raise UserError(f"{path}: a damaged or truncated archive ({error})") from error


def _both(images: Callable[[], Values], labels: Callable[[], Values] | None) -> Content:
    arrays: dict[Key, Callable[[], Values]] = {(None, "images"): images}
    return Content(arrays | ({(None, "labels"): labels} if labels else {}))


def _csv(path: Path, options: Options) -> Content:
    """Rows of pixels with or without a label: one image a line."""
    delimiter, rows = _first_rows(path)
    cells = [cell.strip() for cell in rows[0]]
    lone_words = sum(not _is_number(cell) for cell in cells)
    named = lone_words > 1 or any(role_of(cell) == "labels" for cell in cells)
    names = [cell.lower() for cell in cells] if named else []
    # pandas numbers the columns of a table that has no names.
    has_header = named or (len(cells) > 2 and cells == [str(i) for i in range(len(cells))])
    rows = rows[int(has_header) :]
    if not rows:
        raise UserError(f"{path}: a header and no rows")
    columns = [i for i in range(len(cells)) if not names or names[i] not in _NO_PIXELS]
    label = _label_column(path, names, columns, rows, options)
    pixels = [i for i in columns if i != label]
    load = functools.partial(_load_text, path, delimiter, int(has_header))
    text = label is not None and not all(_is_number(row[label]) for row in rows if row[label:])

    @functools.cache
    def numbers() -> Values:
        """All columns in one pass, unless a label is a word."""
        return load(None if label is None or not text else pixels)

    def images() -> Values:
        values = numbers()
        if values.shape[1] != len(pixels):
            values = values[:, pixels]
        return as_images(values, options.shape, str(path))

    def labels() -> Values:
        column = [] if label is None else [label]
        return as_labels(load(column, str) if text else numbers()[:, column], str(path))

    return _both(images, labels if label is not None else None)


def _first_rows(path: Path) -> tuple[str, list[list[str]]]:
    """Find what stands between the cells of a text, and read its first rows."""
    head = start_of(path, _HEAD)
    lines = head.decode("utf-8-sig", "replace").splitlines()
    if len(head) == _HEAD:
        lines.pop()  # it may be cut
    if not lines:
        raise UserError(f"{path}: its first line has more than {_HEAD:,} bytes: no rows of pixels")
    line = next((line for line in lines[:2] if re.search("[,;\t]", line)), lines[0])
    delimiter = max(",;\t", key=line.count) if re.search("[,;\t]", line) else " "
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    try:
        rows = [row for row in itertools.islice(reader, _SAMPLED) if row]
    except csv.Error as error:
        raise UserError(f"{path}: no table ({error})") from error
    if len(rows) > 1 and len(rows[0]) != len(rows[1]):
        raise UserError(f"{path}: line 1 has {len(rows[0])} columns, line 2 {len(rows[1])}")
    return delimiter, rows


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _label_column(
    path: Path, names: list[str], columns: list[int], rows: list[list[str]], options: Options
) -> int | None:
    """Find the label's column: as the user says, by its name, or one beside a square of pixels."""
    label = options.label
    if isinstance(label, int) and 0 <= label < len(columns):
        return columns[label]
    if label is not None:
        places = {"first": columns[0], "last": columns[-1]}
        if str(label).lower() in names:
            return names.index(str(label).lower())
        if str(label) not in places:
            raise UserError(
                f"{path}: no column dataset.label={label}; it is first, last, a number from 0, or "
                f"one of {', '.join(names[:5]) or 'no names, since there is no header'}"
            )
        return places[str(label)]
    by_name = [i for i in columns if names and role_of(names[i]) == "labels"]
    if by_name:
        return by_name[0]
    n_pixels = options.shape[0] * options.shape[1] if options.shape else 0
    if len(columns) == n_pixels or (not n_pixels and _is_square(len(columns))):
        return None
    if len(columns) - 1 != n_pixels and not (not n_pixels and _is_square(len(columns) - 1)):
        return columns[0] if not _is_number(rows[0][columns[0]]) else None
    # A corner's pixel is the same in nearly all images, or else has more values than labels have.
    full = [row for row in rows if len(row) > columns[-1]]
    first, last = ({row[column] for row in full} for column in (columns[0], columns[-1]))
    return columns[-1] if len(last) > 1 and not 1 < len(first) <= len(last) else columns[0]


def _is_square(count: int) -> bool:
    return isqrt(count) ** 2 == count


def _load_text(
    path: Path,
    delimiter: str,
    skip: int,
    columns: list[int] | None,
    dtype: Any = np.uint8,
) -> Values:
    """Parse a text table; a value that is none is named with its line and column."""
    try:
        with _open_text(path) as file:
            return np.asarray(
                np.loadtxt(
                    file,
                    dtype,
                    None,
                    delimiter.strip(" ") or None,
                    skiprows=skip,
                    usecols=columns,
                    ndmin=2,
                    quotechar='"',
                )
            )
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: neither UTF-8 text nor a format known here ({error})") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path}: damaged or truncated gzip data ({error})") from error
    except ValueError as error:
        if dtype is np.uint8 and "to uint8" in str(error):
            return _load_text(path, delimiter, skip, columns, np.float32)
        raise UserError(f"{path}: {_located(str(error), skip)}") from error


def _open_text(path: Path) -> TextIO:
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
    if packed:
        return gzip.open(path, "rt", encoding="utf-8-sig")
    return path.open(encoding="utf-8-sig")


def _located(message: str, skip: int) -> str:
    """NumPy's message in a line, with the line of the file."""
    if cell := re.search(r"string (.*) to \w+ at row (\d+), column (\d+)", message, re.DOTALL):
        text, row, column = cell.groups()
        return f"line {int(row) + skip + 1}, column {column}: {text} is no number"
    if change := re.search(r"from (\d+) to (\d+) at row (\d+)", message):
        before, after, row = map(int, change.groups())
        return f"line {row + skip} has {after} columns, the lines before it {before}"
    return message.partition("\n")[0]


def _npz(path: Path, options: Options) -> Content:
    """Arrays by name: `x_train, y_train, x_test, y_test`, `X, y`, `images, labels`, or one."""

    def load(name: str, role: str) -> Values:
        try:
            with np.load(path) as archive:
                return _normalized(archive[name], role, options, f"{path}: {name}")
        except (ValueError, OSError, MemoryError, BadZipFile, zlib.error) as error:
            raise UserError(f"{path}: {name} cannot be read ({error})") from error

    names = [name.removesuffix(".npy") for name in _members(path) if name.endswith(".npy")]
    return Content(_by_key(names, path, load))


def _by_key(
    names: Sequence[str], path: Path, load: Callable[[str, str], Values]
) -> dict[Key, Callable[[], Values]]:
    arrays: dict[Key, Callable[[], Values]] = {}
    for name in names:
        role = role_of(name) or (role_of(path.stem) if len(names) == 1 else None)
        if role or len(names) == 1:
            key = part_of(name), role or "images"
            arrays.setdefault(key, functools.partial(load, name, role or "images"))
    if not any(role == "images" for _, role in arrays) and len(names) > 1:
        raise UserError(
            f"{path} holds {', '.join(names[:8])}: none is called images, data, x or x_train; "
            "rename the arrays"
        )
    return arrays


def _normalized(values: Values, role: str, options: Options, where: str) -> Values:
    if role == "labels":
        return as_labels(values, where)
    return as_images(values, options.shape, where)


def _one_array(parse: Callable[[Path, str], Values], path: Path, options: Options) -> Content:
    """An NPY or IDX file; whether it holds images or labels, its name tells."""

    def load() -> Values:
        try:
            values = parse(path, role)
        except (ValueError, EOFError, OSError, MemoryError) as error:
            raise UserError(f"{path}: cannot be read ({error})") from error
        return _normalized(values, role, options, str(path))

    role = role_of(path.name) or "images"
    return Content({(None, role): load})


def _mat(path: Path, options: Options) -> Content:
    """MATLAB's: EMNIST's struct `dataset`, SVHN's `X` (h, w, 3, n) and `y`, or plain `X, y`."""
    from scipy.io import loadmat

    try:
        values = _flat(loadmat(path, simplify_cells=True))
    except (ValueError, TypeError, OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: a damaged or truncated MAT file ({error})") from error
    mapping = values.pop("dataset.mapping", None)  # EMNIST's: label, then codes of its characters

    def load(name: str, role: str) -> Values:
        array = values[name]
        if role == "labels":
            labels = as_labels(array, f"{path}: {name}")
            whole = labels.dtype.kind == "i" and len(labels) and labels.min() == 1
            return labels % 10 if whole and labels.max() == 10 else labels  # MATLAB's 10 is 0
        if array.ndim == 4:
            array = np.moveaxis(array, 3, 0)
        images = as_images(array, options.shape, f"{path}: {name}")
        # MATLAB flattens images column by column.
        return images if mapping is None else turned(images)

    arrays = _by_key(list(values), path, load)
    if mapping is None:
        return Content(arrays)
    names = [""] * (int(mapping[:, 0].max()) + 1)
    for label, code, *_ in mapping:
        names[int(label)] = chr(int(code))
    return Content(arrays, names)


def _flat(tree: Mapping[str, Any], start: str = "") -> dict[str, Values]:
    flat: dict[str, Values] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{start}{name}.")
        elif isinstance(value, np.ndarray) and not name.startswith("__"):
            flat[f"{start}{name}"] = value
    return flat


def _parquet(path: Path, options: Options) -> Content:
    """A column of pictures (bytes, or structs with bytes), or of flat pixels, and one of labels."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise UserError(
            f'{path} is a Parquet file, which needs an extra: pip install "mnist-exp[parquet]"'
        ) from error
    try:
        file = parquet.ParquetFile(path)
    except (ArrowException, OSError) as error:
        raise UserError(
            f"{path}: a damaged or truncated Parquet file ({str(error).strip()})"
        ) from error
    names = file.schema_arrow.names
    label = options.label if options.label in names else None
    label = label or next((name for name in names if role_of(name) == "labels"), None)
    columns, are_nested = _image_columns(file.schema_arrow, label, path)

    def load(columns: Sequence[str]) -> Any:
        try:
            return file.read(list(columns))
        except (ArrowException, OSError) as error:
            raise UserError(f"{path}: a damaged Parquet file ({str(error).strip()})") from error

    def images() -> Values:
        table = load(columns)
        if are_nested:
            return _decoded(table.column(0).to_pylist(), options, str(path))
        cells = [column.to_numpy() for column in table.columns]
        for name, column in zip(columns, cells, strict=True):
            if column.dtype.kind not in "biuf":
                raise UserError(f"{path}: column {name} holds {column[0]!r}, no pixels")
        return as_images(np.column_stack(cells), options.shape, str(path))

    def labels() -> Values:
        return as_labels(load([str(label)]).column(0).to_numpy(), str(path))

    content = _both(images, labels if label else None)
    return Content(content.arrays, _hub_names(file.schema_arrow.metadata, label))


def _image_columns(schema: Any, label: Any, path: Path) -> tuple[list[str], bool]:
    """The column of pictures or of lists of pixels, or all columns of single pixels."""
    nested = [f.name for f in schema if "binary" in str(f.type) or "list" in str(f.type)]
    pixels = [name for name in schema.names if name != label and name.lower() not in _NO_PIXELS]
    if not nested and not pixels:
        raise UserError(f"{path}: no column of images; it has {', '.join(schema.names)}")
    return nested[:1] or pixels, bool(nested)


def _decoded(cells: Sequence[Any], options: Options, where: str) -> Values:
    """Decode a column: pictures as bytes or structs, else lists of pixels."""
    cells = [cell["bytes"] if isinstance(cell, dict) else cell for cell in cells]
    for row, cell in enumerate(cells, 1):
        if cell is None:
            raise UserError(f"{where}: row {row} has no picture")
    if not isinstance(cells[0], bytes):
        arrays = [np.asarray(cell) for cell in cells]
    else:
        arrays = [
            np.asarray(read_image(io.BytesIO(cell), f"{where}: row {row}").convert("L"))
            for row, cell in enumerate(cells, 1)
        ]
    for row, array in enumerate(arrays, 1):
        if array.shape != arrays[0].shape:
            shapes = ["x".join(map(str, size)) for size in (arrays[0].shape, array.shape)]
            raise UserError(
                f"{where}: row 1 has {shapes[0]} pixels and row {row} {shapes[1]}; save them as "
                "pictures: dataset=folder brings all to one size"
            )
    return as_images(np.stack(arrays), options.shape, where)


def _hub_names(metadata: Mapping[bytes, bytes] | None, label: Any) -> Sequence[str]:
    """The class names that a data hub writes into a Parquet file's metadata."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return [str(name) for name in features[str(label)]["names"]]
    except (KeyError, TypeError, ValueError):
        return ()


FORMATS = ".csv, .npz, .npy, .parquet, .mat and IDX"
_READERS: dict[str, Callable[[Path, Options], Content]] = {
    "text": _csv,
    "npz": _npz,
    "npy": functools.partial(_one_array, lambda path, role: np.load(path)),
    "idx": functools.partial(_one_array, lambda path, role: parse_idx(path.read_bytes(), role)),
    "mat": _mat,
    "parquet": _parquet,
}
