"""Config-driven experiments on handwritten digits.

`run` trains a model and leaves a run folder; `Run` and `find_runs` read such folders;
`compare_runs` says which of them is better; `load_reader` reads pictures with a run's model.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnist_exp.comparison import Comparison, compare_runs
    from mnist_exp.recognition import load_reader
    from mnist_exp.runs import Run, find_runs
    from mnist_exp.train import run

    __version__: str

__all__ = [
    "Comparison",
    "Run",
    "__version__",
    "compare_runs",
    "find_runs",
    "load_reader",
    "run",
]

_ROOMS = {
    "Comparison": "mnist_exp.comparison",
    "Run": "mnist_exp.runs",
    "compare_runs": "mnist_exp.comparison",
    "find_runs": "mnist_exp.runs",
    "load_reader": "mnist_exp.recognition",
    "run": "mnist_exp.train",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that `--help` of a command does not wait for what it never needs."""
    if name == "__version__":
        from importlib.metadata import version

        return version("mnist-exp")
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_ROOMS[name]), name)
