"""What the macros of `parts.html` show: galleries cut from one sheet, confusions, classes.

One sheet means one download and one decode, however many small pictures a page shows.
"""

import io
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_exp.data import Images
from mnist_exp.evaluation import Interval, precision_recall_f1, wilson

Counts = NDArray[np.int64]

COLUMNS = 40
LONGEST_SIDE = 56  # larger pictures are shrunk: a gallery shows them no bigger
# 2,000 digits take 0.7 MB in a page; pictures that do not compress at all would take 2.1 MB.
PIXELS = 2_000 * 28 * 28


@dataclass(frozen=True)
class Sheet:
    """Grey pictures row by row in a grid; `width` and `height` are those of one, in pixels."""

    png: bytes
    columns: int
    rows: int
    width: int
    height: int


def _shrunk(images: Images) -> tuple[int, int, int]:
    """By what factor pictures (n, h, w) are shrunk, and their height and width then."""
    factor = -(-max(images.shape[1:]) // LONGEST_SIDE)
    height, width = (-(-side // factor) for side in images.shape[1:])
    return factor, height, width


def capacity(images: Images) -> int:
    """How many pictures of this size one sheet should hold, so that a page stays small."""
    _, height, width = _shrunk(images)
    return max(1, PIXELS // (height * width))


def sprite_sheet(images: Images) -> Sheet:
    """Put images (n, h, w) into one sheet, in their order.

    Position i is column i % columns, row i // columns.
    """
    from PIL import Image

    n, h, w = images.shape
    factor, height, width = _shrunk(images)
    rows = max(2, -(-n // COLUMNS))  # of a single row, a place in per cent would be undefined
    room = rows * COLUMNS - n, height * factor - h, width * factor - w
    tiles = np.pad(images, [(0, more) for more in room])
    grid = tiles.reshape(rows, COLUMNS, *tiles.shape[1:]).swapaxes(1, 2)
    picture = Image.fromarray(grid.reshape(rows * tiles.shape[1], COLUMNS * tiles.shape[2]))
    buffer = io.BytesIO()
    picture.reduce(factor).save(buffer, "PNG")
    return Sheet(buffer.getvalue(), COLUMNS, rows, width, height)


@dataclass(frozen=True)
class Gallery:
    """Images by their position in the split, in the order of showing, each with its caption."""

    title: str
    items: list[tuple[int, str]]

    @classmethod
    def of(cls, title: str, positions: Iterable[int], caption: Callable[[int], str]) -> "Gallery":
        """A gallery of these positions."""
        return cls(title, [(int(position), caption(int(position))) for position in positions])

    def placed(self, places: Mapping[int, int]) -> dict[str, Any]:
        """The gallery by places in a sheet; the title says when some images have none there."""
        items = [(places[at], caption) for at, caption in self.items if at in places]
        n = len(self.items)
        room = f", {len(items):,} of {n:,} shown" if len(items) < n else ""
        return {"title": self.title + room, "items": items, "n": n}


def place(
    images: Images, first: Mapping[str, Gallery], then: Mapping[str, Gallery]
) -> tuple[Sheet, dict[str, dict[str, Any]]]:
    """Put the galleries' images into one sheet; returns it, and the galleries as a page wants them.

    Room is given to the galleries `first`, one after the other; what is left, to the first image of
    each gallery of `then`, to the second of each, and so on, so that where room ends, it ends
    fairly.
    """
    ranks = zip_longest(*(gallery.items for gallery in then.values()))
    wanted = chain(*(gallery.items for gallery in first.values()), *ranks)
    positions = dict.fromkeys(item[0] for item in wanted if item)
    chosen = list(islice(positions, capacity(images)))
    places = {position: place for place, position in enumerate(chosen)}
    galleries = {key: gallery.placed(places) for key, gallery in {**first, **then}.items()}
    return sprite_sheet(images[np.array(chosen, np.int64)]), galleries


def confusion_cells(
    counts: Counts, galleries: Container[str], baseline: Counts | None = None, prefix: str = ""
) -> list[list[dict[str, Any]]]:
    """The cells of a confusion matrix (k, k) for the macro `confusion`; rows are true classes.

    Without a baseline the colour is the share of the true class, against the largest such share
    of a mistake. With one, a cell holds the signed change, and the colour its size: on the diagonal
    more is a gain, elsewhere less is. A cell opens the gallery `<prefix><true>-<predicted>`, if
    `galleries` has it.
    """
    diagonal = np.eye(len(counts), dtype=bool)
    if baseline is None:
        shown, form = counts, "d"
        support = np.maximum(counts.sum(axis=1, keepdims=True), 1)
        strength = np.where(diagonal, 0, counts / support)
        kinds = np.where(diagonal, "right", "")
    else:
        shown, form = counts - baseline, "+d"
        strength = np.abs(shown)
        gain = np.where(diagonal, shown, -shown)
        kinds = np.select([gain > 0, gain < 0], ["gain", "loss"], "")
    strength = strength / max(strength.max(), 1e-12)

    def cell(true: int, predicted: int) -> dict[str, Any]:
        number, key = shown[true, predicted], f"{prefix}{true}-{predicted}"
        known = key in galleries
        return {
            "text": format(number, form) if number else "·" if known else "",
            "share": float(strength[true, predicted]),
            "kind": str(kinds[true, predicted]),
            "gallery": key if known else None,
        }

    return [[cell(t, p) for p in range(len(counts))] for t in range(len(counts))]


@dataclass(frozen=True)
class ClassFigures:
    """How well one class was recognised, all as shares."""

    name: str
    n: int
    precision: float
    recall: float
    f1: float
    interval: Interval | None  # of the recall; None for a class without images
    change: Mapping[str, Any] | None = None  # in a comparison: baseline, delta, interval, bar ...


def class_figures(confusion: Counts, classes: Sequence[str]) -> list[ClassFigures]:
    """The figures of every class from a confusion matrix (k, k)."""
    support, hits = confusion.sum(axis=1).tolist(), confusion.diagonal().tolist()
    intervals = [wilson(right, n) if n else None for right, n in zip(hits, support, strict=True)]
    shares = [share.tolist() for share in precision_recall_f1(confusion)]
    return list(map(ClassFigures, classes, support, *shares, intervals))
