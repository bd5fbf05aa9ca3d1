"""The IDX format of MNIST's files: a magic number, big-endian sizes, values.

The magic number is two zeros, a byte for the type (8 for uint8), and the number of dimensions.
"""

import hashlib
import logging
import math
import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mnist_exp.data._arrays import (
    ArrayPart,
    PartedArrays,
    Values,
    adjusted,
    as_images,
    as_labels,
    as_parts,
    part_of,
    role_of,
)
from mnist_exp.data._cache import cached_array, identify
from mnist_exp.data._content import GZIP, kind_of
from mnist_exp.data._dataset import Part, Source, given_folder
from mnist_exp.errors import UserError

log = logging.getLogger(__name__)

FILES: dict[Part, tuple[str, str]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
ROLES = "images", "labels"
_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_DIMENSIONS = {"images": (3, 2, 4), "labels": (1, 2)}  # the usual number first
_MAX_DEFLATE_RATIO = 1032  # no deflate stream unpacks to more (zlib's technical notes)


def idx(
    path: str | Path | None,
    cache_dir: str | Path | None = None,
    prefix: str | None = None,
    test_fraction: float = 0.2,
    transpose: bool = False,
    invert: bool = False,
    classes: Sequence[str] | None = None,
    name: str = "idx",
) -> Source:
    """Give IDX files in a folder, named as MNIST's with any prefix, of any type and image size.

    Parameters
    ----------
    path : str or Path
        The folder with `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and likewise `t10k-`
        or `test-`, packed as `.gz` or not, and with whatever in front.
    cache_dir : str or Path, optional
        Where decoded images are kept.
    prefix : str, optional
        What the files' names begin with, where the folder holds several datasets.
    test_fraction : float
        If there is one part only, the share of its images that is the test part, stratified.
    transpose, invert : bool
        Turn images about their diagonal (EMNIST's lie on their side); swap black and white.
    classes : list of str, optional
        The names of the classes, in the order of the labels.
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
    folder = given_folder(path, "idx")
    parts = {
        part: ArrayPart(*(partial(read_idx, files[role], role, cache_dir) for role in ROLES))
        for part, files in _find(folder, prefix).items()
    }
    arrays = PartedArrays(folder, parts, test_fraction)
    return adjusted(Source(name, arrays.part, arrays.classes), transpose, invert, classes)


def _find(folder: Path, prefix: str | None) -> dict[Part, dict[str, Path]]:
    """Find the files of each part, by their names; of several spellings the packed one."""
    groups: dict[str | None, dict[str, Path]] = {}
    prefixes: set[str] = set()
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    for name in sorted(names, key=lambda name: not name.endswith(".gz")):
        part, role = part_of(name), role_of(name)
        is_idx = name.endswith(".gz") or "idx" in name or "ubyte" in name or "." not in name
        if part and role and is_idx and ".tsv" not in name and name.startswith(prefix or ""):
            prefixes.add(re.split(r"-?(train|t10k|test|val)", name, maxsplit=1)[0])
            groups.setdefault(part, {}).setdefault(role, folder / name)
    if len(prefixes) > 1:
        several = ", ".join(sorted(prefixes))
        raise UserError(f"{folder} holds several datasets ({several}): choose with dataset.prefix=")
    parts = as_parts(groups) or {"train": {}}
    for part, files in parts.items():
        for role, usual in zip(ROLES, FILES[part], strict=True):
            if role not in files:
                raise UserError(
                    f"{folder}: neither {usual} nor {usual}.gz is there; {holding(folder)}"
                )
    return parts


def holding(folder: Path) -> str:
    """Say what lies in a folder."""
    names = sorted(entry.name for entry in folder.iterdir())
    return f"the folder holds {', '.join(names[:8]) or 'nothing'}" + ", ..." * (len(names) > 8)


class IdxError(ValueError):
    """What is wrong with the bytes of an IDX file; callers put the file's name in front."""


class NotIdxError(IdxError):
    """The file is something else."""


@dataclass(frozen=True)
class Digest:
    """The sha256, or the md5, that a published file must have.

    Either of its content, or `of_gz`, of the packed file itself; that one says nothing about a file
    unpacked by hand.
    """

    hexdigest: str
    of_gz: bool = False

    def check(self, content: bytes | memoryview) -> None:
        """Raise IdxError if the content has another one."""
        algorithm = "md5" if len(self.hexdigest) == 32 else "sha256"
        if hashlib.new(algorithm, content, usedforsecurity=False).hexdigest() != self.hexdigest:
            raise IdxError(f"not the published file: its {algorithm} differs")


def spellings(folder: Path, name: str) -> list[Path]:
    """Return the files that may be `name`, packed or not; some spell it with `.idx`."""
    names = name, name.replace("-idx", ".idx")
    paths = [folder / f"{spelling}{end}" for spelling in names for end in (".gz", "")]
    return [path for path in paths if path.is_file()]


def read_idx(
    path: Path, role: str, cache_dir: str | Path | None, digest: Digest | None = None
) -> Values:
    """Read images or labels, or the cached array of what was verified when it was last changed."""
    identity = f"{identify(path.resolve(), path.stat())}|{role}|{digest}"

    def parse() -> Values:
        try:
            values = parse_idx(path.read_bytes(), role, digest)
        except NotIdxError as error:
            raise UserError(f"{path}: {error}; {holding(path.parent)}") from error
        except IdxError as error:
            raise UserError(f"{path}: {error}") from error
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from error
        where = str(path)
        return as_images(values, None, where) if role == "images" else as_labels(values, where)

    return cached_array(cache_dir, path.name.removesuffix(".gz"), identity, parse)


def parse_idx(raw: bytes, role: str, digest: Digest | None = None) -> Values:
    """Return the values in a file's bytes, packed or not: read-only, of the type in the file."""
    packed = raw[:2] == GZIP
    header = bytes(_content(raw, packed, 64))
    usual = 0x0800 + _DIMENSIONS[role][0]
    start = 4 + 4 * (header[3] if kind_of(header)[0] == "idx" else usual - 0x0800)
    if kind_of(header)[0] not in ("idx", "html", "lfs") and len(header) < start:
        raise IdxError(f"truncated: {len(header)} bytes, not even a header")
    if kind_of(header)[0] != "idx":
        raise NotIdxError(f"not an IDX file of {role}, but {kind_of(header)[1]}")
    if header[3] not in _DIMENSIONS[role]:
        magic = int.from_bytes(header[:4])
        raise IdxError(f"not an IDX file of {role}: its magic number is {magic}, not {usual}")
    if len(header) < start:
        raise IdxError(f"truncated: {len(header)} bytes, not even a header")
    shape = struct.unpack_from(f">{header[3]}I", header, 4)
    dtype = np.dtype(_TYPES[header[2]])
    size = start + math.prod(shape) * dtype.itemsize
    if size == start:
        raise IdxError(f"empty: its header says {' x '.join(map(str, shape))}")
    if size > len(raw) * (_MAX_DEFLATE_RATIO if packed else 1):  # judged before memory is asked for
        raise IdxError(
            f"truncated: {size:,} bytes expected, {len(raw):,} {'packed ' * packed}found"
        )
    content = _content(raw, packed, size + 1)
    if len(content) < size:
        raise IdxError(f"truncated: {size:,} bytes expected, {len(content):,} found")
    if len(content) > size:
        raise IdxError(f"trailing bytes: {size:,} bytes expected, there are more")
    if digest and (packed or not digest.of_gz):
        digest.check(raw if digest.of_gz else content)
    return np.frombuffer(content, dtype, offset=start).reshape(shape)


def _content(raw: bytes, packed: bool, size: int) -> bytes | memoryview:
    """At most `size` bytes of the content; fewer where the file ends before."""
    if not packed:
        return memoryview(raw)[:size]
    stream = zlib.decompressobj(wbits=31)  # gzip framing, whose checksum zlib verifies at the end
    try:
        content = stream.decompress(raw, size)
    except zlib.error as error:
        raise IdxError(f"damaged gzip data ({error})") from error
    if len(content) < size and not stream.eof:
        raise IdxError(f"truncated gzip data: it ends after {len(content):,} bytes of content")
    return content
