"""Results kept on disk: of several processes that want the same one, one computes it and the others
wait for it.
"""

import inspect
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
from filelock import FileLock
from joblib import Memory

from mnist_exp.errors import UserError


def computed_once(
    memory: Memory, function: Callable[..., Any], ignore: Collection[str]
) -> Callable[..., Any]:
    """Return the function with its results kept in `memory`, whatever the parameters in `ignore`
    are.

    A memory without a folder keeps nothing.
    """
    if memory.location is None:
        return function
    folder, cached = Path(memory.location), memory.cache(function, ignore=list(ignore))
    signature = inspect.signature(function)

    def call(*arguments: Any) -> Any:
        with cache_errors_named(folder):
            if cached.check_call_in_cache(*arguments):
                return cached(*arguments)
            bound = signature.bind(*arguments).arguments
            key = joblib.hash([value for name, value in bound.items() if name not in ignore])
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / f"{key}.lock"):
                return cached(*arguments)

    return call


@contextmanager
def cache_errors_named(folder: Path) -> Iterator[None]:
    """Raise UserError, with the folder and the way out, where a result cannot be kept.

    Joblib only warns of what it cannot write, and then fails to find it.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Unable to cache to disk")
        try:
            yield
        except (Warning, OSError) as error:
            cause = error.__context__ if isinstance(error, Warning) else error
            raise UserError(
                f"features cannot be kept in {folder}: {cause}; make room there (cache_gb is how "
                "much they may take), or name another folder with cache_dir=..."
            ) from error
