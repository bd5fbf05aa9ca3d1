"""A run's model reading pictures: what it says, and whether to believe it."""

from mnist_exp.recognition._answer import BLANK, LINES, MARKS, STRANGE, Answer
from mnist_exp.recognition._confidence import held_back, recorded_threshold
from mnist_exp.recognition._novelty import Neighbours
from mnist_exp.recognition._reader import Reader, load_reader

__all__ = [
    "BLANK",
    "LINES",
    "MARKS",
    "STRANGE",
    "Answer",
    "Neighbours",
    "Reader",
    "held_back",
    "load_reader",
    "recorded_threshold",
]
