"""One line of a comparison, and the order of the lines."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mnist_exp.comparison._difference import Difference
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


def _of_difference(name: str) -> Callable[[ComparedRun], Any]:
    return lambda run: getattr(run.difference, name, None)


COLUMNS: dict[str, Callable[[ComparedRun], Any]] = {
    "run": lambda run: run.name,
    "accuracy": lambda run: run.accuracy,
    **{name: _of_difference(name) for name in ("delta", "fixed", "broke", "p", "p_holm")},
    "bytes": lambda run: run.bytes,
}
BEST_FIRST = ("accuracy", "delta", "fixed")  # the others rise


def sort_runs(runs: Sequence[ComparedRun], key: str) -> list[ComparedRun]:
    """Runs by a column, a time or a changed key of the configuration; those without a value come
    last.
    """

    def other(run: ComparedRun) -> Any:
        return run.time.get(key, run.config.get(key))

    value = COLUMNS.get(key, other)
    with_value = [run for run in runs if value(run) is not None]
    if not with_value:
        known = dict.fromkeys(
            [*COLUMNS, *(name for run in runs for name in (*run.time, *run.config))]
        )
        raise UserError(f"--sort {key}: must be one of {', '.join(known)}")

    def rank(run: ComparedRun) -> tuple[bool, Any]:
        found = value(run)
        return (
            (True, found) if isinstance(found, str) else (False, found)
        )  # a key may hold numbers and words

    return [
        *sorted(with_value, key=rank, reverse=key in BEST_FIRST),
        *(run for run in runs if value(run) is None),
    ]
