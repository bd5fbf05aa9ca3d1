"""Splits are stratified, seeded, independent of one another, and refuse what cannot be."""

import hashlib

import numpy as np
import pytest

from mnist_exp.data import Source, load, mnist
from mnist_exp.errors import UserError

COUNTS = {"train": [500, 300, 130, 70], "test": [50, 30, 13, 7]}


def make_part(which, split_seed):
    """Images that carry their row as a pixel value, classes of unequal size in random order."""
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(4), COUNTS[which]))
    return np.arange(len(labels), dtype=np.uint8)[:, None, None] * np.ones((2, 2), np.uint8), labels


SOURCE = Source("made", make_part, lambda: ("a", "b", "c", "d"))


def shares(split):
    return np.bincount(split.labels).tolist()


@pytest.mark.parametrize(
    ("size", "expected"),
    [(100, [50, 30, 13, 7]), (10, [5, 3, 1, 1]), (333, [167, 100, 43, 23]), (4, [1, 1, 1, 1])],
)
def test_every_class_keeps_its_share(size, expected):
    assert shares(load(SOURCE, train_size=size).train) == expected
    assert shares(load(SOURCE, val_size=size).val) == expected


def test_rows_stay_with_their_images_and_in_order():
    dataset = load(SOURCE, train_size=200, val_size=100, test_size=40)
    for name, split in (("train", dataset.train), ("train", dataset.val), ("test", dataset.test)):
        images, labels = make_part(name, 0)
        np.testing.assert_array_equal(split.images, images[split.index])
        np.testing.assert_array_equal(split.labels, labels[split.index])
        assert (np.diff(split.index) > 0).all()


def test_training_and_validation_share_nothing_and_use_everything():
    dataset = load(SOURCE, val_size=167)
    assert sorted([*dataset.train.index, *dataset.val.index]) == list(range(1000))
    assert len(dataset.val) == 167
    dataset = load(SOURCE, val_size=400, train_size=600)
    assert len(np.union1d(dataset.train.index, dataset.val.index)) == 1000


def test_one_size_does_not_move_the_images_of_another():
    alone, together = (
        load(SOURCE, train_size=300),
        load(SOURCE, train_size=300, val_size=100, test_size=50),
    )
    np.testing.assert_array_equal(alone.train.index, together.train.index)
    np.testing.assert_array_equal(load(SOURCE, val_size=100).val.index, together.val.index)
    np.testing.assert_array_equal(load(SOURCE, test_size=50).test.index, together.test.index)


def test_the_seed_decides_and_the_digest_tells():
    first, again, other = (
        load(SOURCE, train_size=300, test_size=50, split_seed=seed) for seed in (0, 0, 1)
    )
    assert first.train.sha256 == again.train.sha256 != other.train.sha256
    assert first.test.sha256 == again.test.sha256 != other.test.sha256
    content = first.test.images.tobytes() + first.test.labels.astype("<i8").tobytes()
    assert first.test.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"train_size": 0}, "dataset.train_size=0: .* from 4 .* to 1000"),
        ({"train_size": 3}, "dataset.train_size=3: .* from 4 .* to 1000"),
        ({"train_size": 1001}, "dataset.train_size=1001: .* to 1000"),
        ({"train_size": -5}, "dataset.train_size=-5"),
        ({"train_size": 100.0}, "dataset.train_size=100.0"),
        ({"train_size": True}, "dataset.train_size=True"),
        ({"train_size": "many"}, "dataset.train_size=many"),
        (
            {"val_size": 997},
            r"dataset.val_size=997: must be null \(none\) or a whole number from 4 .* to 996",
        ),
        (
            {"train_size": 901, "val_size": 100},
            "train_size=901: .* to 900, since 100 of the 1000 are for validation",
        ),
        ({"test_size": 101}, "dataset.test_size=101: .* to 100"),
        ({"split_seed": -1}, "dataset.split_seed=-1"),
        ({"split_seed": "x"}, "dataset.split_seed=x"),
    ],
)
def test_an_impossible_size_is_refused_with_the_range(sizes, message):
    with pytest.raises(UserError, match=message):
        load(SOURCE, **sizes)


def test_labels_without_a_class_and_classes_without_an_image_are_refused():
    with pytest.raises(UserError, match="label 3 in its train part; classes are 0 to 2"):
        load(Source("made", make_part, lambda: ("a", "b", "c")))
    with pytest.raises(UserError, match="training images of 4 of 5 classes"):
        load(Source("made", make_part, lambda: tuple("abcde")))


def test_the_test_part_is_read_only_when_asked_for():
    def part(which, split_seed):
        assert which == "train"
        return make_part(which, split_seed)

    assert (
        load(Source("made", part, lambda: tuple("abcd")), val_size=10, with_test=False).test is None
    )


def test_mnist_comes_whole_and_from_the_memory_map(mnist_dir, tmp_path):
    for _ in range(2):
        dataset = load(mnist(mnist_dir, tmp_path))
    assert (len(dataset.train), len(dataset.test), dataset.classes) == (
        60_000,
        10_000,
        tuple("0123456789"),
    )
    assert np.bincount(dataset.test.labels).tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]
    assert isinstance(dataset.train.images, np.memmap)
    assert not dataset.train.images.flags.writeable
