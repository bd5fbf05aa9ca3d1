"""Atomic file writes: a reader sees the old file or the new one, never a part of either."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4


def write_atomic(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a temporary file beside `path`, then move it there.

    On any failure nothing stays behind.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "answer.txt"
    ...     write_atomic(path, lambda temporary: temporary.write_text("42"))
    ...     path.read_text()
    '42'
    """
    with _beside(path) as temporary:
        write(temporary)
        temporary.replace(path)


def write_new(path: Path, content: str) -> None:
    """Write UTF-8 text whole or not at all; FileExistsError if there is a file already."""
    with _beside(path) as temporary:
        temporary.write_text(content, encoding="utf-8", newline="\n")
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:
            # This file system has no hard links: still only one process gets the name, but a
            # reader may see half of the content.
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(content)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Name a temporary file beside `path`, which does not stay; a system error names the file."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")
    try:
        yield temporary
    except OSError as error:
        if error.filename is None:  # as of a write to an open file on a full disk
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically."""
    write_atomic(path, lambda temporary: temporary.write_bytes(content))


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text atomically, with the same line ends on every system."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON atomically; NaN is refused, since no other reader would accept it."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def link_atomic(link: Path, target: Path) -> None:
    """Point `link` at `target` by a relative symlink, or by a text file where those are refused."""
    relative = os.path.relpath(target, link.parent)

    def write(temporary: Path) -> None:
        try:
            temporary.symlink_to(relative, target_is_directory=True)
        except (OSError, NotImplementedError):
            temporary.write_text(relative, encoding="utf-8")

    write_atomic(link, write)
