"""Many runs against one: pair the answers image by image, test, adjust for the number of tests."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from mnist_exp.comparison._answers import Answers
from mnist_exp.comparison._changes import changed_keys, describe_changes
from mnist_exp.comparison._difference import Difference, differences
from mnist_exp.comparison._filter import keep
from mnist_exp.comparison._find import Found, find_answers
from mnist_exp.comparison._runs import ComparedRun, sort_runs
from mnist_exp.comparison._seeds import SPLIT_SEED, Group, compare_groups
from mnist_exp.errors import UserError
from mnist_exp.evaluation import wilson
from mnist_exp.runs import Run, SplitName

MOST_PAIRED = 100  # runs that all_pairs takes: 4,950 tests
MOST_REASONS = 10

Named = str | Path | Run


@dataclass(frozen=True)
class Skipped:
    """A run that could not be compared, and why."""

    run: str
    reason: str


@dataclass(frozen=True)
class Pair:
    """Two runs of `all_pairs`, B against A."""

    a: str
    b: str
    difference: Difference


@dataclass(frozen=True)
class Comparison:
    """Runs on the same n test images against one of them, the baseline, in the order they are to be
    shown.
    """

    split: SplitName
    n: int
    split_sha256: str
    classes: tuple[
        str, ...
    ]  # names; empty where the baseline carries none (the trials of a search)
    runs: list[ComparedRun]
    groups: list[Group]
    pairs: list[Pair]
    skipped: list[Skipped]
    without_evidence: list[str]  # the paths that led to no run that could be compared

    @property
    def baseline(self) -> ComparedRun:
        """The run that the others are compared with."""
        return next(run for run in self.runs if run.difference is None)

    @property
    def holm_m(self) -> int:
        """How many tests the p-values are adjusted for."""
        return len(self.runs) - 1


def compare_runs(
    paths: Named | Sequence[Named],
    *,
    baseline: Named | None = None,
    split: SplitName = "test",
    filters: Sequence[str] = (),
    group_by: str = "auto",
    sort: str | None = None,
    all_pairs: bool = False,
    outputs: Path = Path("outputs"),
) -> Comparison:
    """Compare all runs at or below `paths` with a baseline: by default the first run of the first
    path.

    Paths are runs, sweeps, folders above them, patterns or `latest`; `filters` are KEY=VALUE of the
    configuration; `group_by` is the key whose values repeat a recipe (`auto`: the seed); `sort` a
    column or a key of the configuration (None: as found). Raises UserError if a path names nothing,
    or if there are not two runs on the same test data.
    """
    words = [_word(path) for path in ([paths] if isinstance(paths, Named) else paths)]
    chosen = [] if baseline is None else [_word(baseline)]
    found = find_answers([*chosen, *words], split, outputs)
    base = _baseline(found, [*chosen, *words][0], named=bool(chosen))
    key = "seed" if group_by == "auto" else group_by
    reasons = [(one.name, reason) for one in found if (reason := _reason(one, base))]
    others = keep(_others(found, base, resampled=key == SPLIT_SEED), filters)
    every = [base, *(answers for answers in others if _other_data(answers, base) is None)]
    if len(every) == 1:
        raise UserError(_nothing(base, reasons, filters))
    groups = compare_groups([base, *others], key)
    grouped = {name for group in groups for name in group.runs}
    kept = {id(answers) for answers in every}
    evident = {word - len(chosen) for one in found if id(one.answers) in kept for word in one.words}
    keys = changed_keys([answers.config for answers in every if answers.config is not None])
    against = [None, *differences([(base, answers) for answers in every[1:]])]
    runs = [
        _compared(one, base, difference, keys)
        for one, difference in zip(every, against, strict=True)
    ]
    return Comparison(
        split=split,
        n=base.n,
        split_sha256=base.split_sha256,
        classes=_classes(base.run),
        runs=runs if sort is None else sort_runs(runs, sort),
        groups=groups,
        pairs=_pairs(every) if all_pairs else [],
        skipped=[Skipped(name, reason) for name, reason in reasons if name not in grouped],
        without_evidence=[word for number, word in enumerate(words) if number not in evident],
    )


def _word(path: Named) -> str:
    return str(path.path if isinstance(path, Run) else path)


def _classes(run: Run) -> tuple[str, ...]:
    try:
        names = run.model_card.get("classes")
    except UserError:
        return ()
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _baseline(found: Sequence[Found], word: str, named: bool) -> Answers:
    """The first run of the first word; among several, damaged and incomplete ones are passed
    over.
    """
    candidates = [one for one in found if 0 in one.words]
    if named and len(candidates) > 1:
        raise UserError(
            f"the baseline must be one run, not {len(candidates)}: {candidates[0].name}, ..."
        )
    chosen = next((one.answers for one in candidates if one.answers), None)
    if not candidates:
        raise UserError(f"no run to compare with: there is none at or below {word}")
    if chosen is None:
        raise UserError(
            "no run to compare with" + _listed([(one.name, str(one.reason)) for one in candidates])
        )
    return chosen


def _others(found: Sequence[Found], base: Answers, resampled: bool) -> list[Answers]:
    """The runs besides the baseline that answered the same images; `resampled`: on other splits as
    well.
    """
    readable = [one.answers for one in found if one.answers is not None and one.answers is not base]
    return [
        answers
        for answers in readable
        if _other_data(answers, base) is None
        or (resampled and answers.split_sha256 != base.split_sha256)
    ]


def _reason(one: Found, base: Answers) -> str | None:
    """Why a run cannot be set against the baseline image by image; None if it can, or is the
    baseline.
    """
    return one.reason if one.answers is None else _other_data(one.answers, base)


def _other_data(answers: Answers, base: Answers) -> str | None:
    if answers.n != base.n:
        return f"other test data: {answers.n:,} images where the baseline has {base.n:,}"
    if answers.split_sha256 != base.split_sha256:
        return f"other test data: sha256 {answers.split_sha256[:8]} where the baseline has {base.split_sha256[:8]}"
    if answers.labels != base.labels:
        return (
            "other labels than the baseline under the same sha256: one of the two files was changed"
        )
    return None


def _nothing(base: Answers, reasons: Sequence[tuple[str, str]], filters: Sequence[str]) -> str:
    why = f" that {' '.join(filters)} leaves" if filters else ""
    return (
        f"nothing to compare with {base.name}: no other run on the same test data{why}"
        + _listed(reasons)
    )


def _listed(reasons: Sequence[tuple[str, str]]) -> str:
    lines = [f"\n  {name}: {reason}" for name, reason in reasons[:MOST_REASONS]]
    more = len(reasons) - MOST_REASONS
    return "".join(lines) + (f"\n  and {more:,} more" if more > 0 else "")


def _compared(
    answers: Answers, base: Answers, difference: Difference | None, keys: Sequence[str]
) -> ComparedRun:
    config, reference = answers.config, base.config
    if config is None or reference is None:
        changes = "configuration not recorded" if config is None else ""
    else:
        changes = describe_changes(reference, config)
    return ComparedRun(
        run=answers.run,
        name=answers.name,
        accuracy=answers.hits / answers.n,
        accuracy_interval=wilson(answers.hits, answers.n),
        difference=difference,
        config={key: config[key] for key in keys if config and key in config},
        changes=changes,
        time=answers.time,
        bytes=answers.bytes,
    )


def _pairs(every: Sequence[Answers]) -> list[Pair]:
    if len(every) > MOST_PAIRED:
        raise UserError(
            f"all pairs of {len(every):,} runs are too many to read; --filter them to {MOST_PAIRED} at most"
        )
    couples = list(combinations(every, 2))
    return [
        Pair(a.name, b.name, found)
        for (a, b), found in zip(couples, differences(couples), strict=True)
    ]
