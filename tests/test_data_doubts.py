"""What is doubtful about somebody's own data is told in one line; paths load as they are typed."""

import os

import numpy as np
import pytest

from conftest import write_idx_part
from mnist_exp.config import as_typed, build, compose, explain
from mnist_exp.data import Dataset, Split, doubts, idx, load
from mnist_exp.models import bound


def dataset(images, labels, test=None, classes=tuple("0123456789")):
    train = Split(images, labels, np.arange(len(labels)))
    return Dataset("made", classes, train, None, test)


def test_good_digits_raise_no_doubt(digits):
    assert doubts(digits) == []


def test_a_light_ground_and_transposed_digits_name_the_option_that_mends_them(digits):
    images, labels = digits.train.images, digits.train.labels
    (light,) = doubts(dataset(255 - images, labels))
    assert "dataset.invert=true" in light
    (transposed,) = doubts(dataset(images.swapaxes(1, 2), labels))
    assert "dataset.transpose=true" in transposed
    both = doubts(dataset(255 - images.swapaxes(1, 2), labels))
    assert len(both) == 2


def test_leaks_missing_and_rare_classes_and_equal_images_are_counted(digits):
    images, labels = digits.train.images, digits.train.labels
    known = labels != 7
    test = Split(images[known][:200], labels[known][:200], np.arange(200))
    found = doubts(dataset(images, labels, test))
    assert "no test image of 7" in found
    assert "200 of 200 test images are training images" in found[-1]
    rare = np.concatenate([np.flatnonzero(labels != 3), np.flatnonzero(labels == 3)[:4]])
    assert doubts(dataset(images[rare], labels[rare])) == ["fewer than 10 training images of 3 (4)"]
    (equal,) = doubts(dataset(np.zeros_like(images), labels))
    assert equal == "all training images are equal: every pixel is 0"


@pytest.mark.parametrize("name", ["digits (1)", "Jürgen", "a,b", "2024", "it's", "x=[1]", "1e3"])
def test_a_path_loads_as_it_is_typed_and_is_recorded_absolute(digits, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / name
    folder.mkdir()
    for part, split in (("train", digits.train), ("t10k", digits.test)):
        write_idx_part(folder, part, split.images, split.labels)
    for typed in (name, str(folder), f"'{name}'" if "'" not in name else name):
        cfg = compose(["dataset=idx", f"dataset.path={typed}", "model=sgd"])
        assert cfg.dataset.path == str(folder)
    assert build(cfg).load().train.sha256 == digits.train.sha256


def test_the_home_folder_may_be_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "digits").mkdir()
    assert as_typed(["dataset.path=~/digits"]) == [f"dataset.path='{tmp_path / 'digits'}'"]


@pytest.mark.parametrize("path", ["no (such)", "/no (such)", "a,b", "~x/gone"])
def test_a_path_that_is_not_there_is_shown_in_the_form_that_hydra_reads(path):
    with pytest.raises(Exception, match=r".") as error:
        compose(["dataset=idx", f"dataset.path={path}"])
    assert f"\"dataset.path='{path}'\"" in explain(error.value)


def test_defaults_are_bounded_by_what_the_data_have_and_the_log_says_it(digits, caplog):
    small = digits.train.images[:60]
    for words, line in (
        (["model=knn"], "pca.n_components=150 is more than the data have: 60 is taken"),
        (["features=hog", "features.cell=20"], "cell=20 is more than the data have: 14 is taken"),
    ):
        experiment = build(compose(["dataset=digits", "n_jobs=1", *words]))
        bound(experiment.features, small)
        assert line in caplog.text
        assert len(experiment.features.fit_transform(small)) == 60
    knn = build(compose(["dataset=digits", "model=knn", "model.n_neighbors=15"])).estimator
    bound(knn, np.zeros((9, 4)))
    assert knn.n_neighbors == 9


def idx_of(folder, images, labels, **options):
    folder.mkdir()
    write_idx_part(folder, "train", images, labels)
    return load(idx(folder, **options))


def test_one_part_alone_is_split_and_the_prefix_chooses_among_several(digits, tmp_path, caplog):
    caplog.set_level("INFO")
    images, labels = digits.train.images, digits.train.labels
    alone = idx_of(tmp_path / "alone", images, labels, test_fraction=0.25)
    assert (len(alone.train), len(alone.test)) == (300, 100)
    assert "has no test part of its own" in caplog.text
    for name in ("emnist-digits-train", "emnist-letters-train"):
        write_idx_part(tmp_path, name, images, labels)
    with pytest.raises(Exception, match=r"several datasets \(emnist-digits, emnist-letters\)"):
        idx(tmp_path)
    assert len(load(idx(tmp_path, prefix="emnist-digits")).train) == 320


TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


@pytest.mark.parametrize("code", TYPES)
def test_every_type_of_idx_and_labels_of_several_columns_are_read(tmp_path, code):
    images = np.random.default_rng(1).integers(0, 128, (12, 4, 4))
    labels = np.stack([np.arange(12) % 3, np.full(12, 99)], axis=1)
    for name, array in (("images-idx3-x", images), ("labels-idx2-int", labels)):
        header = bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        (tmp_path / f"train-{name}").write_bytes(header + array.astype(TYPES[code]).tobytes())
    dataset = load(idx(tmp_path, test_fraction=0.25))
    assert dataset.classes == ("0", "1", "2")
    seen = {bytes(image) for split in (dataset.train, dataset.test) for image in split.images}
    assert seen == {bytes(image) for image in images.astype(np.uint8)}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html>", "an HTML page that came instead of the file: download it again"),
        (b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
        (b"PK\x03\x04" + bytes(60), "a zip archive"),
        (b"\x89PNG\r\n" + bytes(60), "a PNG picture"),
    ],
)
def test_what_a_wrong_file_is_and_what_lies_beside_it_is_said(idx_files, content, words):
    (idx_files / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(Exception, match=words) as error:
        load(idx(idx_files))
    assert "the folder holds t10k-images-idx3-ubyte.gz" in str(error.value)
    assert os.fspath(idx_files) in str(error.value)
