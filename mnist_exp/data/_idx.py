"""The IDX format of MNIST's files: magic (two zeros, 8 for uint8, number of dimensions), big-endian
sizes, values.
"""

import hashlib
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnist_exp.data._cache import cached_array, identify
from mnist_exp.data._dataset import Images, Labels, Part
from mnist_exp.errors import UserError

IMAGES, LABELS = 3, 1  # dimensions of the two kinds of files
FILES: dict[Part, tuple[str, str]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_MAX_DEFLATE_RATIO = 1032  # no deflate stream unpacks to more (zlib's technical notes)


class IdxError(ValueError):
    """What is wrong with the bytes of an IDX file; whoever knows the file's name puts it in
    front.
    """


@dataclass(frozen=True)
class Digest:
    """The sha256 that a published file must have.

    Either of its content, or `of_gz`, of the packed file itself; that one says nothing about a file
    unpacked by hand.
    """

    sha256: str
    of_gz: bool = False


def find_idx(folder: Path, name: str) -> list[Path]:
    """The files that may hold `name`, packed or not; some mirrors spell `train-
    images.idx3-ubyte`.
    """
    spellings = (name, name.replace("-idx", ".idx"))
    return [
        path
        for spelling in spellings
        for path in (folder / f"{spelling}.gz", folder / spelling)
        if path.is_file()
    ]


def read_idx(path: Path, dimensions: int, digest: Digest | None = None) -> Images:
    """Read a file, packed or not; UserError names the file and what is wrong with it."""
    try:
        return parse_idx(path.read_bytes(), dimensions, digest)
    except IdxError as error:
        raise UserError(f"{path}: {error}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def cached_idx(
    path: Path, dimensions: int, cache_dir: Path | None, digest: Digest | None = None
) -> Images:
    """Read a file, or the cached array of what was read and verified when it was last changed."""
    identity = f"{identify(path.resolve(), path.stat())}|{dimensions}|{digest}"
    return cached_array(
        cache_dir,
        path.name.removesuffix(".gz"),
        identity,
        lambda: read_idx(path, dimensions, digest),
    )


def paired(images: Images, labels: Images, folder: Path) -> tuple[Images, Labels]:
    """Images with their labels; UserError if there are more of one than of the other."""
    if len(images) != len(labels):
        raise UserError(f"{folder}: {len(images)} images, but {len(labels)} labels")
    return images, labels.astype(np.int64)


def parse_idx(raw: bytes, dimensions: int, digest: Digest | None = None) -> Images:
    """The values of an IDX file from its bytes as they are on disk, read-only uint8 (n,) or (n, h,
    w).
    """
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
    if len(content) != size:
        found = f"{len(content):,} found" if len(content) < size else "there are more"
        raise IdxError(
            f"{'truncated' if len(content) < size else 'trailing bytes'}: {size:,} bytes expected, {found}"
        )
    _check(digest, raw, content, packed)
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


def _check(digest: Digest | None, raw: bytes, content: bytes | memoryview, packed: bool) -> None:
    if digest is None or (digest.of_gz and not packed):
        return
    if hashlib.sha256(raw if digest.of_gz else content).hexdigest() != digest.sha256:
        raise IdxError("not the published file: its sha256 differs")
