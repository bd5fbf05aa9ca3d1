"""From what a person names to the runs meant and their answers: folders, trees, searches, patterns,
`latest`.
"""

import glob
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mnist_exp.comparison._answers import Answers, display_path, one_line, read_answers
from mnist_exp.errors import UserError
from mnist_exp.runs import Labels, Run, SplitName, open_run

SEARCH_RESULTS = "optimization_results.yaml"  # what a search leaves in its folder, beside `best/`
BEST = "best"
READERS = 4  # threads: a network disk answers several at once


@dataclass(frozen=True)
class Found:
    """A run that the words of a command led to: its answers, or why there are none."""

    words: frozenset[int]  # the numbers of the words that led to it
    name: str
    answers: Answers | None
    reason: str | None


def find_answers(words: Sequence[str], split: SplitName, outputs: Path) -> list[Found]:
    """Read every run once, in the order of the words; one that cannot be read is there with its
    reason.
    """
    runs: dict[str, Run] = {}
    named: dict[str, set[int]] = {}
    lost: list[Found] = []
    for word, text in enumerate(words):

        def unreadable(error: OSError, word: int = word) -> None:
            lost.append(
                Found(
                    frozenset({word}), display_path(Path(error.filename)), None, str(error.strerror)
                )
            )

        for run in runs_named(text, split, outputs, unreadable):
            place = os.path.realpath(run.path)
            runs.setdefault(place, run)
            named.setdefault(place, set()).add(word)
    known: Labels = {}
    with ThreadPoolExecutor(READERS) as pool:
        read = pool.map(
            lambda place: _read(frozenset(named[place]), runs[place], split, known), runs
        )
        return [*read, *lost]


def _read(words: frozenset[int], run: Run, split: SplitName, known: Labels) -> Found:
    name = display_path(run.path)
    try:
        return Found(words, name, read_answers(run, split, known), None)
    except UserError as error:
        return Found(words, name, None, one_line(str(error)))
    except Exception as error:  # a folder from elsewhere can be broken in any way; the others go on
        return Found(words, name, None, one_line(f"{type(error).__name__}: {error}"))


def runs_named(
    text: str, split: SplitName, outputs: Path, unreadable: Callable[[OSError], None]
) -> list[Run]:
    """All runs that one word stands for, in order; UserError if it stands for nothing."""
    if text == "latest":
        matches = [str(open_run(text, outputs).path)]
    elif os.path.lexists(text):
        matches = [text]
    else:
        matches = glob.glob(text, recursive=True)  # noqa: PTH207  (absolute patterns too)
    if not matches:
        raise UserError(f"{text}: no such run, folder or pattern")
    return [
        run for match in sorted(matches, key=_natural) for run in _walk(match, split, unreadable)
    ]


def _walk(root: str, split: SplitName, unreadable: Callable[[OSError], None]) -> Iterator[Run]:
    """The runs at or below `root` that have their say on a split, jobs in the order of their
    numbers.

    A search stands for its `best/` on the test split, which its trials never saw, and for its
    trials on the validation split. Folders that cannot be listed are handed to `unreadable`; no
    symbolic link below `root` is followed.
    """
    for path, folders, files in os.walk(root, onerror=unreadable):
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
