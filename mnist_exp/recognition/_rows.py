"""Reading a line: pieces of ink are joined and cut until they make digits and marks."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import numpy as np

from mnist_exp.handwriting import (
    Ink,
    Piece,
    are_loose,
    cut,
    drawn_to_mnist,
    joined,
    long_mark_of,
    mark_of,
    resized,
    share,
    shared_rows,
    usual_hands,
)
from mnist_exp.recognition._answer import MARKS, STRANGE, Answer
from mnist_exp.recognition._graph import (
    UNREAD,
    UNREAD_COST,
    Arc,
    Reading,
    cost_of,
    readings,
    shape_of,
    spans_of,
)
from mnist_exp.recognition._novelty import OTHER_HANDS, is_bar_or_blot

if TYPE_CHECKING:
    from mnist_exp.recognition._reader import Reader

NUMBER = re.compile(r"-?0+([-.,:/=]0+)*%?|\(0+\)")  # where marks may stand
MAX_DIGITS = 20  # more is no number but a picture of something
MARGIN = 0.4  # nats by which another reading has to be worse
LOOSE = 8.0  # nats that it costs to take a mark for a part of a digit
MARK = -1.0  # nats of a mark, twice more for each further piece; a digit there is not likelier
TOGETHER = 2.0  # nats more for a digit of what makes a mark of several pieces
STRANGEST = 20.0  # times the limit, of bars and blots
# Nats of a digit that may be two, at least; in favour of cuts; of a digit cut off, and of any.
SURE, IN_FAVOUR, CUT_OFF, DOUBTFUL = -0.7, 1.5, 1.4, 2.0
BROAD, WIDE = 0.9, 1.2  # width to height from which a doubtful digit, and any, may be two
NARROW = 0.45  # width to height
# How much nearer than its class another may be: for a narrow digit, and for any in a row.
DOUBTS = 1.0, 1.3
CERTAIN = 0.9  # probability of what was cut off, and of a broad digit that may be two


def read_line(reader: "Reader", pieces: list[Piece]) -> Answer:
    """Read pieces of ink from left to right.

    Parameters
    ----------
    reader : Reader
        Whose model reads.
    pieces : list of Piece
        Connected ink.

    Returns
    -------
    Answer
        What the line says; with marks and what is not read in place.
    """
    likely = _readings(reader, pieces)
    parts = _cut(pieces, likely[0]) if reader.neighbours else pieces
    may_be_more = len(parts) > len(pieces)
    if may_be_more:
        of_parts = _readings(reader, parts, all_read=True)
        worst = max(arc.cost for arc in of_parts[0].arcs)
        if worst < CUT_OFF and of_parts[0].cost < likely[0].cost + IN_FAVOUR:
            likely, pieces = of_parts, parts
    arcs = likely[0].arcs
    near = [other for other in likely[1:2] if other.cost - likely[0].cost < MARGIN]
    rivals = [arc for other in near for arc in other.arcs]
    images = [arc.image for arc in arcs if arc.image is not None]
    if not images:
        return Answer(None, STRANGE)
    if len(arcs) == 1 and not rivals:
        answer = _alone(reader, np.stack(images), joined(pieces))
        return _if_certain(answer) if may_be_more else answer
    answers = reader.judge(np.stack(images), in_row=True, spare=OTHER_HANDS)
    if may_be_more:
        answers = [_if_certain(answer) for answer in answers]
    return _line_answer(reader, pieces, arcs, rivals, answers)


def _line_answer(
    reader: "Reader",
    pieces: list[Piece],
    arcs: Sequence[Arc],
    rivals: Sequence[Arc],
    answers: list[Answer],
) -> Answer:
    """Put a line together; where the second best reading is about as good, nothing is read."""
    digits, texts, is_foreign = [], [], False
    loose = are_loose(pieces, shared_rows(pieces))
    remaining = iter(answers)
    for arc in arcs:
        text = arc.text
        if arc.image is not None:
            answer = _with_doubt(next(remaining), pieces[arc.first : arc.stop])
            digits.append(answer)
            text = answer.label if answer.label and arc.cost < DOUBTFUL else UNREAD
        is_sure = not rivals or (arc.first, arc.stop, arc.text) in [
            (rival.first, rival.stop, rival.text) for rival in rivals
        ]
        texts.append(text if is_sure else UNREAD)
        if texts[-1] == UNREAD:
            over = [r for r in (arc, *rivals) if r.first < arc.stop and arc.first < r.stop]
            is_foreign |= any(r.is_mark for r in over) or any(loose[arc.first : arc.stop])
    text = ("" if reader.strokes else " ").join(texts)
    form = "".join("0" if arc.image is not None else arc.text for arc in arcs)
    if UNREAD not in texts and len(digits) <= MAX_DIGITS and NUMBER.fullmatch(form):
        return Answer(text, digits=digits)
    reason = MARKS if is_foreign or not NUMBER.fullmatch(form.replace(UNREAD, "0")) else STRANGE
    if set(texts) == {UNREAD}:
        return Answer(None, reason, digits=digits if len(digits) > 1 else [])
    return Answer(None, f"{reason}: {text}", digits=digits)


def _alone(reader: "Reader", image: Ink, whole: Piece) -> Answer:
    """Refuse a narrow digit that is more like another one."""
    is_usual = [hand.shape for hand in usual_hands(whole.ink)] == [whole.ink.shape]
    answer = reader.judge(image, spare=1.0 if is_usual else OTHER_HANDS)[0]
    return _with_doubt(answer, [whole]) if _is_narrow(whole) else answer


def _with_doubt(answer: Answer, pieces: Sequence[Piece]) -> Answer:
    """Refuse what is more like another digit."""
    limit = DOUBTS[not _is_narrow(joined(pieces))]
    if answer.label is None or answer.look is None or answer.look.doubt <= limit:
        return answer
    return replace(answer, label=None, reason=STRANGE)


def _if_certain(answer: Answer) -> Answer:
    """Refuse what the model itself is not sure of, where it may be a part of a digit, or two."""
    if answer.label is None or not answer.probabilities:
        return answer
    is_certain = answer.probabilities[answer.label] >= CERTAIN
    return answer if is_certain else replace(answer, label=None, reason=STRANGE)


def _is_narrow(whole: Piece) -> bool:
    return len(whole.columns) < NARROW * len(whole.rows)


def _cut(pieces: list[Piece], best: Reading) -> list[Piece]:
    """Cut the pieces of characters that are hardly digits."""
    parts: list[Piece] = []
    for arc in best.arcs:
        for piece in pieces[arc.first : arc.stop]:
            ratio = len(piece.columns) / len(piece.rows)
            is_doubtful = ratio > (BROAD if arc.cost > SURE else WIDE)
            parts += cut(piece, 100 * len(parts)) if is_doubtful else [piece]
    return sorted(parts, key=lambda piece: piece.columns.start + piece.columns.stop)


def _readings(reader: "Reader", pieces: list[Piece], all_read: bool = False) -> list[Reading]:
    """What a line may say, the likeliest first."""
    rows = shared_rows(pieces)
    spans = spans_of(pieces, len(rows))
    marks = _marks(pieces, spans, rows) if len(pieces) > 1 else []
    unread = [] if all_read or len(pieces) == 1 else range(len(pieces))
    arcs = [*marks, *(Arc(i, i + 1, UNREAD, UNREAD_COST) for i in unread)]
    for digit in _digits(reader, pieces, spans, rows):
        cost = digit.cost
        for mark in marks:
            if mark.first < digit.stop and digit.first < mark.stop:
                cost = max(cost, mark.cost + TOGETHER * (mark.stop > mark.first + 1))
        arcs.append(replace(digit, cost=cost))
    return readings(arcs, len(pieces))


def _marks(pieces: list[Piece], spans: list[tuple[int, int]], rows: range) -> list[Arc]:
    arcs = []
    loose = are_loose(pieces, rows)
    for first, stop in spans:
        mark = mark_of(pieces[first:stop], rows)
        if stop == first + 1:
            mark = mark if loose[first] else long_mark_of(pieces[first], pieces)
        if mark and not any(_is_below(pieces[first], other) for other in pieces):
            arcs.append(Arc(first, stop, mark, MARK * (2 * (stop - first) - 1), is_mark=True))
    return arcs


def _is_below(piece: Piece, other: Piece) -> bool:
    """Whether a piece stands right below another, where no mark of a number does."""
    is_high = len(other.rows) > 2 * len(piece.rows)
    return is_high and piece.top >= other.rows.stop and share(piece.columns, other.columns) > 0.35


def _digits(
    reader: "Reader", pieces: list[Piece], spans: list[tuple[int, int]], rows: range
) -> list[Arc]:
    """Each span as the digit that it is most like."""
    wholes = [joined(pieces[first:stop]) for first, stop in spans]
    hands = [usual_hands(whole.ink) for whole in wholes]
    images = np.stack([drawn_to_mnist(view) for views in hands for view in views])
    fitted = resized(images, reader.shape)
    guesses = reader.ask(fitted)[0]
    strange = np.full(len(images), 0.5)
    if reader.neighbours:
        strange = reader.neighbours.strangeness(fitted, guesses)
        strange /= reader.neighbours.limits[0] * OTHER_HANDS
    strange[[is_bar_or_blot(image) for image in images]] = STRANGEST
    ends = [0, *accumulate(map(len, hands))]
    least = [start + int(strange[start:stop].argmin()) for start, stop in pairwise(ends)]
    shapes = [
        shape_of(pieces[first:stop], whole, len(rows))
        for (first, stop), whole in zip(spans, wholes, strict=True)
    ]
    costs = cost_of(strange[least], np.array(shapes))
    loose = are_loose(pieces, rows)
    costs += [LOOSE * any(loose[first:stop]) for first, stop in spans]
    return [
        Arc(*span, reader.classes[int(guesses[i])], float(cost), images[i])
        for span, i, cost in zip(spans, least, costs, strict=True)
    ]
