"""Rows of digits are read as a graph: lines, marks, strokes apart, and what stays unread."""

import numpy as np
import pytest
from PIL import Image

from conftest import trained
from mnist_exp.handwriting import (
    Piece,
    are_loose,
    cut,
    joined,
    long_mark_of,
    mark_of,
    split_lines,
    usual_hands,
)
from mnist_exp.recognition import LINES, MARKS, Reader
from mnist_exp.recognition._graph import Arc, readings


@pytest.fixture(scope="module")
def sgd(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("rows") / "run", "model=sgd", "dataset.train_size=400")


@pytest.fixture(scope="module")
def lines(sgd):
    """Rows of three digits each, white on black, that are read right one at a time."""
    reader, test = Reader(sgd[0]), sgd[1].test
    large = [np.kron(image, np.ones((4, 4), np.uint8)) for image in test.images[:60]]
    names = [str(label) for label in test.labels[:60]]
    read = [reader.read_ink(image).label for image in large]
    right = [i for i, name in enumerate(names) if read[i] == name][:12]
    rows = [np.hstack([large[i] for i in right[start : start + 3]]) for start in range(0, 12, 3)]
    return reader, rows, ["".join(names[i] for i in right[s : s + 3]) for s in range(0, 12, 3)]


def test_two_lines_are_read_one_after_the_other(lines):
    reader, rows, names = lines
    answers = [reader.read_ink(np.vstack(rows[i : i + 2])) for i in (0, 2)]
    read = [answer.label for answer in answers]
    assert any(label == "\n".join(names[2 * i : 2 * i + 2]) for i, label in enumerate(read))
    assert [len(answer.digits) for answer in answers] == [6, 6]


def with_gap(row, *boxes):
    """A row with room after its first digit, and ink there."""
    ink = np.insert(row, [112] * 60, 0, axis=1)
    for rows, columns in boxes:
        ink[rows, columns] = 255
    return ink


POINT, HIGH = (slice(86, 96), slice(137, 147)), (slice(40, 50), slice(137, 147))
BAR, UPPER = (slice(60, 67), slice(125, 160)), (slice(40, 47), slice(125, 160))


@pytest.mark.parametrize(
    ("mark", "boxes"), [(".", [POINT]), (":", [POINT, HIGH]), ("-", [BAR]), ("=", [BAR, UPPER])]
)
def test_a_mark_is_named_or_refused_and_never_dropped(lines, mark, boxes):
    reader, rows, names = lines
    answers = [reader.read_ink(with_gap(row, *boxes)) for row in rows]
    expected = [f"{name[0]}{mark}{name[1:]}" for name in names]
    for answer, text in zip(answers, expected, strict=True):
        assert answer.label == text or (answer.label is None and answer.reason.startswith(MARKS))
    assert any(answer.label == text for answer, text in zip(answers, expected, strict=True))


def test_what_is_no_mark_is_refused_with_its_place(lines):
    reader, rows, names = lines
    ink = with_gap(rows[0], HIGH)  # a dot at the height of a digit's middle
    answer = reader.read_ink(ink)
    assert (answer.label, answer.reason) == (None, f"{MARKS}: {names[0][0]}?{names[0][1:]}")


def test_lines_beside_a_digit_as_high_as_both_are_refused(lines):
    reader, rows, _ = lines
    digit = rows[0][:, :112]
    ink = np.hstack([np.vstack([digit, digit]), np.kron(digit, np.ones((2, 2), np.uint8))])
    assert reader.read_ink(ink).reason == LINES


def slanted(lean, rows):
    ink = np.zeros((len(rows), 80), np.uint8)
    for y in range(len(rows)):
        x = int(10 + lean * (len(rows) - y))
        ink[y, x : x + 8] = 255
    return Piece(ink[:, ink.any(0)], rows.start, 100)


def test_a_slash_leans_and_is_longer_than_the_digits():
    digits = [Piece(np.full((100, 40), 255, np.uint8), 20, left) for left in (0, 200)]
    leaning, upright, short = (
        slanted(lean, rows)
        for lean, rows in ((0.4, range(10, 130)), (0.05, range(10, 130)), (0.4, range(20, 120)))
    )
    assert [long_mark_of(piece, [piece, *digits]) for piece in (leaning, upright, short)] == [
        "/",
        None,
        None,
    ]


def test_the_bar_of_a_5_is_no_mark_and_a_bar_below_is():
    body = Piece(np.full((70, 40), 255, np.uint8), 30, 0)
    flag, below = (Piece(np.full((8, 50), 255, np.uint8), top, 5) for top in (18, 120))
    assert are_loose([body, flag, below], range(30, 100)) == [False, False, True]


def test_the_cheapest_reading_comes_first_however_many_say_the_same():
    same = [Arc(0, 1, "1", 9.0), Arc(0, 1, "1", 1.0), Arc(0, 1, "7", 2.0)]
    assert [(reading.text, reading.cost) for reading in readings(same, 1)] == [("1", 1), ("7", 2)]


@pytest.mark.parametrize(
    ("rows", "columns", "mark"),
    [((84, 94), (10, 20), "."), ((48, 54), (0, 30), "-"), ((88, 110), (10, 20), ",")],
)
def test_marks_are_told_by_their_geometry(rows, columns, mark):
    ink = np.full((rows[1] - rows[0], columns[1] - columns[0]), 255, np.uint8)
    assert mark_of([Piece(ink, rows[0], columns[0])], range(100)) == mark


def test_what_is_cut_is_whole_again_when_it_is_joined():
    ring = np.asarray(Image.new("L", (40, 60))).copy()
    ring[:8] = ring[-8:] = ring[:, :8] = ring[:, -8:] = 255
    (line,) = split_lines(np.hstack([ring, ring[:, 2:]]))
    parts = cut(line[0], 0)
    assert len(parts) > 1
    np.testing.assert_array_equal(joined(parts).ink, line[0].ink)
    assert joined(parts).seams == ()


def test_a_hair_is_seen_and_a_narrow_digit_widened():
    ink = np.zeros((200, 60), np.uint8)
    ink[[10, 189], 10:50] = ink[10:190, [10, 49]] = 255
    (drawn,) = usual_hands(ink)
    assert drawn.shape[1] / drawn.shape[0] > 0.5
    assert (drawn > 127).mean() > 0.3
