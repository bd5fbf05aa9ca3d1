"""From what a person names to runs and their predictions: folders, searches, patterns, `latest`.

While many runs are compared, a bit is kept for each image of each, and what the tables need.
"""

import glob
import hashlib
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_exp.comparison._changes import Config, read_config
from mnist_exp.errors import UserError
from mnist_exp.runs import (
    FILES,
    LabelCache,
    Run,
    SplitName,
    fingerprint,
    open_run,
    shared_index,
)

MOST_CLASSES = 1 << 16
LONGEST_REASON = 400
SEARCH_RESULTS = "optimization_results.yaml"  # what a search leaves in its folder, beside `best/`
BEST = "best"
READERS = 4  # threads: a network disk answers several at once


@dataclass(frozen=True, eq=False)
class RunPredictions:
    """One run's predictions on n images: about 10 kB, where its file unpacks to 400 kB."""

    run: Run
    name: str  # its path as the comparison shows it
    n: int
    split_sha256: str
    label_digest: bytes  # the same images with other labels are another test
    prediction_digest: bytes  # equal ones mean that two runs never differ
    correct: NDArray[np.uint8]  # packed bits, the spare ones 0
    mistakes: NDArray[np.int64]  # each kind: true class * MOST_CLASSES + predicted class
    counts: NDArray[np.int64]  # how often each kind occurred
    config: Config | None  # None where the folder came without its configuration
    n_train: int | None
    time: dict[str, float]
    bytes: int | None
    coverage: float | None = None  # the share answered at the run's own threshold

    @property
    def accuracy(self) -> float:
        """The share of the n images that are right."""
        return self.hits / self.n

    @property
    def hits(self) -> int:
        """How many of the n images are right."""
        return self.n - int(self.counts.sum())


def read_predictions(run: Run, split: SplitName, cache: LabelCache) -> RunPredictions:
    """Read a completed run's predictions; UserError with the reason if they cannot be compared."""
    if (state := run.state) != "completed":
        error = run.status.error
        raise UserError(f"{state}: {error}" if error else state)
    if not run.has_predictions(split):
        other: SplitName = "val" if split == "test" else "test"
        hint = f"; it has those of the {other} split (--split {other})"
        raise UserError(
            f"no predictions of the {split} split" + (hint if run.has_predictions(other) else "")
        )
    label, prediction, split_sha256 = run.labels_and_predictions(split, cache)
    _check_arrays(label, prediction)
    right = label == prediction
    mistakes, counts = np.unique(
        label[~right].astype(np.int64) * MOST_CLASSES + prediction[~right], return_counts=True
    )
    if "accuracy" not in _numbers(run.metrics.get(split)):
        raise UserError(f"metrics.json has no number as {split}.accuracy")
    return RunPredictions(
        run=Run(run.path),  # without the nested configuration and metrics that this one has read
        name=display_path(run.path),
        n=len(label),
        split_sha256=split_sha256,
        label_digest=_digest(label),
        prediction_digest=_digest(prediction),
        correct=np.packbits(right),
        mistakes=mistakes,
        counts=counts,
        config=read_config(run),
        n_train=_numbers(run.metrics.get("data")).get("n_train"),
        time=_numbers(run.metrics.get("time")),
        bytes=_numbers(run.metrics.get("model")).get("bytes"),
        coverage=_numbers(run.metrics.get(split)).get("coverage"),
    )


def display_path(path: Path) -> str:
    """A path relative to the current folder, with forward slashes; absolute on another drive."""
    try:
        shown = Path(os.path.relpath(path)).as_posix()
    except ValueError:
        shown = path.absolute().as_posix()
    # Bytes that are no text have no other form.
    return shown.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def one_line(text: str) -> str:
    """What a folder from anywhere says, on one line of bounded length that steers no terminal."""
    shown = printable(" ".join(text.split()))
    return shown if len(shown) <= LONGEST_REASON else shown[: LONGEST_REASON - 1] + "…"


def printable(text: str) -> str:
    """Text without what could steer a terminal or break a line."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def _check_arrays(label: NDArray[Any], prediction: NDArray[Any]) -> None:
    if label.ndim != 1 or label.shape != prediction.shape or not len(label):
        raise UserError(
            f"labels of shape {label.shape} and predictions of shape {prediction.shape} "
            "do not match"
        )
    if label.dtype.kind not in "iu" or prediction.dtype.kind not in "iu":
        raise UserError(
            f"labels and predictions are {label.dtype} and {prediction.dtype}, not whole numbers"
        )
    if min(label.min(), prediction.min()) < 0 or max(label.max(), prediction.max()) >= MOST_CLASSES:
        raise UserError(f"a class number is outside 0..{MOST_CLASSES - 1}")


def _digest(values: NDArray[Any]) -> bytes:
    return hashlib.blake2b(values.astype(np.uint16).data, digest_size=16).digest()


def _numbers(section: Any) -> dict[str, Any]:
    """The finite numbers of a mapping under plain names; a folder from elsewhere may hold more."""
    if not isinstance(section, Mapping):
        return {}
    return {
        key: value
        for key, value in section.items()
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and key.isprintable()
    }


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
    numbers = [frozenset(led_by[place]) for place in runs]
    return [*_read_all(list(runs.values()), numbers, split), *unlisted]


def _read_all(
    runs: Sequence[Run], paths: Sequence[frozenset[int]], split: SplitName
) -> Iterator[Candidate]:
    """Read each run, or take from the index what was read of it before, if nothing has changed."""
    index = shared_index()
    cache: LabelCache = {}
    files = [*FILES, f"predictions_{split}.npz"]
    prints = [fingerprint(str(run.path), split, files) for run in runs]
    entries = index.get(looked_at.key for looked_at in prints)
    news: dict[bytes, bytes] = {}

    def read(number: int) -> Candidate:
        key, settled, _ = prints[number]
        candidate = _read(paths[number], runs[number], split, cache, entries.get(key))
        if settled and key not in entries and candidate.predictions:
            news[key] = _encode(candidate.predictions)
        return candidate

    with ThreadPoolExecutor(READERS) as pool:
        yield from pool.map(read, range(len(runs)))
    index.put(news)


def _read(
    paths: frozenset[int], run: Run, split: SplitName, cache: LabelCache, entry: bytes | None
) -> Candidate:
    name = display_path(run.path)
    try:
        predictions = _decode(run, name, entry) if entry else read_predictions(run, split, cache)
        return Candidate(paths, name, predictions, None)
    except Exception as error:  # a folder from elsewhere can be broken in any way; the others go on
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        return Candidate(paths, name, None, one_line(f"{kind}{error}"))


def _encode(predictions: RunPredictions) -> bytes:
    """What the index keeps: a line of JSON, then the arrays as they are."""
    arrays = predictions.correct, predictions.mistakes, predictions.counts
    facts = {
        "n": predictions.n,
        "split_sha256": predictions.split_sha256,
        "digests": [predictions.label_digest.hex(), predictions.prediction_digest.hex()],
        "sizes": [array.nbytes for array in arrays],
        "config": None if predictions.config is None else _sections(predictions.config),
        "n_train": predictions.n_train,
        "time": predictions.time,
        "bytes": predictions.bytes,
        "coverage": predictions.coverage,
    }
    return json.dumps(facts).encode() + b"\n" + b"".join(array.tobytes() for array in arrays)


def _decode(run: Run, name: str, entry: bytes) -> RunPredictions:
    line, _, content = entry.partition(b"\n")
    facts = json.loads(line)
    label_digest, prediction_digest = map(bytes.fromhex, facts["digests"])
    ends = list(accumulate(facts["sizes"]))
    config: Config = {}
    for section in facts["config"] or ():
        config |= _section(section)
    return RunPredictions(
        run=run,
        name=name,
        n=facts["n"],
        split_sha256=facts["split_sha256"],
        label_digest=label_digest,
        prediction_digest=prediction_digest,
        correct=np.frombuffer(content[: ends[0]], np.uint8),
        mistakes=np.frombuffer(content[ends[0] : ends[1]], np.int64),
        counts=np.frombuffer(content[ends[1] : ends[2]], np.int64),
        config=None if facts["config"] is None else config,
        n_train=facts["n_train"],
        time=facts["time"],
        bytes=facts["bytes"],
        coverage=facts.get("coverage"),
    )


def _sections(config: Config) -> list[str]:
    """A flat configuration as texts, of which many runs share most."""
    parts = groupby(config.items(), lambda item: item[0].partition(".")[0])
    return [json.dumps(dict(items)) for _, items in parts]


@lru_cache(maxsize=4096)
def _section(text: str) -> Config:
    return {sys.intern(key): value for key, value in json.loads(text).items()}


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
