"""The cache of decoded arrays: quick, never trusted blindly, never in the way."""

import os
import time

import numpy as np
import pytest

from conftest import write_idx
from mnist_exp.data import idx, load, mnist

IMAGES = "train-images-idx3-ubyte"


def entry(cache_dir):
    (path,) = cache_dir.glob(f"datasets/{IMAGES}-*.npy")
    return path


def test_the_second_load_maps_the_entry(idx_files, tmp_path):
    first = load(idx(idx_files, tmp_path)).train
    second = load(idx(idx_files, tmp_path)).train
    assert isinstance(second.images, np.memmap)
    assert second.sha256 == first.sha256


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content + b"x",
        lambda content: b"",
        lambda content: b"\x93NUMPY" + bytes(30),
        lambda content: content.replace(b"|u1", b"|i1"),
    ],
)
def test_a_damaged_entry_is_built_anew(idx_files, tmp_path, damage):
    first = load(idx(idx_files, tmp_path)).train
    entry(tmp_path).write_bytes(damage(entry(tmp_path).read_bytes()))
    assert load(idx(idx_files, tmp_path)).train.sha256 == first.sha256
    assert isinstance(load(idx(idx_files, tmp_path)).train.images, np.memmap)


def test_a_changed_file_is_read_again(idx_files, tmp_path):
    load(idx(idx_files, tmp_path))
    path = idx_files / f"{IMAGES}.gz"
    write_idx(path, np.full((60, 20, 16), 7))
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    assert (load(idx(idx_files, tmp_path)).train.images == 7).all()


def test_without_a_usable_cache_folder_all_works_with_one_warning(idx_files, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    expected = load(idx(idx_files)).train.sha256
    for _ in range(2):
        assert load(idx(idx_files, tmp_path / "file")).train.sha256 == expected
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "data are decoded anew every time" in caplog.text


def test_70_000_images_come_back_in_half_a_second(mnist_dir, tmp_path):
    load(mnist(mnist_dir, tmp_path))
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        dataset = load(mnist(mnist_dir, tmp_path))
        assert int(dataset.train.images.max()) == int(dataset.test.images.max()) == 255
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.5
