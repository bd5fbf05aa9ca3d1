"""A comparison as a table for people, and as JSON, CSV and Markdown for everything else."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from mnist_exp.comparison import _words as words
from mnist_exp.comparison._candidates import printable
from mnist_exp.comparison._evidence import ComparedRun, Difference
from mnist_exp.comparison._evidence import Group as Recipe
from mnist_exp.evaluation import Interval
from mnist_exp.runs import html_table

if TYPE_CHECKING:
    from mnist_exp.comparison._compare import Comparison

STYLES = {"better": "green", "worse": "red"}
SENTENCES = 10  # verdicts and skipped runs that the table spells out; JSON has all
HEAD = [
    "run",
    "accuracy %",
    "difference, points",
    "fixed / broke",
    "p (Holm)",
    "verdict",
    "fit",
    "predict",
    "model",
    "changed",
]
RECIPE_HEAD = ["recipe", "runs", "mean accuracy %", "difference, points", "p (Holm)", "verdict"]
PAIR_HEAD = ["A", "B", "B - A, points", "fixed / broke", "p (Holm)", "verdict of B"]


def to_json(comparison: "Comparison") -> dict[str, Any]:
    """Plain data under stable names: differences in points, None where there is nothing to say."""
    return {
        "split": comparison.split,
        "n": comparison.n,
        "baseline": comparison.baseline.name,
        "holm_m": comparison.holm_m,
        "runs": [_json_run(run) for run in comparison.runs],
        "groups": [
            asdict(group)
            | {
                "mean": group.mean,
                "verdict": group.verdict,
                "interval": bounds(group.interval),
                "delta_interval": bounds(group.delta_interval),
            }
            for group in comparison.groups
        ],
        "pairs": [
            {"a": pair.a, "b": pair.b, **_json_difference(pair.difference)}
            for pair in comparison.pairs
        ],
        "skipped": [asdict(skipped) for skipped in comparison.skipped],
    }


def _json_run(run: ComparedRun) -> dict[str, Any]:
    return {
        "run": run.name,
        "accuracy": run.accuracy,
        "accuracy_interval": bounds(run.accuracy_interval),
        **_json_difference(run.difference),
        "config": run.config,
        "time": run.time,
        "bytes": run.bytes,
    }


DIFFERENCE = [
    "delta",
    "delta_interval",
    "fixed",
    "broke",
    "p",
    "p_holm",
    "verdict",
    "detectable",
    "seeds_to_settle",
]


def _json_difference(difference: Difference | None) -> dict[str, Any]:
    if difference is None:
        return dict.fromkeys(DIFFERENCE)
    return {name: getattr(difference, name) for name in DIFFERENCE} | {
        "delta_interval": bounds(difference.delta_interval)
    }


def bounds(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def to_csv(comparison: "Comparison") -> str:
    """One row per run, every figure in a column of its own; changed keys are `config.<key>`."""
    import pandas

    # As objects, for a whole number stays one in a column where the baseline has none.
    frame = pandas.DataFrame([run_row(run) for run in comparison.runs], dtype=object)
    return str(frame.to_csv(index=False, lineterminator="\n"))


def run_row(run: ComparedRun) -> dict[str, Any]:
    """One flat row: `accuracy_low`, `time.fit_s`, `config.<changed key>` and so on."""
    row: dict[str, Any] = {}
    for name, value in _json_run(run).items():
        if name.endswith("_interval"):
            low, high = value or (None, None)
            row |= {name.replace("interval", "low"): low, name.replace("interval", "high"): high}
        elif isinstance(value, dict):
            row |= {f"{name}.{key}": part for key, part in value.items()}
        else:
            row[name] = value
    return row


def to_markdown(comparison: "Comparison") -> str:
    """The tables and the verdicts, for a pull request."""
    title = f"**{words.headline(comparison)}.** {basis(comparison)}"
    tables = [markdown_table(head, rows) for _, head, rows in _tables(comparison)]
    lines = [f"- `{_escaped(name)}`: {_escaped(text)}" for name, text in notes(comparison)]
    return "\n\n".join([title, *tables, "\n".join(lines)]) + "\n"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([_escaped(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _escaped(text: str) -> str:
    return re.sub(r"([\\`|*_\[\]<>])", r"\\\1", text)


def to_html(comparison: "Comparison") -> str:
    """The table of runs, for a notebook."""
    return html_table(
        f"{words.headline(comparison)}. {basis(comparison)}.",
        HEAD,
        [(run.run.path, run_cells(run)) for run in comparison.runs],
    )


def basis(comparison: "Comparison") -> str:
    """What all of it rests on."""
    tests = f"p after Holm for {comparison.holm_m:,} tests" if comparison.holm_m > 1 else "one test"
    return (
        f"The same {comparison.n:,} {comparison.split} images; "
        f"baseline {printable(comparison.baseline.name)}; "
        f"exact McNemar test, {tests}; intervals at 95 %"
    )


def run_cells(run: ComparedRun) -> list[str]:
    """A run's line under HEAD."""
    return [
        printable(run.name),
        words.accuracy(run.accuracy, run.accuracy_interval),
        *(_difference_cells(run.difference) if run.difference else ("", "", "", "baseline")),
        words.seconds(run.time.get("fit_s")),
        words.microseconds(run.time.get("predict_us_per_image")),
        words.size(run.bytes),
        printable(run.changes),
    ]


def _difference_cells(difference: Difference) -> tuple[str, str, str, str]:
    return (
        words.points(difference.delta, difference.delta_interval),
        f"{difference.fixed:,} / {difference.broke:,}",
        words.probability(difference.p_holm),
        difference.verdict,
    )


def recipe_cells(group: Recipe) -> list[str]:
    """A recipe's line under RECIPE_HEAD."""
    return [
        printable(group.name),
        f"{len(group.runs)} ({group.key} {', '.join(map(printable, group.values[:SENTENCES]))})",
        words.accuracy(group.mean, group.interval),
        words.points(group.delta, group.delta_interval),
        words.probability(group.p_holm),
        words.group_sentence(group),
    ]


def pair_rows(comparison: "Comparison") -> list[list[str]]:
    """Every pair's line under PAIR_HEAD."""
    return [
        [printable(pair.a), printable(pair.b), *_difference_cells(pair.difference)]
        for pair in comparison.pairs
    ]


def notes(comparison: "Comparison") -> list[tuple[str, str]]:
    """Verdicts in words, then skipped runs with the reason, as far as anybody reads."""
    compared = [run for run in comparison.runs if run.difference][:SENTENCES]
    skipped, more = comparison.skipped[:SENTENCES], len(comparison.skipped) - SENTENCES
    lines = [
        *((run.name, words.sentence(run, comparison.n, comparison.classes)) for run in compared),
        *((run.run, f"skipped: {run.reason}") for run in skipped),
    ]
    if more > 0:
        lines.append(("...", f"{more:,} more runs skipped; --format json names them all"))
    return [(printable(name), printable(text)) for name, text in lines]


def _tables(comparison: "Comparison") -> list[tuple[str, list[str], list[list[str]]]]:
    """The tables that have rows: title, head and rows of each."""
    over = f"Over {comparison.groups[0].key}" if comparison.groups else ""
    tables = [
        ("", HEAD, [run_cells(run) for run in comparison.runs]),
        (over, RECIPE_HEAD, [recipe_cells(group) for group in comparison.groups]),
        ("All pairs", PAIR_HEAD, pair_rows(comparison)),
    ]
    return [table for table in tables if table[2]]


def print_table(comparison: "Comparison", console: Console) -> None:
    """The comparison for a person; into a pipe, every run on a line of its own, however long."""
    headline, tables = words.headline(comparison), _tables(comparison)
    if console.is_terminal:
        title = Text.assemble((headline, "bold"), ". ", basis(comparison), ".")
        lines = [Text.assemble((name, "bold"), f": {text}") for name, text in notes(comparison)]
        for part in (title, *(rich_table(*table) for table in tables), Group(*lines)):
            console.print(part)
            console.print()
    else:
        parts = [f"{headline}. {basis(comparison)}.", *(aligned(*table) for table in tables)]
        parts.append("\n".join(f"{name}: {text}" for name, text in notes(comparison)))
        print(*parts, sep="\n\n", file=console.file)


def aligned(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Plain columns: rich takes a millisecond for each row, and folds long lines."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
    return "\n".join([title] * bool(title) + lines)


def rich_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(
        title=title or None,
        title_justify="left",
        box=None,
        padding=(0, 2, 0, 0),
        header_style="bold",
    )
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        cells = [Text(cell) for cell in row]
        for cell, name in zip(cells, head, strict=True):
            if name.startswith("verdict"):
                cell.style = STYLES.get(cell.plain.partition(";")[0], "")
        table.add_row(*cells)
    return table
