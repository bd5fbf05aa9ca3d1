"""The IDX reader says what is wrong with a file, and reads what is right."""

import gzip
import struct

import numpy as np
import pytest

from conftest import write_idx, write_idx_part
from mnist_exp.data import idx, load
from mnist_exp.errors import UserError

IMAGES = "train-images-idx3-ubyte"
LABELS = "train-labels-idx1-ubyte"


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_any_size_and_any_labels(tmp_path, suffix):
    images = np.random.default_rng(0).integers(0, 256, (6, 5, 9))
    for part in ("train", "t10k"):
        write_idx(tmp_path / f"{part}-images.idx3-ubyte{suffix}", images)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte{suffix}", np.array([26, 1, 9, 9, 1, 26]))
    dataset = load(idx(tmp_path))
    np.testing.assert_array_equal(dataset.train.images, images)
    assert dataset.classes == ("1", "9", "26")
    assert dataset.test.labels.tolist() == [2, 0, 1, 1, 0, 2]
    assert dataset.test.labels.dtype == np.int64


DAMAGE = {
    "its magic number is 2049, not 2051": lambda content: struct.pack(">I", 2049) + content[4:],
    "truncated: 19,216 bytes expected, 19,000 found": lambda content: content[:19000],
    "trailing bytes: 19,216 bytes expected": lambda content: content + b"x",
    "empty: its header says 0 x 20 x 16": lambda content: struct.pack(">4I", 2051, 0, 20, 16),
    "truncated: 9 bytes, not even a header": lambda content: content[:9],
    "truncated: 0 bytes": lambda content: b"",
    "truncated: 687,194,767,376 bytes expected": lambda content: (
        struct.pack(">4I", 2051, 2**31, 20, 16) + content[16:]
    ),
    "truncated: .* bytes expected": lambda content: (
        struct.pack(">4I", 2051, *3 * [2**32 - 1]) + content[16:]
    ),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("message", DAMAGE)
def test_damage_is_named_together_with_the_file(idx_files, message, packed):
    path = idx_files / f"{IMAGES}.gz"
    content = DAMAGE[message](gzip.decompress(path.read_bytes()))
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(UserError, match=message) as error:
        load(idx(idx_files))
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("message", "change"),
    [
        ("truncated gzip data: it ends after", lambda raw: raw[: len(raw) // 2]),
        ("truncated gzip data", lambda raw: raw[:-8]),
        ("damaged gzip data .*incorrect data check", lambda raw: raw[:-8] + bytes(8)),
        ("damaged gzip data", lambda raw: raw[:20] + bytes(200) + raw[220:]),
    ],
)
def test_damaged_gzip_data_is_named(idx_files, message, change):
    path = idx_files / f"{IMAGES}.gz"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UserError, match=message):
        load(idx(idx_files))


def test_images_and_labels_must_be_as_many(idx_files):
    write_idx(idx_files / f"{LABELS}.gz", np.arange(59) % 3)
    with pytest.raises(UserError, match="60 images, but 59 labels"):
        load(idx(idx_files))


def test_a_test_label_must_be_known_and_test_images_as_large(idx_files):
    write_idx_part(idx_files, "t10k", np.zeros((2, 20, 16)), np.array([0, 7]))
    with pytest.raises(UserError, match="label 7 in the test part"):
        load(idx(idx_files))
    write_idx_part(idx_files, "t10k", np.zeros((2, 20, 17)), np.array([0, 1]))
    with pytest.raises(UserError, match=r"test images are \(20, 17\), training images \(20, 16\)"):
        load(idx(idx_files))


def test_one_class_is_no_problem_to_learn(idx_files):
    write_idx(idx_files / f"{LABELS}.gz", np.zeros(60))
    with pytest.raises(UserError, match="training images of 1 of 2 classes"):
        load(idx(idx_files), with_test=False)


def test_a_missing_folder_or_file_is_named(idx_files):
    with pytest.raises(UserError, match=r"dataset=idx needs dataset.path=FOLDER"):
        idx(None)
    with pytest.raises(UserError, match=r"dataset.path=nowhere"):
        idx("nowhere")
    (idx_files / f"{LABELS}.gz").unlink()
    with pytest.raises(UserError, match=f"neither {LABELS} nor {LABELS}.gz"):
        load(idx(idx_files))


def test_without_the_test_part_its_files_are_not_touched(idx_files):
    for path in idx_files.glob("t10k*"):
        path.unlink()
    assert load(idx(idx_files), with_test=False).test is None
