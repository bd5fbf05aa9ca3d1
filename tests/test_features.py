"""Features: scikit-learn's own checks, loops over pixels, the same answers in any batch."""

import pickle
import sys

import cloudpickle
import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.utils.estimator_checks import parametrize_with_checks

from mnist_exp.errors import UserError
from mnist_exp.features import Deskew, Dictionary, Hog, Pixels, Reduced, chain
from mnist_exp.models import RandomFeatures

EACH = pytest.mark.parametrize(
    "transformer", [Pixels(), Deskew(), Hog(), Hog(deskew=False)], ids=str
)


# scikit-learn checks with tables of 1 to 30 columns, images one pixel high, which cells and blocks
# of one pixel fit.
@parametrize_with_checks(
    [Pixels(), Deskew(), Hog(cell=1, block=1), Hog(cell=1, block=1, deskew=False)]
)
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    ("estimator", "address"),
    [
        *[(one, f"mnist_exp.features.{type(one).__name__}") for one in (Pixels(), Deskew(), Hog())],
        (Dictionary(atoms=3), "mnist_exp.features.Dictionary"),
        (Reduced(Hog()), "mnist_exp.features.Reduced"),
        (RandomFeatures(7), "mnist_exp.models.RandomFeatures"),
    ],
    ids=str,
)
def test_it_is_stored_by_the_address_that_configurations_hold(estimator, address):
    module, _, name = address.rpartition(".")
    kind = type(estimator)
    assert getattr(sys.modules[module], name) is kind
    assert (kind.__module__, kind.__qualname__) == (module, name)
    for library in (pickle, cloudpickle):
        content = library.dumps(estimator)
        assert module.encode() in content
        assert b"._" not in content
        assert type(pickle.loads(content)) is kind  # noqa: S301  (our own)
    assert joblib.hash(clone(estimator)) == joblib.hash(estimator)


@EACH
def test_an_image_has_the_same_features_in_any_batch_and_on_any_threads(images, transformer):
    transformer = clone(transformer).fit(images)
    whole = transformer.transform(images)
    assert whole.dtype == np.float32
    assert whole.flags.c_contiguous
    np.testing.assert_array_equal(
        np.concatenate([transformer.transform(images[i : i + 1]) for i in range(len(images))]),
        whole,
    )
    if "n_jobs" in transformer.get_params():
        np.testing.assert_array_equal(transformer.set_params(n_jobs=3).transform(images), whole)


@EACH
def test_flat_rows_of_any_dtype_give_the_features_of_the_images(images, transformer):
    expected = clone(transformer).fit_transform(images)
    flat = clone(transformer).set_params(shape=(24, 28)).fit(images.reshape(150, -1))
    for dtype in (np.uint8, np.int64, np.float32, np.float64):
        np.testing.assert_array_equal(
            flat.transform(images.reshape(150, -1).astype(dtype)), expected
        )
    np.testing.assert_array_equal(flat.transform(images), expected)


@EACH
def test_memory_maps_are_read_where_they_lie(images, transformer, tmp_path):
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    np.testing.assert_array_equal(
        clone(transformer).fit_transform(mapped), clone(transformer).fit_transform(images)
    )


@EACH
def test_every_column_has_a_name(images, transformer):
    fitted = clone(transformer).fit(images)
    assert len(fitted.get_feature_names_out()) == fitted.transform(images[:1]).shape[1]


def test_a_flat_row_is_square_if_it_can_be():
    assert Pixels().fit(np.zeros((1, 784))).image_shape_ == (28, 28)
    assert Pixels().fit(np.zeros((1, 12))).image_shape_ == (1, 12)


@pytest.mark.parametrize(
    ("transformer", "seen", "given", "message"),
    [
        (Pixels(), (1, 28, 28), (1, 14, 56), "fitted on images of 28x28 pixels, these have 14x56"),
        (Hog(), (1, 28, 28), (1, 20, 20), "fitted on images of 28x28 pixels, these have 20x20"),
        (Deskew(), (1, 28, 28), (1, 400), "X has 400 features, but Deskew is expecting 784"),
        (
            Pixels(shape=(28, 28)),
            (1, 20, 20),
            (1, 20, 20),
            "shape=28x28 does not fit images of 20x20",
        ),
        (Pixels(shape=(28, 28)), (1, 100), (1, 100), "shape=28x28 does not fit images of 100"),
        (
            Pixels(shape=(28, 28)),
            (1, 14, 56),
            (1, 14, 56),
            "shape=28x28 does not fit images of 14x56",
        ),
    ],
)
def test_images_of_another_size_are_refused(transformer, seen, given, message):
    with pytest.raises(ValueError, match=message):
        clone(transformer).fit(np.zeros(seen, np.uint8)).transform(np.zeros(given, np.uint8))


def test_pixels_run_from_0_to_1():
    np.testing.assert_array_equal(
        Pixels().fit_transform(np.uint8([[0, 51, 255, 102]])), np.float32([[0, 0.2, 1, 0.4]])
    )


@pytest.mark.parametrize("slant", [-0.8, -0.3, 0.5, 1.0])
def test_deskew_makes_a_sheared_bar_upright_in_the_middle(slant):
    rows, cols = np.indices((28, 28)) - 13.5
    bar = np.uint8(255 * ((abs(cols - slant * rows - 1) < 2) & (abs(rows - 2) < 8)))
    upright = (abs(cols) < 2) & (abs(rows) < 8)
    result = Deskew().fit_transform(bar[None]).reshape(28, 28)
    assert abs(result - upright).mean() < 0.3 * abs(bar / 255 - upright).mean()
    assert result.sum() == pytest.approx(bar.sum() / 255, rel=1e-3)
    moments = [(result * place).sum() for place in (rows, cols, rows * cols)]
    assert moments == pytest.approx([0, 0, 0], abs=3)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((28, 28)),
        np.full((28, 28), 255),
        np.eye(28) * 255,
        np.eye(1, 784, 400).reshape(28, 28) * 255,
    ],
)
def test_extreme_images_have_finite_features(image):
    for transformer in (Deskew(), Hog()):
        assert np.isfinite(transformer.fit_transform(np.uint8(image)[None])).all()


def hog_by_loops(image, cell, bins, block):
    """Histograms of oriented gradients: each pixel gives cells and directions shares that fall with
    their distance.
    """
    height, width = image.shape
    rows, cols = height // cell, width // cell
    framed, cells = np.pad(image.astype(float), 1), np.zeros((rows, cols, bins))
    for y, x in np.ndindex(height, width):
        down, right = (
            framed[y + 2, x + 1] - framed[y, x + 1],
            framed[y + 1, x + 2] - framed[y + 1, x],
        )
        direction = np.degrees(np.arctan2(down, right)) % 360 / (360 / bins)
        i, j = (
            (y - (height - rows * cell) / 2 + 0.5) / cell - 0.5,
            (x - (width - cols * cell) / 2 + 0.5) / cell - 0.5,
        )
        turn = abs(direction - np.arange(bins))
        distances = (
            abs(i - np.arange(rows))[:, None, None],
            abs(j - np.arange(cols))[:, None],
            np.minimum(turn, bins - turn),
        )
        cells += np.hypot(down, right) * np.prod(
            [np.clip(1 - distance, 0, 1) + np.zeros_like(cells) for distance in distances], axis=0
        )
    blocks = [
        cells[r : r + block, c : c + block].ravel()
        for r, c in np.ndindex(rows - block + 1, cols - block + 1)
    ]
    return np.concatenate([b / np.sqrt(b @ b + 1) for b in blocks])


@pytest.mark.parametrize(("cell", "bins", "block"), [(4, 9, 2), (5, 6, 3), (8, 4, 1)])
def test_hog_agrees_with_a_loop_over_pixels(images, cell, bins, block):
    features = Hog(deskew=False, cell=cell, bins=bins, block=block).fit_transform(images[:3])
    expected = [hog_by_loops(image, cell, bins, block) for image in images[:3]]
    np.testing.assert_allclose(features, expected, atol=2e-5)


def test_hog_of_a_slanted_image_is_that_of_the_upright_one(images):
    upright = Deskew().fit_transform(images) * 255
    expected = Hog(deskew=False, shape=(24, 28)).fit_transform(upright)
    np.testing.assert_allclose(Hog().fit_transform(images), expected, atol=1e-4)


def test_hog_has_1296_columns_for_mnist_and_fits_images_of_8x8_pixels():
    assert Hog().fit_transform(np.zeros((1, 28, 28), np.uint8)).shape == (1, 1296)
    assert Hog().fit_transform(np.zeros((1, 8, 8), np.uint8)).shape == (1, 36)
    with pytest.raises(
        UserError, match=r"8x8 pixels do not fit images of 7x28; lower cell or block"
    ):
        Hog().fit(np.zeros((1, 7, 28), np.uint8))


@pytest.mark.parametrize(
    "options",
    [{"cell": 0}, {"bins": 2.5}, {"block": "two"}, {"deskew": 3}, {"n_jobs": "all"}, {"shape": 28}],
)
def test_a_bad_option_is_named(options):
    with pytest.raises(ValueError, match=f"The '{next(iter(options))}' parameter of Hog must be"):
        Hog(**options).fit(np.zeros((1, 28, 28), np.uint8))


def test_a_chain_is_a_pipeline_of_the_steps_in_their_order(images):
    steps = chain(pixels=Pixels(), pca=PCA(5, svd_solver="covariance_eigh"))
    features = steps.fit_transform(images[:, 6:18, 6:18])
    assert list(steps.named_steps) == ["pixels", "pca"]
    assert (features.dtype, features.shape) == (np.float32, (150, 5))
    np.testing.assert_array_equal(features, clone(steps).fit_transform(images[:, 6:18, 6:18]))
    with pytest.raises(UserError, match=r"features\.pca must be a transformer"):
        chain(pixels=Pixels(), pca=None)
