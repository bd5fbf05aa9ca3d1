"""The lines of a comparison and what they prove: runs on the same images, recipes over seeds.

Two runs judge two fitted models; several seeds of each judge the way they were made.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any, Literal

import numpy as np

from mnist_exp.comparison._candidates import MOST_CLASSES, RunPredictions
from mnist_exp.comparison._changes import ABSENT, TARGET, describe_changes, recipe, text
from mnist_exp.errors import UserError
from mnist_exp.evaluation import (
    LEVEL,
    Interval,
    detectable_difference,
    difference_interval,
    holm,
    mcnemar,
    mean_interval,
    paired_t,
    seeds_needed,
)
from mnist_exp.runs import Run

ALPHA = 1 - LEVEL
MOST_CONFUSIONS = 3
FEW_SEEDS = 5  # below that a t interval is valid for normal scatter only, and wide
# Runs that differ in it are tested on other images, and were trained on parts that overlap.
SPLIT_SEED = "dataset.split_seed"

COLUMNS = ("run", "accuracy", "delta", "fixed", "broke", "p", "p_holm", "bytes", "coverage")
BEST_FIRST = ("accuracy", "delta", "fixed")  # the others rise

Verdict = Literal["better", "worse", "not distinguishable", "identical"]
Confusion = tuple[int, int, int, int]  # true class, predicted class, count in A, count in B


@dataclass(frozen=True)
class Difference:
    """Run B against run A; accuracies differ by `delta`, in points, with its interval likewise."""

    delta: float
    delta_interval: Interval
    fixed: int  # wrong in A, right in B
    broke: int  # right in A, wrong in B
    identical: bool  # not one prediction differs
    p: float
    p_holm: float
    detectable: float  # the smallest difference, in points, that these images could have shown
    # If seeds scatter as these two runs disagree; None without a difference to settle.
    seeds_to_settle: int | None
    confusions: list[Confusion]  # the largest change first

    @property
    def verdict(self) -> Verdict:
        """What the test says after Holm's adjustment."""
        if self.identical:
            return "identical"
        if self.p_holm >= ALPHA:
            return "not distinguishable"
        return "better" if self.delta > 0 else "worse"


@dataclass(frozen=True)
class ComparedRun:
    """A line of the comparison; `difference` is None for the baseline itself."""

    run: Run
    name: str
    accuracy: float
    accuracy_interval: Interval
    difference: Difference | None
    config: dict[str, Any]  # the keys that are not the same in all runs
    changes: str  # what makes it another recipe than the baseline, in words of the command line
    time: dict[str, float]
    bytes: int | None
    coverage: float | None = None  # the share answered at the run's own threshold, for 99.9 % right
    coverage_interval: Interval | None = None


def differences(pairs: Sequence[tuple[RunPredictions, RunPredictions]]) -> list[Difference]:
    """Compare B with A in each pair (A, B); p-values are adjusted for all of them together."""
    fixed = np.array([int(np.bitwise_count(~a.correct & b.correct).sum()) for a, b in pairs])
    broke = np.array([int(np.bitwise_count(a.correct & ~b.correct).sum()) for a, b in pairs])
    p = mcnemar(fixed, broke)
    tests = zip(pairs, fixed.tolist(), broke.tolist(), p.tolist(), holm(p).tolist(), strict=True)
    return [_difference(a, b, *figures, alpha=ALPHA / len(pairs)) for (a, b), *figures in tests]


def _difference(
    a: RunPredictions,
    b: RunPredictions,
    fixed: int,
    broke: int,
    p: float,
    p_holm: float,
    *,
    alpha: float,
) -> Difference:
    n = a.n
    interval = difference_interval(fixed, broke, n)
    return Difference(
        delta=100 * (fixed - broke) / n,
        delta_interval=Interval(
            100 * interval.low, 100 * interval.high, interval.level, interval.method
        ),
        fixed=fixed,
        broke=broke,
        identical=a.prediction_digest == b.prediction_digest,
        p=p,
        p_holm=p_holm,
        detectable=100 * detectable_difference(fixed + broke, n, alpha),
        seeds_to_settle=seeds_needed((fixed - broke) / n, sqrt(fixed + broke) / n),
        confusions=_confusions(a, b),
    )


def _confusions(a: RunPredictions, b: RunPredictions) -> list[Confusion]:
    kinds = np.union1d(a.mistakes, b.mistakes)
    counts = np.zeros((2, len(kinds)), np.int64)
    for row, run in zip(counts, (a, b), strict=True):
        row[np.searchsorted(kinds, run.mistakes)] = run.counts
    order = np.argsort(-np.abs(counts[1] - counts[0]), kind="stable")[:MOST_CONFUSIONS]
    return [
        (*divmod(int(kinds[i]), MOST_CLASSES), int(counts[0, i]), int(counts[1, i]))
        for i in order
        if counts[0, i] != counts[1, i]
    ]


def sort_runs(runs: Sequence[ComparedRun], key: str) -> list[ComparedRun]:
    """Runs by a column, a time or a changed key; those without a value come last."""

    def value(run: ComparedRun) -> Any:
        if key not in COLUMNS:
            return run.time.get(key, run.config.get(key))
        return run.name if key == "run" else getattr(run, key, getattr(run.difference, key, None))

    with_value = [run for run in runs if value(run) is not None]
    if not with_value:
        names = [*COLUMNS, *(name for run in runs for name in (*run.time, *run.config))]
        raise UserError(f"--sort {key}: must be one of {', '.join(dict.fromkeys(names))}")

    def rank(run: ComparedRun) -> tuple[bool, Any]:  # a key may hold numbers and words
        return isinstance(value(run), str), value(run)

    return [
        *sorted(with_value, key=rank, reverse=key in BEST_FIRST),
        *(run for run in runs if value(run) is None),
    ]


def filter_runs(runs: Sequence[RunPredictions], filters: Sequence[str]) -> Sequence[RunPredictions]:
    """The runs that every KEY=VALUE lets through; UserError for one that lets none through."""
    passed = runs
    for condition in filters:
        key, equals, wanted = condition.partition("=")
        if not equals or not key:
            raise UserError(
                f"--filter {condition}: must be KEY=VALUE, "
                "for example model=rf or model.n_estimators=100"
            )
        values = [_value(run, key) for run in passed]
        known = sorted({value for value in values if value is not None})
        if runs and not known:
            raise UserError(f"--filter {condition}: no run has the key {key}")
        passed = [run for run, value in zip(passed, values, strict=True) if value == wanted]
        if not passed:
            raise UserError(f"--filter {condition}: {key} is one of {', '.join(known[:20])}")
    return passed


def _value(run: RunPredictions, key: str) -> str | None:
    """A key's value as the command line writes it; of a group, the option that was chosen."""
    config = run.config or {}
    if key in config:
        return text(config[key])
    return run.run.choices.get(key) if f"{key}.{TARGET}" in config else None


@dataclass(frozen=True)
class Group:
    """Runs that differ in one key only, the seed as a rule.

    Accuracies are shares, `delta` and its interval points. The difference is the mean over the
    seeds that this group and the baseline's share, each seed against the same seed; over split
    seeds, those that gave both the same images, with the correction of Nadeau and Bengio.
    """

    name: str
    key: str
    runs: list[str]
    values: list[str]  # of the key, in the order of `accuracies`
    accuracies: list[float]
    interval: Interval | None  # t interval of the mean; None if deterministic
    deterministic: bool  # all predictions are the same: the key changes nothing
    is_baseline: bool
    pairs: int
    delta: float | None
    delta_interval: Interval | None = None
    p: float | None = None
    p_holm: float | None = None
    seeds_to_settle: int | None = None

    @property
    def mean(self) -> float:
        """Mean accuracy over the values of the key."""
        return float(np.mean(self.accuracies))

    @property
    def verdict(self) -> str:
        """What the seeds say, with the reason where they say nothing."""
        if self.is_baseline:
            return "baseline"
        if self.pairs < 2:
            return f"no interval: {self.pairs or 'no'} {self.key} in common with the baseline"
        if self.delta_interval is None or self.p_holm is None or self.delta is None:
            return f"deterministic: {self.key} changes nothing here or in the baseline"
        if self.p_holm >= ALPHA:
            return "not distinguishable"
        return "better" if self.delta > 0 else "worse"


def compare_groups(runs: Sequence[RunPredictions], key: str) -> list[Group]:
    """Every recipe with two or more values of `key`, against that of the first run."""
    members: dict[frozenset[tuple[str, str]], list[RunPredictions]] = defaultdict(list)
    for run in runs:
        if run.config and key in run.config and (key != SPLIT_SEED or run.n_train):
            members[recipe(run.config, key)].append(run)
    if not members and key != "seed":
        raise UserError(f"--group-by {key}: no run has that key")
    base = next((group for group in members.values() if runs[0] in group), [])
    repeated = [
        group for group in members.values() if group is not base and len(_by_value(group, key)) > 1
    ]
    if not repeated and len(_by_value(base, key)) < 2:
        return []
    groups = [_group(group, base, key) for group in ([base] if base else []) + repeated]
    adjusted = iter(holm([group.p for group in groups if group.p is not None]).tolist())
    return [group if group.p is None else replace(group, p_holm=next(adjusted)) for group in groups]


def _by_value(group: Sequence[RunPredictions], key: str) -> Mapping[tuple[str, str, bytes], float]:
    """Accuracy by value of the key and test data; a command given twice counts once."""
    accuracies: dict[tuple[str, str, bytes], list[float]] = defaultdict(list)
    for run in group:
        value = text((run.config or {}).get(key, ABSENT))
        accuracies[value, run.split_sha256, run.label_digest].append(run.accuracy)
    return {value: float(np.mean(several)) for value, several in accuracies.items()}


def _group(group: Sequence[RunPredictions], base: Sequence[RunPredictions], key: str) -> Group:
    values, reference = _by_value(group, key), {} if group is base else _by_value(base, key)
    shared = [value for value in values if value in reference]
    deltas = 100 * np.array([values[value] - reference[value] for value in shared])
    deterministic, base_deterministic = (
        len({run.prediction_digest for run in runs}) == 1 for runs in (group, base)
    )
    ratios = [run.n / (run.n_train or run.n) for run in [*group, *base]]
    overlap = max(ratios) if key == SPLIT_SEED else 0.0  # splits that are resampled share images
    step = 1 / group[0].n
    accuracies = np.array(list(values.values()))
    result = Group(
        name=_name(group, base, key),
        key=key,
        runs=[run.name for run in group],
        values=[value for value, *_ in values],
        accuracies=accuracies.tolist(),
        interval=None
        if deterministic or len(values) < 2
        else mean_interval(accuracies, step=step, overlap=overlap),
        deterministic=deterministic and len(values) > 1,
        is_baseline=group is base,
        pairs=len(shared),
        delta=float(deltas.mean()) if shared else None,
    )
    if len(shared) < 2 or (deterministic and base_deterministic):
        return result
    return replace(
        result,
        delta_interval=mean_interval(deltas, step=100 * step, overlap=overlap),
        p=paired_t(deltas, step=100 * step, overlap=overlap),
        seeds_to_settle=seeds_needed(
            float(deltas.mean()), float(deltas.std(ddof=1)), overlap=overlap
        ),
    )


def _name(group: Sequence[RunPredictions], base: Sequence[RunPredictions], key: str) -> str:
    """What makes this group another recipe than the baseline's."""
    if group is base:
        return "baseline"
    if not base:
        return group[0].name
    before, after = (
        {k: v for k, v in (runs[0].config or {}).items() if k != key} for runs in (base, group)
    )
    return describe_changes(before, after) or "same recipe"
