"""Compare runs on the same test data: `compare_runs(["outputs"])` gives a `Comparison`."""

from mnist_exp.comparison._candidates import display_path, one_line, printable
from mnist_exp.comparison._changes import flatten as flat_config
from mnist_exp.comparison._changes import text as describe_value
from mnist_exp.comparison._compare import Comparison, Pair, Skipped, compare_curve, compare_runs
from mnist_exp.comparison._curve_formats import (
    curve_answers,
    curve_basis,
    curve_csv,
    curve_head,
    curve_json,
    curve_markdown,
    curve_rows,
    print_curve,
)
from mnist_exp.comparison._curves import Curve
from mnist_exp.comparison._evidence import ALPHA, FEW_SEEDS, ComparedRun, Difference, Group
from mnist_exp.comparison._formats import (
    PAIR_HEAD,
    basis,
    pair_rows,
    print_table,
    recipe_cells,
    run_cells,
    to_csv,
    to_json,
    to_markdown,
)
from mnist_exp.comparison._words import headline, sentence

__all__ = [
    "ALPHA",
    "FEW_SEEDS",
    "PAIR_HEAD",
    "ComparedRun",
    "Comparison",
    "Curve",
    "Difference",
    "Group",
    "Pair",
    "Skipped",
    "basis",
    "compare_curve",
    "compare_runs",
    "curve_answers",
    "curve_basis",
    "curve_csv",
    "curve_head",
    "curve_json",
    "curve_markdown",
    "curve_rows",
    "describe_value",
    "display_path",
    "flat_config",
    "headline",
    "one_line",
    "pair_rows",
    "print_curve",
    "print_table",
    "printable",
    "recipe_cells",
    "run_cells",
    "sentence",
    "to_csv",
    "to_json",
    "to_markdown",
]
