"""The page on a dataset, from the command line, and the figures it gives."""

import sys

import numpy as np
import pytest
from PIL import Image

from mnist_exp.evaluation import (
    count_repeats,
    find_twins,
    inked_share,
    nearest,
    project,
    stroke_width,
    touching_classes,
)
from mnist_exp.explore import main


def test_the_command_names_the_folder_with_the_page_and_its_pictures(finish, chromium):
    words = ["dataset=digits", "dataset.train_size=100", "dataset.test_size=50", "augment=shift"]
    done = finish(*words, "n_jobs=1", module="explore")
    assert done.returncode == 0, done.stderr
    folder = finish.home / done.stdout.removesuffix("\n")
    pictures = {path.stem for path in folder.glob("*.png")}
    expected = "augmentation borders class_pairs classes examples ink means pca pixels tsne twins"
    assert pictures == set(expected.split())
    for name in pictures:
        with Image.open(folder / f"{name}.png") as picture:
            assert min(picture.size) > 200
    page = chromium.new_page(viewport={"width": 390, "height": 800})
    page.goto((folder / "report.html").as_uri())
    assert page.locator("img").count() == len(pictures)
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()


@pytest.mark.parametrize(
    "words", ["dataset=nothing", "augment=shift augment.pixels=-1", "dataset=idx", "seed=banana"]
)
def test_a_mistake_is_a_short_message(monkeypatch, tmp_path, capsys, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MNIST_EXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "argv", ["mnist_exp.explore", "dataset=digits", *words.split()])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code.startswith("error: ")  # Python prints it and exits with 1
    assert capsys.readouterr().out == ""
    assert "Traceback" not in stopped.value.code
    assert words.split()[-1].rpartition(".")[2].partition("=")[0] in stopped.value.code


def test_the_nearest_rows_are_those_of_a_full_search():
    rng = np.random.default_rng(0)
    queries, rows = (
        rng.integers(0, 256, (30, 12), np.uint8),
        rng.integers(0, 256, (11_000, 12), np.uint8),
    )
    squared = np.square(queries[:, None].astype(float) - rows).sum(axis=2)
    index, distance = nearest(queries, rows, 3)
    np.testing.assert_array_equal(
        np.take_along_axis(squared, index, axis=1), np.sort(squared, axis=1)[:, :3]
    )
    np.testing.assert_allclose(distance, np.sort(squared, axis=1)[:, :3], atol=0.5)


@pytest.mark.parametrize("width", [2, 3, 5])
def test_the_width_of_a_bar_is_its_stroke_width(width):
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 4:24, 10 : 10 + width] = 255
    assert stroke_width(image)[0] == pytest.approx(
        width, rel=width / 20
    )  # the two ends are edges as well
    assert stroke_width(np.zeros((1, 28, 28), np.uint8)) == [0]


def test_planted_twins_and_repeats_are_found(digits):
    train, test = digits.train.images.copy(), digits.test.images.copy()
    train[7] = test[3]
    train[9] = np.where(test[5] > 0, test[5] - test[5] // 20, 0)
    twins = find_twins(train, test, *project(train, test))
    assert list(zip(twins.test[:2], twins.train[:2], strict=True)) == [(3, 7), (5, 9)]
    assert twins.distance[0] == 0
    assert twins.distance[1] < 0.1
    assert count_repeats(train, test) - count_repeats(train) - count_repeats(test) == 1


def test_classes_that_touch_are_named_first():
    """Three blobs, two of which overlap."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 100)
    points = (rng.normal(size=(300, 5)) + np.array([[0], [20], [0.5]])[labels]).astype(np.float32)
    share, pairs = touching_classes(points, labels, 3, rng)
    assert pairs[0].classes == (0, 2)
    assert share[0, 2] > 0.2
    assert share[0, 1] == 0
    np.testing.assert_allclose(share.sum(axis=1), 1)
    assert all((labels[a], labels[b]) == (0, 2) for a, b in pairs[0].pairs)


def test_a_pixel_without_ink_has_share_zero():
    images = np.zeros((4, 2, 2), np.uint8)
    images[1, 0, 1] = 9
    np.testing.assert_array_equal(inked_share(images), [[0, 0.25], [0, 0]])
