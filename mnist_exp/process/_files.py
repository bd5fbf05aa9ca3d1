"""Files that processes share: atomic writes, and results that one computes and others wait for.

A reader sees the old file or the new one, never a part of either. joblib's cache alone would let
each of several processes compute the same result.
"""

import inspect
import json
import os
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from mnist_exp.errors import UserError

if TYPE_CHECKING:  # compare, which only reads files, does not wait for joblib
    from joblib import Memory


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


def computed_once(
    memory: "Memory", function: Callable[..., Any], ignore: Collection[str]
) -> Callable[..., Any]:
    """Return a function whose results `memory` keeps.

    Parameters
    ----------
    memory
        Where results are kept. One without a folder keeps nothing, and the function itself is
        returned.
    function
        A function of positional arguments that joblib can hash and results that it can write.
    ignore
        Names of parameters that do not change the result, such as a number of threads.

    Raises
    ------
    UserError
        When it is called: the folder cannot be written to.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from joblib import Memory
    >>> def double(x, n_jobs):
    ...     print("computing")
    ...     return 2 * x
    >>> with TemporaryDirectory() as folder:
    ...     cached = computed_once(Memory(folder, verbose=0), double, ["n_jobs"])
    ...     cached(21, 1), cached(21, 2)
    computing
    (42, 42)
    """
    import joblib
    from filelock import FileLock

    if memory.location is None:
        return function
    folder, cached = Path(memory.location), memory.cache(function, ignore=list(ignore))
    signature = inspect.signature(function)

    def call(*arguments: Any) -> Any:
        with cache_errors_named(folder):
            if cached.check_call_in_cache(*arguments):
                return cached(*arguments)
            named = signature.bind(*arguments).arguments
            key = joblib.hash({name: named[name] for name in named.keys() - set(ignore)})
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / f"{function.__name__}-{key}.lock"):
                return cached(*arguments)

    return call


@contextmanager
def cache_errors_named(folder: Path) -> Iterator[None]:
    """Raise UserError, with the folder and the way out, where a result cannot be kept.

    joblib only warns of what it cannot write, and then fails to find it.
    """
    from joblib.memory import CacheWarning

    with warnings.catch_warnings():
        warnings.simplefilter("error", CacheWarning)
        try:
            yield
        except (CacheWarning, OSError) as error:
            cause = error.__context__ if isinstance(error, CacheWarning) else error
            raise UserError(
                f"features cannot be kept in {folder}: {cause}; make room there (cache_gb is how "
                "much they may take), or name another folder with cache_dir=..."
            ) from error
