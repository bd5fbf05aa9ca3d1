"""Results on disk: of several processes that want the same one, one computes it, the others wait.

joblib's cache alone would let each of them compute it.
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
from joblib.memory import CacheWarning

from mnist_exp.errors import UserError


def computed_once(
    memory: Memory, function: Callable[..., Any], ignore: Collection[str]
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
