"""Pictures in folders: any format, size and depth of colour; what is wrong with them is named."""

import numpy as np
import pytest
from PIL import Image

from mnist_exp.data import folder, load
from mnist_exp.errors import UserError


def save_digits(root, split, n=None, suffix="png", change=lambda image: image):
    """Write a split's first images as `<class>/<row>.<suffix>`."""
    for row, (image, label) in enumerate(zip(split.images[:n], split.labels[:n], strict=True)):
        path = root / str(label) / f"{row:03}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        change(Image.fromarray(np.asarray(image))).save(path)


@pytest.fixture
def pictures(digits, tmp_path):
    """A folder with `train/<class>/` and `test/<class>/`."""
    save_digits(tmp_path / "pictures" / "train", digits.train, 100)
    save_digits(tmp_path / "pictures" / "test", digits.test, 60)
    return tmp_path / "pictures"


def test_prepared_pictures_come_back_as_they_were(pictures, digits):
    dataset = load(folder(pictures))
    assert dataset.classes == tuple("0123456789")
    by_class = np.argsort(digits.train.labels[:100], kind="stable")
    np.testing.assert_array_equal(dataset.train.images, digits.train.images[by_class])
    np.testing.assert_array_equal(dataset.train.labels, digits.train.labels[by_class])


def test_without_parts_the_pictures_are_split_by_class_and_seed(digits, tmp_path):
    save_digits(tmp_path, digits.train, 200)
    dataset, other = (
        load(folder(tmp_path, test_fraction=0.25)),
        load(folder(tmp_path, test_fraction=0.25), split_seed=1),
    )
    assert (len(dataset.train), len(dataset.test)) == (150, 50)
    shares = np.bincount(digits.train.labels[:200]) / 4
    assert (abs(np.bincount(dataset.test.labels) - shares) < 1).all()
    assert dataset.test.sha256 != other.test.sha256
    seen = np.concatenate([dataset.train.images, dataset.test.images]).reshape(200, -1)
    expected = digits.train.images[:200].reshape(200, -1)
    assert sorted(map(bytes, seen)) == sorted(map(bytes, expected))


def test_what_is_no_picture_is_left_out_and_suffixes_may_shout(pictures):
    expected = load(folder(pictures)).train.sha256
    for clutter in (".DS_Store", "Thumbs.db", "._000.png", "notes.txt"):
        (pictures / "train" / "3" / clutter).write_text("clutter")
    (pictures / ".git").mkdir()
    (pictures / "train" / "__MACOSX").mkdir()
    for path in (pictures / "train" / "3").glob("0*.png"):
        path.rename(path.with_suffix(".PNG"))
    assert load(folder(pictures)).train.sha256 == expected


def test_classes_that_are_numbers_are_in_their_order(digits, tmp_path):
    save_digits(tmp_path, digits.train, 60)
    (tmp_path / "0").rename(tmp_path / "10")
    assert load(folder(tmp_path)).classes == (*"123456789", "10")


def test_decoding_happens_once_until_a_picture_changes(pictures, tmp_path):
    first = load(folder(pictures, tmp_path / "cache")).train
    mapped = load(folder(pictures, tmp_path / "cache")).train
    assert isinstance(mapped.images, np.memmap)
    assert mapped.sha256 == first.sha256
    Image.new("L", (28, 28)).save(next((pictures / "train" / "0").iterdir()))
    assert load(folder(pictures, tmp_path / "cache")).train.sha256 != first.sha256


def test_a_broken_picture_is_named(pictures):
    broken = sorted((pictures / "train" / "4").iterdir())[1]
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(UserError, match="not a readable picture") as error:
        load(folder(pictures))
    assert str(error.value).startswith(str(broken))


def make_empty(root):
    for path in (root / "train" / "2").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda root: (root / "train" / "7").rename(root / "seven"),
            "7 is a class in the test part only",
        ),
        (make_empty, "2: no pictures"),
    ],
)
def test_a_folder_of_the_wrong_shape_is_named(pictures, change, message):
    change(pictures)
    with pytest.raises(UserError, match=message):
        load(folder(pictures))


@pytest.mark.parametrize("names", [("training", "Testing"), ("TRAIN", "val"), ("train", "valid")])
def test_parts_have_many_names_and_may_lie_one_folder_deeper(pictures, tmp_path, names):
    expected = load(folder(pictures))
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    for part, name in zip(("train", "test"), names, strict=True):
        (pictures / part).rename(tmp_path / "outer" / "inner" / name)
    dataset = load(folder(tmp_path / "outer"))
    assert dataset.train.sha256 == expected.train.sha256
    assert dataset.test.sha256 == expected.test.sha256


def test_a_test_part_may_lack_a_class(pictures):
    expected = load(folder(pictures)).test
    for path in (pictures / "test" / "7").iterdir():
        path.unlink()
    (pictures / "test" / "7").rmdir()
    test = load(folder(pictures)).test
    assert test.labels.tolist() == expected.labels[expected.labels != 7].tolist()


@pytest.mark.parametrize("suffix", ["bmp", "tiff", "webp", "gif", "pgm", "jfif", "BMP"])
def test_the_formats_of_predict_are_read(digits, tmp_path, suffix):
    save_digits(tmp_path / "train", digits.train, 60, suffix)
    save_digits(tmp_path / "test", digits.test, 60, suffix)
    dataset = load(folder(tmp_path))
    by_class = np.argsort(digits.train.labels[:60], kind="stable")
    difference = dataset.train.images.astype(int) - digits.train.images[by_class]
    assert abs(difference).max() < (60 if suffix in ("webp", "jfif") else 1)


def test_what_is_left_out_is_counted_by_kind_and_refused_if_strict(pictures, caplog):
    caplog.set_level("INFO")
    (pictures / "train" / "3" / "notes.txt").touch()
    (pictures / "train" / "4" / "more.txt").touch()
    next((pictures / "train" / "5").iterdir()).rename(pictures / "train" / "stray.png")
    load(folder(pictures))
    assert "no pictures in a class: 2 .txt, 1 beside the classes" in caplog.text
    with pytest.raises(UserError, match=r"2 \.txt, 1 beside .*dataset.strict=false"):
        load(folder(pictures, strict=True))


def test_without_pictures_or_with_one_class_or_one_picture_there_is_nothing_to_learn(tmp_path):
    with pytest.raises(UserError, match=r"dataset=folder needs dataset.path=FOLDER"):
        folder(None)
    with pytest.raises(UserError, match="at least two; there are 0"):
        load(folder(tmp_path))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("L", (28, 28)).save(tmp_path / name / "only.png")
    with pytest.raises(UserError, match="a: one picture only"):
        load(folder(tmp_path))
    with pytest.raises(UserError, match=r"dataset.test_fraction=2"):
        folder(tmp_path, test_fraction=2)
