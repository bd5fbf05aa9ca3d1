"""Recipes over seeds or splits: one run proves something of one fitted model, several of the way it
was made.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mnist_exp.comparison._answers import Answers
from mnist_exp.comparison._changes import ABSENT, describe_changes, recipe, text
from mnist_exp.comparison._difference import ALPHA
from mnist_exp.errors import UserError
from mnist_exp.evaluation import Interval, holm, mean_interval, paired_t, seeds_needed

FEW_SEEDS = 5  # below that a t interval is valid for normal scatter only, and wide
SPLIT_SEED = "dataset.split_seed"  # runs that differ in it answered other images, and trained on parts that overlap


@dataclass(frozen=True)
class Group:
    """Runs that differ in one key only, the seed as a rule; accuracies as shares, `delta` and its
    interval in points.

    The difference is the mean over the seeds that this group and the baseline's share, each seed
    against the same seed; over split seeds, those that gave both the same images, and with the
    correction of Nadeau and Bengio.
    """

    name: str
    key: str
    runs: list[str]
    values: list[str]  # of the key, in the order of `accuracies`
    accuracies: list[float]
    interval: Interval | None  # t interval of the mean; None if deterministic
    deterministic: bool  # all runs gave the same answers: the key changes nothing
    is_baseline: bool
    pairs: int
    delta: float | None
    delta_interval: Interval | None
    p: float | None
    p_holm: float | None
    seeds_to_settle: int | None

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


def compare_groups(every: Sequence[Answers], key: str) -> list[Group]:
    """Every recipe that ran with two or more values of `key`, against that of the first run, the
    baseline.
    """
    members: dict[frozenset[tuple[str, str]], list[Answers]] = defaultdict(list)
    for answers in every:
        if (
            answers.config is not None
            and key in answers.config
            and (key != SPLIT_SEED or answers.n_train)
        ):
            members[recipe(answers.config, key)].append(answers)
    if not members and key != "seed":
        raise UserError(f"--group-by {key}: no run has that key")
    base = every[0]
    own = next((group for group in members.values() if base in group), [])
    repeated = [
        group for group in members.values() if group is not own and len(_by_value(group, key)) > 1
    ]
    if not repeated and len(_by_value(own, key)) < 2:
        return []
    groups = [_group(group, own, key) for group in ([own] if own else []) + repeated]
    tested = [group.p for group in groups if group.p is not None]
    adjusted = iter(holm(tested).tolist())
    return [group if group.p is None else replace(group, p_holm=next(adjusted)) for group in groups]


def _by_value(group: Sequence[Answers], key: str) -> Mapping[tuple[str, str, bytes], float]:
    """Accuracy by value of the key and test data; several runs of one value (a command given twice)
    count once.
    """
    found: dict[tuple[str, str, bytes], list[float]] = defaultdict(list)
    for answers in group:
        value = text((answers.config or {}).get(key, ABSENT))
        found[value, answers.split_sha256, answers.labels].append(answers.hits / answers.n)
    return {value: float(np.mean(accuracies)) for value, accuracies in found.items()}


def _overlap(group: Sequence[Answers], own: Sequence[Answers], key: str) -> float:
    """The larger n_test / n_train where splits were resampled."""
    return (
        max(answers.n / (answers.n_train or answers.n) for answers in [*group, *own])
        if key == SPLIT_SEED
        else 0.0
    )


def _group(group: Sequence[Answers], own: Sequence[Answers], key: str) -> Group:
    values = _by_value(group, key)
    deterministic = len({answers.said for answers in group}) == 1
    reference = {} if group is own else _by_value(own, key)
    shared = [value for value in values if value in reference]
    deltas = 100 * np.array([values[value] - reference[value] for value in shared])
    scattered = len(shared) > 1 and not (
        deterministic and len({answers.said for answers in own}) == 1
    )
    step, overlap = 1 / group[0].n, _overlap(group, own, key)
    accuracies = np.array(list(values.values()))
    return Group(
        name=_name(group, own, key),
        key=key,
        runs=[answers.name for answers in group],
        values=[value for value, *_ in values],
        accuracies=accuracies.tolist(),
        interval=None
        if deterministic or len(values) < 2
        else mean_interval(accuracies, step=step, overlap=overlap),
        deterministic=deterministic and len(values) > 1,
        is_baseline=group is own,
        pairs=len(shared),
        delta=float(deltas.mean()) if shared else None,
        delta_interval=mean_interval(deltas, step=100 * step, overlap=overlap)
        if scattered
        else None,
        p=paired_t(deltas, step=100 * step, overlap=overlap) if scattered else None,
        p_holm=None,
        seeds_to_settle=seeds_needed(
            float(deltas.mean()), float(deltas.std(ddof=1)), overlap=overlap
        )
        if scattered
        else None,
    )


def _name(group: Sequence[Answers], own: Sequence[Answers], key: str) -> str:
    """What makes this group another recipe than the baseline's."""
    if group is own or not own:
        return "baseline" if group is own else group[0].name
    before, after = (
        {k: v for k, v in (one[0].config or {}).items() if k != key} for one in (own, group)
    )
    return describe_changes(before, after) or "same recipe"
