"""Config-driven experiments on handwritten digits.

For scripts: `Run` and `find_runs` read run folders, `compare_runs` says which of them is better.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnist_exp.comparison import compare_runs
    from mnist_exp.runs import Run, find_runs

__version__ = "0.1.0"
__all__ = ["Run", "__version__", "compare_runs", "find_runs"]

_HOMES = {
    "Run": "mnist_exp.runs",
    "find_runs": "mnist_exp.runs",
    "compare_runs": "mnist_exp.comparison",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that `--help` of a command does not wait for what it never needs."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
