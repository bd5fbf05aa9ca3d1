"""The IDX format of MNIST's files: a magic number, big-endian sizes, values.

The magic number is two zeros, 8 for uint8, and the number of dimensions.
"""

import hashlib
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnist_exp.data._cache import cached_array, identify
from mnist_exp.data._dataset import Images, Labels, Part, Source, given_folder
from mnist_exp.errors import UserError

IMAGES, LABELS = 3, 1  # dimensions of the two kinds of files
FILES: dict[Part, tuple[str, str]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_MAX_DEFLATE_RATIO = 1032  # no deflate stream unpacks to more (zlib's technical notes)


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


class IdxError(ValueError):
    """What is wrong with the bytes of an IDX file; callers put the file's name in front."""


@dataclass(frozen=True)
class Digest:
    """The sha256 that a published file must have.

    Either of its content, or `of_gz`, of the packed file itself; that one says nothing about a file
    unpacked by hand.
    """

    sha256: str
    of_gz: bool = False

    def check(self, content: bytes | memoryview) -> None:
        """Raise IdxError if the content has another one."""
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise IdxError("not the published file: its sha256 differs")


@dataclass(frozen=True)
class IdxFiles:
    """The four files of a dataset in one folder."""

    folder: Path
    cache_dir: str | Path | None

    def part(self, which: Part, split_seed: int) -> tuple[Images, Labels]:
        """Return the images of one part and their labels as they are in the file."""
        images = self.array(FILES[which][0], IMAGES)
        labels = self.array(FILES[which][1], LABELS)
        if len(images) != len(labels):
            raise UserError(f"{self.folder}: {len(images)} images, but {len(labels)} labels")
        return images, labels.astype(np.int64)

    def array(self, name: str, dimensions: int) -> Images:
        """Return the values of one file."""
        for path in self.paths(name):
            return self.read(path, dimensions)
        raise UserError(f"{self.folder}: neither {name} nor {name}.gz is there")

    def paths(self, name: str) -> list[Path]:
        """Return the files that may be `name`, packed or not; some spell it with `.idx`."""
        spellings = name, name.replace("-idx", ".idx")
        paths = [self.folder / f"{spelling}{end}" for spelling in spellings for end in (".gz", "")]
        return [path for path in paths if path.is_file()]

    def read(self, path: Path, dimensions: int, digest: Digest | None = None) -> Images:
        """Read a file, or the cached array of what was verified when it was last changed."""
        identity = f"{identify(path.resolve(), path.stat())}|{dimensions}|{digest}"

        def parse() -> Images:
            try:
                return parse_idx(path.read_bytes(), dimensions, digest)
            except IdxError as error:
                raise UserError(f"{path}: {error}") from error
            except OSError as error:
                raise UserError(f"{path}: cannot be read ({error.strerror})") from error

        return cached_array(self.cache_dir, path.name.removesuffix(".gz"), identity, parse)


def parse_idx(raw: bytes, dimensions: int, digest: Digest | None = None) -> Images:
    """Return the values in a file's bytes, packed or not: read-only uint8 (n,) or (n, h, w)."""
    packed = raw[:2] == b"\x1f\x8b"
    start = 4 + 4 * dimensions
    header = _content(raw, packed, start)
    if len(header) < start:
        raise IdxError(f"truncated: {len(header)} bytes, not even a header")
    magic, *shape = struct.unpack(f">{1 + dimensions}I", header)
    if magic != 0x0800 + dimensions:
        kind = "images" if dimensions == IMAGES else "labels"
        raise IdxError(
            f"not an IDX file of {kind}: its magic number is {magic}, not {0x0800 + dimensions}"
        )
    size = start + math.prod(shape)
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
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


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
