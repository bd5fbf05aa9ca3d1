"""`python -m mnist_exp.compare PATH...`: say which run is better, on what, and how sure that is."""

import argparse
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_exp.errors import UserError

if TYPE_CHECKING:
    from mnist_exp.comparison import Comparison

GATE_FAILED, NOT_COMPARABLE = 1, 2


def main() -> None:
    """Exit 0; 1 if a gate failed; 2 if there is nothing comparable, with the reason."""
    arguments = _arguments()
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    try:
        if arguments.curve:
            _show_curve(arguments)
            return
        comparison = _compare(arguments)
        _show(comparison, arguments.format)
        if arguments.html:
            from mnist_exp.report.comparison_page import write_page

            write_page(comparison, arguments.html)
            print(f"page: {arguments.html}", file=sys.stderr)
    except (UserError, OSError) as error:
        print(f"error: {_plain_lines(str(error))}", file=sys.stderr)
        sys.exit(NOT_COMPARABLE)
    failures = list(gate_failures(comparison, arguments.fail_if_worse, arguments.noninferior))
    for failure in failures:
        print(f"gate: {_plain_lines(failure)}", file=sys.stderr)
    sys.exit(GATE_FAILED if failures else 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mnist_exp.compare", description=__doc__)
    add = parser.add_argument
    add(
        "paths",
        metavar="PATH",
        nargs="+",
        help="a run, a sweep, a folder above them, a pattern, or latest",
    )
    add(
        "--baseline",
        metavar="RUN",
        help="what the others are compared with; default: the first run of the first PATH",
    )
    add(
        "--split",
        choices=("test", "val"),
        default="test",
        help="val: the trials of a search, not its best/",
    )
    add(
        "--sort",
        metavar="KEY",
        help="accuracy, delta, p_holm, fit_s, bytes, run, a changed key ...",
    )
    add(
        "--filter",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="only such runs; repeatable",
    )
    add(
        "--group-by",
        metavar="auto|KEY",
        default="auto",
        help="runs that differ in KEY only are one recipe (auto: seed)",
    )
    add(
        "--curve",
        metavar="KEY",
        help="accuracy along a numeric key, over seeds; dataset.train_size: would more data help?",
    )
    add("--all-pairs", action="store_true", help="also test every run against every other")
    add("--format", choices=("table", "json", "csv", "md"), default="table")
    add(
        "--html",
        metavar="FILE",
        type=Path,
        help="also write a page with the pictures; one file, no network",
    )
    add(
        "--fail-if-worse",
        action="store_true",
        help="exit 1 if any run is significantly worse than the baseline",
    )
    add(
        "--noninferior",
        metavar="POINTS",
        type=_points,
        help="exit 1 unless all differences lie surely above -POINTS",
    )
    add("--outputs", type=Path, default=Path("outputs"), help="where latest is looked for")
    return parser


def _arguments() -> argparse.Namespace:
    parser = _parser()
    arguments = parser.parse_args()
    of_runs = ("baseline", "sort", "all_pairs", "fail_if_worse", "noninferior")
    for name in of_runs if arguments.curve else ():
        if getattr(arguments, name) != parser.get_default(name):
            parser.error(f"--{name.replace('_', '-')} does not go with --curve")
    if arguments.html and not arguments.html.parent.is_dir():
        parser.error(f"--html {arguments.html}: there is no folder {arguments.html.parent}")
    return arguments


def _points(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: must be a number of points, 0 or more")
    return value


def _plain_lines(text: str) -> str:
    """What quotes a folder, without what could steer the terminal."""
    from mnist_exp.comparison import printable

    return "\n".join(map(printable, text.split("\n")))


def _compare(arguments: argparse.Namespace) -> "Comparison":
    from mnist_exp.comparison import compare_runs

    return compare_runs(
        arguments.paths,
        baseline=arguments.baseline,
        split=arguments.split,
        filters=arguments.filter,
        group_by=arguments.group_by,
        sort=arguments.sort,
        all_pairs=arguments.all_pairs,
        outputs=arguments.outputs,
    )


def _show(comparison: "Comparison", style: str) -> None:
    from rich.console import Console

    from mnist_exp.comparison import print_table, to_csv, to_json, to_markdown

    if style == "table":
        print_table(comparison, Console())
    elif style == "json":
        print(json.dumps(to_json(comparison), indent=2, allow_nan=False))
    else:
        print(to_csv(comparison) if style == "csv" else to_markdown(comparison), end="")


def _show_curve(arguments: argparse.Namespace) -> None:
    from rich.console import Console

    from mnist_exp.comparison import (
        compare_curve,
        curve_csv,
        curve_json,
        curve_markdown,
        print_curve,
    )

    curve = compare_curve(
        arguments.paths,
        arguments.curve,
        split=arguments.split,
        filters=arguments.filter,
        outputs=arguments.outputs,
    )
    if arguments.format == "table":
        print_curve(curve, Console())
    elif arguments.format == "json":
        print(json.dumps(curve_json(curve), indent=2, allow_nan=False))
    else:
        print(curve_csv(curve) if arguments.format == "csv" else curve_markdown(curve), end="")
    if arguments.html:
        from mnist_exp.report.curve_page import write_curve_page

        write_curve_page(curve, arguments.html)
        print(f"page: {arguments.html}", file=sys.stderr)


def gate_failures(
    comparison: "Comparison", fail_if_worse: bool, noninferior: float | None
) -> Iterator[str]:
    """A sentence for all that keeps a gate shut; only a run that was compared can open one."""
    if not fail_if_worse and noninferior is None:
        return
    for path in comparison.without_evidence:
        yield f"{path}: no run there could be compared, so there is no evidence on it"
    for run in comparison.runs:
        difference = run.difference
        if difference is None:
            continue
        if fail_if_worse and difference.verdict == "worse":
            yield (
                f"{run.name}: worse by {-difference.delta:.2f} points "
                f"(p after Holm {difference.p_holm:.2g})"
            )
        if noninferior is not None and difference.delta_interval.low <= -noninferior:
            yield (
                f"{run.name}: may be {-difference.delta_interval.low:.2f} points worse, "
                f"and no more than {noninferior:g} is allowed"
            )


if __name__ == "__main__":
    main()
