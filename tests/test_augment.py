"""Augmentation: what each choice computes, against independent implementations, and what all have
in common.
"""

from functools import partial

import numpy as np
import pytest
from omegaconf import OmegaConf
from scipy import ndimage

from mnist_exp import augment
from mnist_exp.config import CONF
from mnist_exp.errors import UserError

RANDOM = {
    "rotate": partial(augment.rotate, copies=2),
    "affine": partial(augment.affine, copies=2),
    "elastic": partial(augment.elastic, copies=2),
    "morph": partial(augment.morph, copies=2),
    "noise": partial(augment.noise, copies=2),
    "salt and pepper": partial(augment.noise, std=0, amount=0.1, copies=2),
    "chain": partial(
        augment.chain,
        morph=partial(augment.morph, copies=1),
        affine=partial(augment.affine, copies=2),
    ),
}
ALL = {
    "none": augment.none,
    "shift": augment.shift,
    "diagonal": partial(augment.shift, diagonal=True),
    **RANDOM,
}


def blobs(n=300, height=20, width=28):
    """Smooth shapes on black, of no square size, more than one block of them."""
    images = np.random.default_rng(7).random((n, height, width))
    images = ndimage.gaussian_filter(images, (0, 2, 2), mode="constant")
    return np.uint8(np.clip((images - 0.45) * 2000, 0, 255))


@pytest.fixture(scope="module")
def images():
    images = blobs()
    images.flags.writeable = False  # as a memory map is; writing to it would raise
    return images


@pytest.mark.parametrize("name", ALL)
def test_originals_come_first_and_copies_keep_their_order(images, name):
    result = ALL[name](images, np.random.default_rng(0))
    assert result.dtype == np.uint8
    copies = result.reshape(-1, *images.shape)
    np.testing.assert_array_equal(copies[0], images)
    for copy in copies[1:]:  # each image resembles its own original more than its neighbour's
        own = np.abs(copy.astype(float) - images).mean(axis=(1, 2))
        other = np.abs(copy.astype(float) - np.roll(images, 1, axis=0)).mean(axis=(1, 2))
        assert (own < other).mean() > 0.97


@pytest.mark.parametrize("name", RANDOM)
def test_threads_do_not_matter_but_the_seed_does(images, name):
    one, two, three = (
        RANDOM[name](images, np.random.default_rng(5), n_jobs=n_jobs) for n_jobs in (1, 2, 3)
    )
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, three)
    other = RANDOM[name](images, np.random.default_rng(6))
    assert (other != one).reshape(-1, images[0].size).any(axis=1)[len(images) :].mean() > 0.9


@pytest.mark.parametrize("name", RANDOM)
def test_copies_differ_from_one_another_and_blocks_too(name):
    same = np.repeat(blobs(1, 28, 28), 300, axis=0)
    result = RANDOM[name](same, np.random.default_rng(0))
    assert len(np.unique(result[len(same) :].reshape(-1, 784), axis=0)) > 0.7 * (
        len(result) - len(same)
    )


@pytest.mark.parametrize(("pixels", "diagonal"), [(1, False), (3, False), (2, True)])
def test_shift_agrees_with_scipy(images, pixels, diagonal):
    result = augment.shift(images, np.random.default_rng(0), pixels=pixels, diagonal=diagonal)
    moves = [(0, 0)] + [
        (down, right)
        for down in (-1, 0, 1)
        for right in (-1, 0, 1)
        if abs(down) + abs(right) in ((1, 2) if diagonal else (1,))
    ]
    expected = [
        ndimage.shift(images, (0, down * pixels, right * pixels), order=0) for down, right in moves
    ]
    np.testing.assert_array_equal(result, np.concatenate(expected))


def drawn(rng, n, shape):
    """What the first block of n images draws for its first copy."""
    return rng.spawn(1)[0].uniform(-1, 1, (shape, n))


@pytest.mark.parametrize(
    "options",
    [
        {"degrees": 30},
        {"scale": 0.3},
        {"shear": 25},
        {"translation": 4},
        {"degrees": 20, "scale": 0.2, "shear": 15, "translation": 3},
    ],
)
def test_affine_agrees_with_scipy(images, options):
    options = {"degrees": 0, "scale": 0, "shear": 0, "translation": 0, **options}
    result = augment.affine(images[:50], np.random.default_rng(3), **options, copies=1)[50:]
    centre = (np.array(images.shape[1:]) - 1) / 2
    for image, copy, draw in zip(
        images, result, drawn(np.random.default_rng(3), 50, 5).T, strict=False
    ):
        angle, slant = np.deg2rad(draw[:2] * [options["degrees"], options["shear"]])
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        matrix = np.linalg.inv(
            turn @ [[1, 0], [np.tan(slant), 1]] * (1 + draw[2] * options["scale"])
        )
        offset = centre - matrix @ (centre + draw[3:] * options["translation"])
        expected = ndimage.affine_transform(
            image.astype(float), matrix, offset, order=1, mode="grid-constant"
        )
        assert np.abs(copy - expected).max() < 1


def test_rotate_is_affine_with_rotation_only(images):
    turned = augment.rotate(images, np.random.default_rng(1), degrees=15)
    expected = augment.affine(
        images, np.random.default_rng(1), degrees=15, scale=0, shear=0, translation=0
    )
    np.testing.assert_array_equal(turned, expected)


def test_elastic_agrees_with_scipy_for_the_same_fields(images):
    images = images[:50]
    field = (
        np.random.default_rng(3).spawn(1)[0].random((2, *images.shape), dtype=np.float32) * 2 - 1
    )
    field = 30 * ndimage.gaussian_filter(field, (0, 0, 3, 3), mode="constant")
    places = field + np.indices(images.shape[1:])[:, None]
    result = augment.elastic(images, np.random.default_rng(3), alpha=30, sigma=3, copies=1)[50:]
    for k, image in enumerate(images):
        expected = ndimage.map_coordinates(
            image.astype(float), places[:, k], order=1, mode="grid-constant"
        )
        assert np.abs(result[k] - expected).max() < 1


def test_elastic_displaces_by_as_much_as_its_docstring_says():
    ramp = np.broadcast_to(
        np.arange(0, 240, 4, dtype=np.uint8), (200, 60, 60)
    )  # four grey levels a pixel
    moved = augment.elastic(ramp, np.random.default_rng(0), alpha=34, sigma=4, copies=1)[200:]
    pixels = (moved.astype(float) - ramp)[:, 20:40, 20:40].std() / 4
    assert pixels == pytest.approx(34 / (4 * np.sqrt(12 * np.pi)), rel=0.05)


def test_morph_thins_and_thickens_strokes_that_keep_their_brightness(images):
    cross = ndimage.generate_binary_structure(2, 1)[None]
    thin, thick = (
        grey(images, footprint=cross, mode="constant")
        for grey in (ndimage.grey_erosion, ndimage.grey_dilation)
    )
    copy = augment.morph(images, np.random.default_rng(0), strength=1, copies=1)[len(images) :]
    ink = copy.mean(axis=(1, 2)) / images.mean(axis=(1, 2))
    assert (copy >= thin).all()
    assert (copy[thick == 0] == 0).all()
    assert 0.3 < (ink < 0.98).mean() < 0.7
    np.testing.assert_array_equal(copy.max(axis=(1, 2)), images.max(axis=(1, 2)))


def test_noise_has_the_strength_asked_for():
    grey = np.full((50, 28, 28), 128, np.uint8)
    gaussian = augment.noise(grey, np.random.default_rng(0), std=10, copies=1)[50:]
    assert gaussian.std() == pytest.approx(10, rel=0.02)
    assert gaussian.mean() == pytest.approx(128, abs=0.2)
    spoilt = augment.noise(grey, np.random.default_rng(0), std=0, amount=0.2, copies=1)[50:]
    assert [np.mean(spoilt == level) for level in (0, 128, 255)] == pytest.approx(
        [0.1, 0.8, 0.1], abs=0.01
    )


def test_a_chain_feeds_each_step_with_all_the_one_before_returned(images):
    rng = np.random.default_rng(2)
    expected = augment.noise(augment.morph(images, rng, copies=2), rng, copies=1)
    chained = augment.chain(
        images,
        np.random.default_rng(2),
        morph=partial(augment.morph, copies=2),
        noise=partial(augment.noise, copies=1),
    )
    np.testing.assert_array_equal(chained, expected)
    assert len(chained) == 6 * len(images)


@pytest.mark.parametrize("shape", [(0, 28, 28), (1, 1, 1), (3, 2, 40), (2, 400, 300)])
@pytest.mark.parametrize("name", [name for name in ALL if name not in ("shift", "diagonal")])
def test_any_number_and_size_of_images(name, shape):
    images = np.full(shape, 200, np.uint8)
    result = ALL[name](images, np.random.default_rng(0), n_jobs=2)
    assert result.shape[1:] == shape[1:]
    np.testing.assert_array_equal(result[: len(images)], images)


@pytest.mark.parametrize(
    "images", [np.zeros((5, 28, 28), np.float32), np.zeros((5, 784), np.uint8)]
)
@pytest.mark.parametrize("name", ALL)
def test_other_arrays_are_refused(name, images):
    with pytest.raises(ValueError, match=r"uint8 images \(n, h, w\)"):
        ALL[name](images, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        *[
            (name, "copies", value)
            for name in ("rotate", "affine", "elastic", "morph", "noise")
            for value in (0, -1, 1.5, "many", None, True)
        ],
        *[("shift", "pixels", value) for value in (-1, 0, 20, 1.5, "one")],
        ("shift", "diagonal", "yes"),
        ("rotate", "degrees", 181),
        ("affine", "degrees", float("nan")),
        ("affine", "scale", 1),
        ("affine", "shear", 90),
        ("affine", "translation", float("inf")),
        ("elastic", "sigma", 0),
        ("elastic", "alpha", "strong"),
        ("morph", "strength", 1.1),
        ("noise", "std", -1),
        ("noise", "amount", 2),
        ("chain", "affine", "affine"),
    ],
)
def test_a_bad_option_is_named(images, name, option, value):
    with pytest.raises(UserError, match=rf"augment\.{option} must be"):
        getattr(augment, name)(images, np.random.default_rng(0), **{option: value})


@pytest.mark.parametrize(
    "path", sorted((CONF / "augment").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_option_stands_in_its_yaml_with_its_default(path):
    options = OmegaConf.load(path)
    options.pop("defaults", None)
    options.pop("space", None)  # what a search tries is no option of the function
    function = getattr(augment, options.pop("_target_").rsplit(".", 1)[1])
    assert path.stem == function.__name__
    assert options.pop("_partial_") is True
    if path.stem != "chain":
        assert dict(options) == {
            name: value for name, value in function.__kwdefaults__.items() if name != "n_jobs"
        }
