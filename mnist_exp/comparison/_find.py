"""From what a person names to runs and their predictions: folders, searches, patterns, `latest`."""

import glob
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mnist_exp.comparison._predictions import (
    RunPredictions,
    display_path,
    one_line,
    read_predictions,
)
from mnist_exp.errors import UserError
from mnist_exp.runs import LabelCache, Run, SplitName, open_run

SEARCH_RESULTS = "optimization_results.yaml"  # what a search leaves in its folder, beside `best/`
BEST = "best"
READERS = 4  # threads: a network disk answers several at once


@dataclass(frozen=True)
class Candidate:
    """A run that the paths of a command led to: its predictions, or why there are none."""

    paths: frozenset[int]  # the numbers of the paths that led to it
    name: str
    predictions: RunPredictions | None
    reason: str | None


def find_candidates(paths: Sequence[str], split: SplitName, outputs: Path) -> list[Candidate]:
    """Read every run once, in the order of the paths; one that cannot be read has its reason."""
    runs: dict[str, Run] = {}
    led_by: dict[str, set[int]] = {}
    unlisted: list[Candidate] = []
    for number, path in enumerate(paths):

        def note_unlisted(error: OSError, number: int = number) -> None:
            name = display_path(Path(error.filename))
            unlisted.append(Candidate(frozenset({number}), name, None, str(error.strerror)))

        for run in _runs_at(path, split, outputs, note_unlisted):
            place = os.path.realpath(run.path)
            runs.setdefault(place, run)
            led_by.setdefault(place, set()).add(number)
    cache: LabelCache = {}
    with ThreadPoolExecutor(READERS) as pool:
        read = pool.map(
            lambda place: _read(frozenset(led_by[place]), runs[place], split, cache), runs
        )
        return [*read, *unlisted]


def _read(paths: frozenset[int], run: Run, split: SplitName, cache: LabelCache) -> Candidate:
    name = display_path(run.path)
    try:
        return Candidate(paths, name, read_predictions(run, split, cache), None)
    except UserError as error:
        reason = str(error)
    except Exception as error:  # a folder from elsewhere can be broken in any way; the others go on
        reason = f"{type(error).__name__}: {error}"
    return Candidate(paths, name, None, one_line(reason))


def _runs_at(
    path: str, split: SplitName, outputs: Path, unlisted: Callable[[OSError], None]
) -> list[Run]:
    """All runs that one path stands for, in order; UserError if it stands for nothing."""
    if path == "latest":
        matches = [str(open_run(path, outputs).path)]
    elif os.path.lexists(path):
        matches = [path]
    else:
        matches = glob.glob(path, recursive=True)  # noqa: PTH207  (absolute patterns too)
    if not matches:
        raise UserError(f"{path}: no such run, folder or pattern")
    return [run for match in sorted(matches, key=_natural) for run in _walk(match, split, unlisted)]


def _walk(root: str, split: SplitName, unlisted: Callable[[OSError], None]) -> Iterator[Run]:
    """The runs at or below `root` that count on a split, jobs in the order of their numbers.

    A search stands for its `best/` on the test split, which its trials never saw, and for its
    trials on the validation split. Folders that cannot be listed are handed to `unlisted`; no
    symbolic link below `root` is followed.
    """
    for path, folders, files in os.walk(root, onerror=unlisted):
        folders[:] = sorted((name for name in folders if not name.startswith(".")), key=_natural)
        if SEARCH_RESULTS in files:
            folders[:] = [name for name in folders if name != BEST] if split == "val" else []
            if split == "test":
                yield Run(Path(path, BEST))  # also where there is none: reading it then says so
        elif Run(path).exists:
            yield Run(path)


def _natural(name: str) -> list[tuple[str, int]]:
    """A sort key by which 10 comes after 2."""
    return [(text, int(digits or 0)) for text, digits in re.findall(r"(\D*)(\d*)", name)]
