"""The lines of a comparison: which runs take part, and in which order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mnist_exp.comparison._candidates import RunPredictions
from mnist_exp.comparison._changes import TARGET, text
from mnist_exp.comparison._evidence import Difference
from mnist_exp.errors import UserError
from mnist_exp.evaluation import Interval
from mnist_exp.runs import Run


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


COLUMNS = ("run", "accuracy", "delta", "fixed", "broke", "p", "p_holm", "bytes")
BEST_FIRST = ("accuracy", "delta", "fixed")  # the others rise


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
