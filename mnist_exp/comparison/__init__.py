"""Compare runs on the same test data: `compare_runs(["outputs"])` gives a `Comparison`."""

from mnist_exp.comparison._compare import Comparison, Pair, Skipped, compare_runs
from mnist_exp.comparison._difference import ALPHA, Difference
from mnist_exp.comparison._formats import PIPE_WIDTH, print_table, to_csv, to_json, to_markdown
from mnist_exp.comparison._runs import ComparedRun
from mnist_exp.comparison._seeds import FEW_SEEDS, Group

__all__ = [
    "ALPHA",
    "FEW_SEEDS",
    "PIPE_WIDTH",
    "ComparedRun",
    "Comparison",
    "Difference",
    "Group",
    "Pair",
    "Skipped",
    "compare_runs",
    "print_table",
    "to_csv",
    "to_json",
    "to_markdown",
]
