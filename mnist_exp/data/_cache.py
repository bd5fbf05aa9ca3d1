"""Decoded arrays on disk, memory-mapped: 70,000 images come back in milliseconds, not a second."""

import functools
import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_exp.process import write_atomic

log = logging.getLogger(__name__)

_FORMAT = "2"  # change it when the same source shall decode to something else


def identify(path: str | Path, status: os.stat_result) -> str:
    """Name a file's content without reading it: absolute path, size and time of change."""
    return f"{path}|{status.st_size}|{status.st_mtime_ns}"


def cached_array(
    cache_dir: str | Path | None, name: str, identity: str, build: Callable[[], NDArray[Any]]
) -> NDArray[Any]:
    """Return the array of that identity from the cache, read-only; build and store a new one.

    It holds images (uint8) or labels (int64 or text).

    `build` verifies what it reads, and a hit relies on that: only the entry's header and size are
    checked, since hashing 47 MB of pixels would cost more than all the rest of a load. Bits that
    rot on disk go unseen here, though not in a run's split_sha256. Without a cache folder, or where
    it cannot be written, everything just takes longer.
    """
    if cache_dir is None:
        return build()
    digest = hashlib.sha256(f"{_FORMAT}|{identity}".encode()).hexdigest()
    path = Path(cache_dir).expanduser() / "datasets" / f"{name}-{digest[:24]}.npy"
    array = _open(path)
    if array is None:
        array = build()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, lambda temporary: _save(temporary, array))
        except OSError as error:
            _warn_once(path.parent, error.strerror or str(error))
    return array


def _open(path: Path) -> NDArray[Any] | None:
    try:
        array: np.memmap[Any, Any] = np.load(path, mmap_mode="r")
        known = array.dtype in (np.uint8, np.int64) or array.dtype.kind == "U"
        if known and array.offset + array.nbytes == path.stat().st_size:
            return array
        reason = "not of the right type and size"
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        reason = str(error)
    log.info("damaged cache entry, to be built anew: %s (%s)", path, reason)
    return None


def _save(path: Path, array: NDArray[Any]) -> None:
    with path.open("wb") as file:
        # As np.save does, whose tofile() would not say that the disk is full.
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(np.ascontiguousarray(array).data)
        file.flush()
        os.fsync(file.fileno())  # a power cut must not leave wrong content of the right size


@functools.cache
def _warn_once(folder: Path, reason: str) -> None:
    log.warning(
        "%s cannot be written (%s): nothing is cached, and data are decoded anew every time",
        folder,
        reason,
    )
