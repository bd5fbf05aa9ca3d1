"""Decoded arrays on disk, memory-mapped: 70,000 images come back in milliseconds instead of a
second.
"""

import functools
import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mnist_exp.data._dataset import Images
from mnist_exp.process import write_atomic

log = logging.getLogger(__name__)

_FORMAT = "1"  # change it when the same source shall decode to something else


def identify(path: str | Path, status: os.stat_result) -> str:
    """What stands for a file's content without reading it: its absolute path, size and time of
    change.
    """
    return f"{path}|{status.st_size}|{status.st_mtime_ns}"


def cached_array(
    cache_dir: Path | None, name: str, identity: str, build: Callable[[], Images]
) -> Images:
    """The uint8 array of that identity from the cache, read-only; built and stored if it is not
    there.

    `build` verifies what it reads, and a hit relies on that: only the entry's header and size are
    checked, since hashing 47 MB of pixels would cost more than all the rest of a load. Bits that
    rot on disk go unseen here, though not in a run's split_sha256. Without a cache folder, or where
    it cannot be written, everything just takes longer.
    """
    if cache_dir is None:
        return build()
    digest = hashlib.sha256(f"{_FORMAT}|{identity}".encode()).hexdigest()
    path = cache_dir / "datasets" / f"{name}-{digest[:24]}.npy"
    array = _open(path)
    if array is None:
        array = build()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, lambda temporary: _save(temporary, array))
        except OSError as error:
            _warn_once(path.parent, error.strerror or str(error))
    return array


def _open(path: Path) -> Images | None:
    try:
        array = np.load(path, mmap_mode="r")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        log.info("damaged cache entry, to be built anew: %s (%s)", path, error)
        return None
    if array.dtype != np.uint8 or array.offset + array.nbytes != path.stat().st_size:
        log.info("damaged cache entry, to be built anew: %s", path)
        return None
    mapped: Images = array
    return mapped


def _save(path: Path, array: Images) -> None:
    with path.open("wb") as file:
        # As np.save does, whose tofile() would not say that the disk is full.
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(np.ascontiguousarray(array).data)
        file.flush()
        os.fsync(
            file.fileno()
        )  # a power cut must not leave a file of the right size with the wrong content


@functools.cache
def _warn_once(folder: Path, reason: str) -> None:
    log.warning(
        "no cache: %s cannot be written (%s); data are decoded anew every time", folder, reason
    )
