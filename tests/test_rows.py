"""Rows of digits are read as a graph: lines, marks, strokes apart, and what stays unread."""

import numpy as np
import pytest
from PIL import Image

from conftest import trained
from mnist_exp.handwriting import Piece, cut, joined, mark_of, split_lines, usual_hands
from mnist_exp.recognition import Reader


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


def test_a_point_is_never_dropped(lines):
    reader, rows, names = lines
    for row, name in zip(rows, names, strict=True):
        ink = np.insert(row, [112] * 24, 0, axis=1)
        ink[84:94, 119:129] = 255
        assert reader.read_ink(ink).label in (None, f"{name[0]}.{name[1:]}")


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
