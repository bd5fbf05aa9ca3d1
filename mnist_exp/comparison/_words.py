"""A comparison in words and short figures, for screens, Markdown and the page alike."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

from mnist_exp.comparison._evidence import FEW_SEEDS, SPLIT_SEED, ComparedRun, Group, Verdict
from mnist_exp.evaluation import Interval

if TYPE_CHECKING:
    from mnist_exp.comparison._compare import Comparison


def accuracy(share: float, interval: Interval | None) -> str:
    """An accuracy and its interval in per cent."""
    bounds = f" [{100 * interval.low:.2f}, {100 * interval.high:.2f}]" if interval else ""
    return f"{100 * share:.2f}{bounds}"


def points(delta: float | None, interval: Interval | None) -> str:
    """A difference and its interval in points, signed."""
    bounds = f" [{interval.low:+.2f}, {interval.high:+.2f}]" if interval else ""
    return "" if delta is None else f"{delta:+.2f}{bounds}"


def probability(p: float | None) -> str:
    """A p-value as far as anybody reads it."""
    return "" if p is None else "<0.0001" if p < 1e-4 else f"{p:.4f}"


def seconds(value: float | None) -> str:
    """A duration in seconds."""
    return "" if value is None else f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"


def microseconds(value: float | None) -> str:
    """Time for one image."""
    return "" if value is None else f"{value:,.0f} µs" if value >= 10 else f"{value:.1f} µs"


def size(value: int | None) -> str:
    """A number of bytes."""
    return (
        ""
        if value is None
        else f"{value / 1e6:.1f} MB"
        if value >= 1e6
        else f"{value / 1e3:.0f} kB"
    )


def headline(comparison: "Comparison") -> str:
    """The whole comparison in one sentence."""
    differences = [run.difference for run in comparison.runs if run.difference]
    verdicts = [difference.verdict for difference in differences]
    if len(verdicts) == 1:
        by = f"by {abs(differences[0].delta):.2f} points"
        return {
            "better": f"The run is better than the baseline {by}",
            "worse": f"The run is worse than the baseline {by}",
            "not distinguishable": "The run cannot be told from the baseline",
            "identical": "The run gives the same answers as the baseline",
        }[verdicts[0]]
    counts = [f"{verdicts.count(v):,} {v}" for v in get_args(Verdict) if v in verdicts]
    return f"Against the baseline, of {len(verdicts):,} runs: " + ", ".join(counts)


def sentence(run: ComparedRun, n: int, classes: Sequence[str]) -> str:
    """The verdict on one run, with what it rests on."""
    difference = run.difference
    if difference is None:
        return "the baseline"
    if difference.identical:
        return "identical: it gives the same answers as the baseline, image by image"
    interval, seeds = difference.delta_interval, difference.seeds_to_settle
    if difference.verdict == "not distinguishable":
        return (
            "not distinguishable: the difference lies between "
            f"{interval.low:+.2f} and {interval.high:+.2f} points; "
            f"these {n:,} images could have shown {difference.detectable:.2f}"
            + (f"; about {seeds:,} seeds of each would settle it" if seeds else "")
        )
    names = dict(enumerate(classes))
    changed = ", ".join(
        f"{names.get(t, t)} as {names.get(p, p)} ({a} → {b})"
        for t, p, a, b in difference.confusions
    )
    return (
        f"{difference.verdict} by {abs(difference.delta):.2f} points: "
        f"fixes {difference.fixed:,} images and breaks {difference.broke:,}"
        + (f"; most changed: {changed}" if changed else "")
    )


def group_sentence(group: Group) -> str:
    """The verdict on one recipe over seeds."""
    parts = [group.verdict if not group.is_baseline else "the baseline's recipe"]
    if group.deterministic:
        parts.append(f"deterministic: every {group.key} gives the same answers")
    if group.verdict == "not distinguishable":
        more = group.seeds_to_settle
        parts.append(
            f"about {more:,} of {group.key} would settle it"
            if more
            else "no number of them would settle it"
        )
    if group.delta_interval and group.pairs < FEW_SEEDS:
        parts.append(f"fewer than {FEW_SEEDS}, so the interval is rough")
    if group.delta_interval and group.key == SPLIT_SEED:
        parts.append("the splits overlap, which the interval allows for (Nadeau and Bengio)")
    return "; ".join(dict.fromkeys(parts))
