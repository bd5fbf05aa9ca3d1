"""Galleries of images, as every page shows them: which have room, and what stands beneath each."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import Any

import numpy as np

from mnist_exp.data import Images
from mnist_exp.report.sprites import Sheet, capacity, sprite_sheet


@dataclass(frozen=True)
class Gallery:
    """Images by their position in the split, in the order of showing, each with its caption."""

    title: str
    items: list[tuple[int, str]]

    @classmethod
    def of(cls, title: str, positions: Iterable[int], caption: Callable[[int], str]) -> "Gallery":
        """A gallery of these positions."""
        return cls(title, [(int(position), caption(int(position))) for position in positions])


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
    galleries = placed({**first, **then}, places)
    return sprite_sheet(images[np.array(chosen, np.int64)]), galleries


def placed(
    galleries: Mapping[str, Gallery], places: Mapping[int, int]
) -> dict[str, dict[str, Any]]:
    """Galleries with positions in a sheet; a title says when not all images have a place there."""
    pages = {}
    for key, gallery in galleries.items():
        items = [(places[at], caption) for at, caption in gallery.items if at in places]
        n = len(gallery.items)
        room = f", {len(items):,} of {n:,} shown" if len(items) < n else ""
        pages[key] = {"title": gallery.title + room, "items": items, "n": n}
    return pages
