"""A curve as a table for people, and as JSON, CSV and Markdown."""

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from mnist_exp.comparison import _words as words
from mnist_exp.comparison._candidates import printable
from mnist_exp.comparison._curves import TRAIN_SIZE, Curve, CurveLine, CurvePoint
from mnist_exp.comparison._formats import SENTENCES, aligned, bounds, markdown_table, rich_table


def curve_head(curve: Curve) -> list[str]:
    """The columns of the table."""
    return ["recipe", curve.key, "runs", "accuracy %", "gain over the value before, points"]


def curve_rows(curve: Curve) -> list[list[str]]:
    """A line of the table for each recipe and value."""
    return [
        [
            printable(line.recipe),
            f"{point.value:g}" if point.value % 1 else f"{point.value:,.0f}",
            str(len(point.runs)),
            words.accuracy(point.accuracy, point.interval),
            words.points(point.gain, point.gain_interval),
        ]
        for line in curve.lines
        for point in line.points
    ]


def curve_basis(curve: Curve) -> str:
    """What the curve rests on."""
    runs = sum(len(point.runs) for line in curve.lines for point in line.points)
    return (
        f"{runs:,} runs along {printable(curve.key)}, judged by the same {curve.n:,} {curve.split} "
        "images; intervals at 95 %, over seeds where there are several"
    )


def curve_answers(curve: Curve) -> list[tuple[str, str]]:
    """What each recipe's curve says: was the last step worth it, would more data help."""
    return [
        (printable(line.recipe), " ".join(_answers(line, curve.key == TRAIN_SIZE)))
        for line in curve.lines
    ]


def _answers(line: CurveLine, of_data: bool) -> list[str]:
    before, last = line.points[-2:]
    sentences = [_last_step(before, last)]
    if line.law is None:
        if of_data:
            sentences.append("Whether more data would help takes at least 4 sizes.")
        return sentences
    law, low, high = line.law, line.law.exponent_interval.low, line.law.exponent_interval.high
    sentences.append(
        f"The error falls by a power law of exponent {law.exponent:.2f} [{low:.2f}, {high:.2f}] "
        f"towards {100 * law.floor:.2f} %."
    )
    gain = 100 * (law.next_accuracy - last.accuracy)
    sentences.append(
        f"Would more data help? With {law.next_size:,} images, twice as many, expect "
        f"{words.accuracy(law.next_accuracy, law.next_interval)} %: {gain:+.2f} points."
    )
    return sentences


def _last_step(before: CurvePoint, last: CurvePoint) -> str:
    step = (
        f"From {before.value:,g} to {last.value:,g}: {words.points(last.gain, last.gain_interval)}"
    )
    if last.gain_interval is None:
        return f"From {before.value:,g} to {last.value:,g}: no seed in common."
    if last.gain_interval.low > 0:
        return f"{step} points, worth it."
    return f"{step} points, " + ("a loss." if last.gain_interval.high < 0 else "no sure gain.")


def print_curve(curve: Curve, console: Console) -> None:
    """The curve for a person; into a pipe as plain columns."""
    head, rows = curve_head(curve), curve_rows(curve)
    notes = [*curve_answers(curve), *_skipped(curve)]
    if console.is_terminal:
        console.print(f"{curve_basis(curve)}.\n", markup=False)
        console.print(rich_table("", head, rows))
        for name, text in notes:
            console.print(Text.assemble((name, "bold"), f": {text}"))
    else:
        lines = "\n".join(f"{name}: {text}" for name, text in notes)
        print(
            f"{curve_basis(curve)}.", aligned("", head, rows), lines, sep="\n\n", file=console.file
        )


def _skipped(curve: Curve) -> list[tuple[str, str]]:
    lines = [(printable(n), printable(f"skipped: {why}")) for n, why in curve.skipped[:SENTENCES]]
    more = len(curve.skipped) - SENTENCES
    return [*lines, ("...", f"{more:,} more runs skipped")] if more > 0 else lines


def curve_markdown(curve: Curve) -> str:
    """The table and the answers, for a pull request."""
    answers = "\n".join(f"- {name}: {text}" for name, text in curve_answers(curve))
    table = markdown_table(curve_head(curve), curve_rows(curve))
    return "\n\n".join([f"{curve_basis(curve)}.", table, answers]) + "\n"


def curve_json(curve: Curve) -> dict[str, Any]:
    """Plain data: accuracies as shares, gains in points."""
    return {
        "key": curve.key,
        "split": curve.split,
        "n": curve.n,
        "lines": [
            {
                "recipe": line.recipe,
                "points": [_point(point) for point in line.points],
                "power_law": line.law
                and asdict(line.law)
                | {
                    "exponent_interval": bounds(line.law.exponent_interval),
                    "next_interval": bounds(line.law.next_interval),
                },
            }
            for line in curve.lines
        ],
        "skipped": [{"run": name, "reason": reason} for name, reason in curve.skipped],
    }


def _point(point: CurvePoint) -> dict[str, Any]:
    return {
        "value": point.value,
        "runs": point.runs,
        "accuracy": point.accuracy,
        "accuracy_interval": bounds(point.interval),
        "gain": point.gain,
        "gain_interval": bounds(point.gain_interval),
    }


def curve_csv(curve: Curve) -> str:
    """A row for each recipe and value."""
    import pandas

    rows = [
        {
            "recipe": line.recipe,
            curve.key: point.value,
            "runs": len(point.runs),
            "accuracy": point.accuracy,
            "accuracy_low": point.interval.low,
            "accuracy_high": point.interval.high,
            "gain": point.gain,
            "gain_low": point.gain_interval and point.gain_interval.low,
            "gain_high": point.gain_interval and point.gain_interval.high,
        }
        for line in curve.lines
        for point in line.points
    ]
    return str(pandas.DataFrame(rows).to_csv(index=False, lineterminator="\n"))
