"""Many runs against one: pair them image by image, test, adjust for the number of tests."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_exp.comparison._candidates import Candidate, RunPredictions, find_candidates
from mnist_exp.comparison._changes import changed_keys, describe_changes
from mnist_exp.comparison._curves import Curve, draw_curve
from mnist_exp.comparison._evidence import (
    SPLIT_SEED,
    ComparedRun,
    Difference,
    Group,
    compare_groups,
    differences,
    filter_runs,
    sort_runs,
)
from mnist_exp.comparison._formats import run_row, to_html
from mnist_exp.errors import UserError
from mnist_exp.evaluation import wilson
from mnist_exp.runs import Run, SplitName

if TYPE_CHECKING:
    import pandas

MOST_PAIRED = 100  # runs that all_pairs takes: 4,950 tests
MOST_REASONS = 10

RunPath = str | Path | Run


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
    """Runs on the same test images against one of them, the baseline; see `compare_runs`.

    In a notebook it shows itself as a table.

    Attributes
    ----------
    split : "test" or "val"
    n : int
        How many images every run was judged by.
    split_sha256 : str
        Which images these are.
    classes : tuple of str
        Names; empty where the baseline carries none (the trials of a search).
    runs : list of ComparedRun
        In the order they are to be shown; `difference` is None for the baseline.
    groups : list of Group
        Recipes that ran with several seeds.
    pairs : list of Pair
        Every run against every other, where that was asked for.
    skipped : list of Skipped
        Runs that could not be compared, with the reason.
    without_evidence : list of str
        The paths that led to no run that could be compared.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from mnist_exp.evaluation import Predictions
    >>> label = np.arange(1000) % 10
    >>> with TemporaryDirectory() as folder:
    ...     for name, wrong in ("a", 100), ("b", 40):
    ...         run = Run.claim(Path(folder, name), argv=[])
    ...         prediction = np.where(np.arange(1000) < wrong, 9 - label, label)
    ...         run.save_predictions(
    ...             "test", Predictions(np.arange(1000), label, prediction, None, None, "")
    ...         )
    ...         run.save_metrics({"test": {"accuracy": 1 - wrong / 1000}}, {})
    ...         run.finish("completed")
    ...     comparison = compare_runs(folder)
    >>> comparison.to_frame()[["accuracy", "fixed", "broke", "p_holm"]].round(2)
       accuracy  fixed  broke  p_holm
    0      0.90    NaN    NaN     NaN
    1      0.96   60.0    0.0     0.0
    """

    split: SplitName
    n: int
    split_sha256: str
    classes: tuple[str, ...]
    runs: list[ComparedRun]
    groups: list[Group]
    pairs: list[Pair]
    skipped: list[Skipped]
    without_evidence: list[str]

    @property
    def baseline(self) -> ComparedRun:
        """The run that the others are compared with."""
        return next(run for run in self.runs if run.difference is None)

    @property
    def holm_m(self) -> int:
        """How many tests the p-values are adjusted for."""
        return len(self.runs) - 1

    def to_frame(self) -> "pandas.DataFrame":
        """One row for each run; what is None for the baseline is missing in its row.

        Returns
        -------
        pandas.DataFrame
            The columns of `--format csv`: differences in points, changed keys as `config.<key>`.
        """
        import pandas

        return pandas.DataFrame([run_row(run) for run in self.runs])

    def _repr_html_(self) -> str:
        return to_html(self)


def compare_runs(
    paths: RunPath | Sequence[RunPath],
    *,
    baseline: RunPath | None = None,
    split: SplitName = "test",
    filters: Sequence[str] = (),
    group_by: str = "auto",
    sort: str | None = None,
    all_pairs: bool = False,
    outputs: Path = Path("outputs"),
) -> Comparison:
    """Say which of several runs on the same test images is better, and how sure that is.

    Parameters
    ----------
    paths : path, Run, or a sequence of them
        Runs, sweeps, folders above them, patterns or `latest`. A search stands for its `best/`, on
        the validation split for its trials.
    baseline : path or Run, optional
        What the others are compared with; by default the first run of the first path.
    split : "test" or "val"
        The predictions to compare.
    filters : sequence of str
        KEY=VALUE of the configuration; only such runs take part.
    group_by : str
        The key whose values repeat a recipe; `auto` is the seed.
    sort : str, optional
        A column, a time or a changed key of the configuration; by default the order of the paths.
    all_pairs : bool
        Also test every run against every other.
    outputs : path
        Where `latest` is looked for.

    Returns
    -------
    Comparison

    Raises
    ------
    UserError
        If a path names nothing, or there are not two runs on the same test data.

    Examples
    --------
    Predictions of any origin can be compared: it takes a folder with them.

    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from mnist_exp.evaluation import Predictions
    >>> label = np.arange(1000) % 10
    >>> with TemporaryDirectory() as folder:
    ...     for name, wrong in ("a", 100), ("b", 40):
    ...         run = Run.claim(Path(folder, name), argv=[])
    ...         prediction = np.where(np.arange(1000) < wrong, 9 - label, label)
    ...         run.save_predictions(
    ...             "test", Predictions(np.arange(1000), label, prediction, None, None, "")
    ...         )
    ...         run.save_metrics({"test": {"accuracy": 1 - wrong / 1000}}, {})
    ...         run.finish("completed")
    ...     comparison = compare_runs(folder)
    >>> difference = comparison.runs[1].difference
    >>> difference.fixed, difference.broke, difference.delta, difference.verdict
    (60, 0, 6.0, 'better')
    """
    words = [_word(path) for path in ([paths] if isinstance(paths, RunPath) else paths)]
    named = [] if baseline is None else [_word(baseline)]
    candidates = find_candidates([*named, *words], split, outputs)
    base = _baseline(candidates, [*named, *words][0], named=bool(named))
    key = "seed" if group_by == "auto" else group_by
    reasons = [
        Skipped(run.name, reason)
        for run in candidates
        if (reason := _other_data(run.predictions, base) if run.predictions else run.reason)
    ]
    others = filter_runs(_others(candidates, base, resampled=key == SPLIT_SEED), filters)
    compared = [base, *(run for run in others if _other_data(run, base) is None)]
    if len(compared) == 1:
        why = f" that {' '.join(filters)} leaves" if filters else ""
        raise UserError(
            f"nothing to compare with {base.name}: no other run on the same test data{why}"
            + _listed(reasons)
        )
    groups = compare_groups([base, *others], key)
    grouped = {name for group in groups for name in group.runs}
    ids = {id(run) for run in compared}
    evident = {
        number - len(named)
        for candidate in candidates
        if id(candidate.predictions) in ids
        for number in candidate.paths
    }
    keys = changed_keys([run.config for run in compared if run.config is not None])
    against = [None, *differences([(base, run) for run in compared[1:]])]
    runs = [
        _compared(run, base, difference, keys)
        for run, difference in zip(compared, against, strict=True)
    ]
    return Comparison(
        split=split,
        n=base.n,
        split_sha256=base.split_sha256,
        classes=_classes(base.run),
        runs=runs if sort is None else sort_runs(runs, sort),
        groups=groups,
        pairs=_pairs(compared) if all_pairs else [],
        skipped=[skipped for skipped in reasons if skipped.run not in grouped],
        without_evidence=[word for number, word in enumerate(words) if number not in evident],
    )


def compare_curve(
    paths: RunPath | Sequence[RunPath],
    key: str,
    *,
    split: SplitName = "test",
    filters: Sequence[str] = (),
    outputs: Path = Path("outputs"),
) -> Curve:
    """Draw accuracy along a numeric key of the configuration, a line for each recipe.

    Runs that differ in the seed only are one point. Along `dataset.train_size` the fitted power law
    says whether more data would help.

    Parameters
    ----------
    paths, split, filters, outputs
        As for `compare_runs`.
    key : str
        The key, for example `dataset.train_size`.

    Returns
    -------
    Curve

    Raises
    ------
    UserError
        If a path names nothing, or no recipe has runs on the same images with two values of the
        key.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from mnist_exp.evaluation import Predictions
    >>> label = np.arange(1000) % 10
    >>> with TemporaryDirectory() as folder:
    ...     for size, wrong in (100, 90), (200, 40):
    ...         run = Run.claim(Path(folder, str(size)), argv=[])
    ...         prediction = np.where(np.arange(1000) < wrong, 9 - label, label)
    ...         run.save_predictions(
    ...             "test", Predictions(np.arange(1000), label, prediction, None, None, "")
    ...         )
    ...         run.save_metrics({"test": {"accuracy": 1 - wrong / 1000}}, {})
    ...         run.config_path.parent.mkdir()
    ...         _ = run.config_path.write_text(f"dataset: {{train_size: {size}}}")
    ...         run.finish("completed")
    ...     curve = compare_curve(folder, "dataset.train_size")
    >>> [(point.value, point.accuracy, point.gain) for point in curve.lines[0].points]
    [(100, 0.91, None), (200, 0.96, 5.0)]
    """
    words = [_word(path) for path in ([paths] if isinstance(paths, RunPath) else paths)]
    candidates = find_candidates(words, split, outputs)
    base = _baseline(candidates, words[0], named=False)
    skipped = [
        (run.name, str(reason))
        for run in candidates
        if (reason := _other_data(run.predictions, base) if run.predictions else run.reason)
    ]
    runs = filter_runs([base, *_others(candidates, base, resampled=False)], filters)
    return draw_curve(runs, skipped, key, split)


def _word(path: RunPath) -> str:
    return str(path.path if isinstance(path, Run) else path)


def _classes(run: Run) -> tuple[str, ...]:
    try:
        names = run.model_card.get("classes")
    except UserError:
        return ()
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _baseline(candidates: Sequence[Candidate], path: str, named: bool) -> RunPredictions:
    """The first run of the first path; among several, damaged and incomplete ones are passed."""
    first = [candidate for candidate in candidates if 0 in candidate.paths]
    if named and len(first) > 1:
        raise UserError(f"the baseline must be one run, not {len(first)}: {first[0].name}, ...")
    if not first:
        raise UserError(f"no run to compare with: there is none at or below {path}")
    for candidate in first:
        if candidate.predictions:
            return candidate.predictions
    reasons = [Skipped(candidate.name, str(candidate.reason)) for candidate in first]
    raise UserError("no run to compare with" + _listed(reasons))


def _others(
    candidates: Sequence[Candidate], base: RunPredictions, resampled: bool
) -> list[RunPredictions]:
    """The other runs on the baseline's images; `resampled`: those on other splits as well."""
    return [
        run
        for run in (candidate.predictions for candidate in candidates)
        if run is not None
        and run is not base
        and (
            _other_data(run, base) is None or (resampled and run.split_sha256 != base.split_sha256)
        )
    ]


def _other_data(run: RunPredictions, base: RunPredictions) -> str | None:
    """Why a run cannot be paired with the baseline, image by image; None if it can."""
    if run.n != base.n:
        return f"other test data: {run.n:,} images where the baseline has {base.n:,}"
    if run.split_sha256 != base.split_sha256:
        return (
            f"other test data: sha256 {run.split_sha256[:8]} "
            f"where the baseline has {base.split_sha256[:8]}"
        )
    if run.label_digest != base.label_digest:
        return (
            "other labels than the baseline under the same sha256: one of the two files was changed"
        )
    return None


def _listed(reasons: Sequence[Skipped]) -> str:
    lines = [f"\n  {skipped.run}: {skipped.reason}" for skipped in reasons[:MOST_REASONS]]
    more = len(reasons) - MOST_REASONS
    return "".join(lines) + (f"\n  and {more:,} more" if more > 0 else "")


def _compared(
    run: RunPredictions, base: RunPredictions, difference: Difference | None, keys: Sequence[str]
) -> ComparedRun:
    changes = "configuration not recorded" if run.config is None else ""
    if run.config is not None and base.config is not None:
        changes = describe_changes(base.config, run.config)
    return ComparedRun(
        run=run.run,
        name=run.name,
        accuracy=run.accuracy,
        accuracy_interval=wilson(run.hits, run.n),
        difference=difference,
        config={key: run.config[key] for key in keys if run.config and key in run.config},
        changes=changes,
        time=run.time,
        bytes=run.bytes,
    )


def _pairs(runs: Sequence[RunPredictions]) -> list[Pair]:
    if len(runs) > MOST_PAIRED:
        raise UserError(
            f"all pairs of {len(runs):,} runs are too many to read; "
            f"--filter them to {MOST_PAIRED} at most"
        )
    couples = list(combinations(runs, 2))
    return [
        Pair(a.name, b.name, difference)
        for (a, b), difference in zip(couples, differences(couples), strict=True)
    ]
