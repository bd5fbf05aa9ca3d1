"""Segmentation and recognition decide together (LeCun et al. 1998, section V).

The pieces of a line are nodes in order; an arc joins some neighbours to one character, at a cost.
The cheapest path through all pieces is what the line says; what costs hardly more is what else it
might say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mnist_exp.handwriting import Ink, Piece, share

LONGEST = 5  # pieces of one character
BROADEST = 1.6  # of the line's height that a character is wide
UNREAD = "?"
UNREAD_COST = 2.0  # of a piece that is no character
# Of 1, the logarithm of the strangeness and its positive part, and what `shape_of` returns: as a
# conditional random field is fitted to 850 rows, pairs, digits and letters of training images.
WEIGHTS = np.array([-0.25, -2.06, -11.0, -1.5, -0.9, -4.4, -2.0, -0.5, -3.0, -0.4])
BEST = 4  # readings that are kept at each node


@dataclass(frozen=True)
class Arc:
    """Some neighbouring pieces as one character."""

    first: int
    stop: int
    text: str
    cost: float
    image: Ink | None = None  # what the model sees; None for a mark or what is not read
    is_mark: bool = False


@dataclass(frozen=True)
class Reading:
    """A path: characters from left to right."""

    cost: float = 0.0
    arcs: tuple[Arc, ...] = ()

    @property
    def text(self) -> str:
        """All characters."""
        return "".join(arc.text for arc in self.arcs)


def readings(arcs: Sequence[Arc], count: int) -> list[Reading]:
    """Return the cheapest readings of `count` pieces whose texts differ, the best first."""
    nodes = [[Reading()]]
    for stop in range(1, count + 1):
        reached = [
            Reading(before.cost + arc.cost, (*before.arcs, arc))
            for arc in arcs
            if arc.stop == stop
            for before in nodes[arc.first]
        ]
        reached.sort(key=lambda reading: reading.cost, reverse=True)
        by_text = {reading.text: reading for reading in reached}  # the cheapest of a text
        nodes.append(sorted(by_text.values(), key=lambda reading: reading.cost)[:BEST])
    return nodes[count]


def spans_of(pieces: Sequence[Piece], height: int) -> list[tuple[int, int]]:
    """Return which neighbours (first, stop) might be one character of a line so high."""
    spans = []
    for first in range(len(pieces)):
        for stop in range(first + 1, min(first + LONGEST, len(pieces)) + 1):
            columns = [piece.columns for piece in pieces[first:stop]]
            broad = max(c.stop for c in columns) - min(c.start for c in columns)
            if stop == first + 1 or broad <= BROADEST * height:
                spans.append((first, stop))
    return spans


def shape_of(pieces: Sequence[Piece], whole: Piece, height: int) -> list[float]:
    """Return what, besides its strangeness, tells a digit from a part of one or from two."""
    columns = [piece.columns for piece in pieces]
    gaps = [b.start - max(c.stop for c in columns[: i + 1]) for i, b in enumerate(columns[1:])]
    low = sum(len(piece.rows) < 0.45 * height for piece in pieces)
    tall = [piece.columns for piece in pieces if len(piece.rows) >= 0.45 * height]
    apart = sum(share(a, b) < 0.35 for a, b in pairwise(tall))
    return [
        sum(crossed for _, crossed in whole.seams),
        float(len(whole.seams)),
        max(0.0, np.log(height / len(whole.rows)) - 0.15),
        max(0.0, np.log(len(whole.columns) / len(whole.rows)) + 0.1),
        max(0, *gaps, 0) / height,
        float(apart),
        float(low) if len(pieces) > 1 else 0.0,
    ]


def cost_of(strangeness: NDArray[np.float64], shapes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much it costs to take spans for digits; what is likely costs less than 0."""
    strange = np.log(np.clip(strangeness, 0.05, 20))
    terms = np.column_stack([np.ones(len(strange)), strange, np.maximum(strange, 0), shapes])
    return np.asarray(-terms @ WEIGHTS)
