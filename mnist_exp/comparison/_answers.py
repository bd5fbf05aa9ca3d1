"""What is kept of each run while many are compared: a bit for every image, and what little the
table needs.
"""

import hashlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_exp.comparison._changes import Config, read_config
from mnist_exp.errors import UserError
from mnist_exp.runs import Labels, Run, SplitName

MOST_CLASSES = 1 << 16
LONGEST_REASON = 400


@dataclass(frozen=True, eq=False)
class Answers:
    """One run's answers on n images: about 10 kB, where its predictions file unpacks to 400 kB."""

    run: Run
    name: str  # its path as the comparison shows it
    n: int
    split_sha256: str
    labels: bytes  # a digest: the same images with other labels are another test
    said: bytes  # a digest of the predictions: equal ones mean that two runs never differ
    correct: NDArray[np.uint8]  # packed bits, the spare ones 0
    mistakes: NDArray[
        np.int64
    ]  # true class * MOST_CLASSES + predicted class, of each kind of mistake
    counts: NDArray[np.int64]  # how often each kind occurred
    config: Config | None  # None where the folder came without its configuration
    n_train: int | None
    time: dict[str, float]
    bytes: int | None

    @property
    def hits(self) -> int:
        """How many of the n images are right."""
        return self.n - int(self.counts.sum())


def read_answers(run: Run, split: SplitName, known: Labels) -> Answers:
    """Read a completed run's answers; raises UserError with the reason why they cannot be
    compared.
    """
    _check_state(run)
    if not run.has_predictions(split):
        other: SplitName = "val" if split == "test" else "test"
        hint = (
            f"; it has those of the {other} split (--split {other})"
            if run.has_predictions(other)
            else ""
        )
        raise UserError(f"no predictions of the {split} split{hint}")
    label, prediction, split_sha256 = run.answers(split, known)
    _check_arrays(label, prediction)
    right = label == prediction
    mistakes, counts = np.unique(
        label[~right].astype(np.int64) * MOST_CLASSES + prediction[~right], return_counts=True
    )
    if "accuracy" not in _numbers(run.metrics.get(split)):
        raise UserError(f"metrics.json has no number as {split}.accuracy")
    return Answers(
        run=Run(run.path),  # without the nested configuration and metrics that this one has read
        name=display_path(run.path),
        n=len(label),
        split_sha256=split_sha256,
        labels=_digest(label),
        said=_digest(prediction),
        correct=np.packbits(right),
        mistakes=mistakes,
        counts=counts,
        config=read_config(run),
        n_train=_numbers(run.metrics.get("data")).get("n_train"),
        time=_numbers(run.metrics.get("time")),
        bytes=_numbers(run.metrics.get("model")).get("bytes"),
    )


def display_path(path: Path) -> str:
    """A path relative to the current folder, with forward slashes; absolute where another drive
    leaves no choice.
    """
    try:
        shown = Path(os.path.relpath(path)).as_posix()
    except ValueError:
        shown = path.absolute().as_posix()
    return shown.encode("utf-8", "surrogateescape").decode(
        "utf-8", "replace"
    )  # bytes that are no text have no other form


def one_line(text: str) -> str:
    """What a folder from anywhere says, on one line of bounded length, without what could steer a
    terminal.
    """
    shown = plain(" ".join(text.split()))
    return shown if len(shown) <= LONGEST_REASON else shown[: LONGEST_REASON - 1] + "…"


def plain(text: str) -> str:
    """Text without what could steer a terminal or break a line."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def _check_state(run: Run) -> None:
    state = run.state
    if state != "completed":
        error = run.status.error
        raise UserError(f"{state}: {error}" if error else state)


def _check_arrays(label: NDArray[Any], prediction: NDArray[Any]) -> None:
    if label.ndim != 1 or label.shape != prediction.shape or not len(label):
        raise UserError(
            f"labels of shape {label.shape} and predictions of shape {prediction.shape} do not match"
        )
    if label.dtype.kind not in "iu" or prediction.dtype.kind not in "iu":
        raise UserError(
            f"labels and predictions are {label.dtype} and {prediction.dtype}, not whole numbers"
        )
    if min(label.min(), prediction.min()) < 0 or max(label.max(), prediction.max()) >= MOST_CLASSES:
        raise UserError(f"a class number is outside 0..{MOST_CLASSES - 1}")


def _digest(values: NDArray[Any]) -> bytes:
    return hashlib.blake2b(values.astype(np.uint16).data, digest_size=16).digest()


def _numbers(found: Any) -> dict[str, Any]:
    """The finite numbers of a mapping under plain names; what else a folder from elsewhere may hold
    is left out.
    """
    if not isinstance(found, Mapping):
        return {}
    return {
        key: value
        for key, value in found.items()
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and key.isprintable()
    }
