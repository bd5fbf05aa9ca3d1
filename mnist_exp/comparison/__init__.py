"""Compare runs on the same test data: `compare_runs(["outputs"])` gives a `Comparison`."""

from mnist_exp.comparison._compare import ComparedRun, Comparison, Pair, Skipped, compare_runs
from mnist_exp.comparison._difference import ALPHA, Difference
from mnist_exp.comparison._seeds import FEW_SEEDS, Group

__all__ = [
    "ALPHA",
    "FEW_SEEDS",
    "ComparedRun",
    "Comparison",
    "Difference",
    "Group",
    "Pair",
    "Skipped",
    "compare_runs",
]
