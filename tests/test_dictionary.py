"""The patch dictionary against a loop over patches, its reduction against PCA; in any batch."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.utils.estimator_checks import parametrize_with_checks

from mnist_exp.errors import UserError
from mnist_exp.features import Dictionary, Hog, Pixels, Reduced

SMALL = Dictionary(atoms=6, patch=5, pool=3, deskew=False, sample=2000, random_state=0)


# scikit-learn checks with images one pixel high, which one patch of one pixel fits.
@parametrize_with_checks(
    [
        Dictionary(atoms=4, patch=1, pool=1, random_state=0),
        Reduced(Pixels(), n_components=3, random_state=0),
    ]
)
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


def test_it_agrees_with_a_loop_over_patches(images):
    fitted = clone(SMALL).fit(images)
    image, sums = images[0] / 255, np.zeros((2, 3, 3, 6))
    for row, col in np.ndindex(20, 24):
        patch = image[row : row + 5, col : col + 5].ravel()
        patch = patch - patch.mean()
        response = patch / np.sqrt(patch @ patch + 1) @ fitted.filters_ + fitted.bias_
        down = [max(0, 1 - abs(row - ((i + 0.5) * 20 / 3 - 0.5)) * 3 / 20) for i in range(3)]
        right = [max(0, 1 - abs(col - ((i + 0.5) * 24 / 3 - 0.5)) * 3 / 24) for i in range(3)]
        for part, sign in zip(sums, (1, -1), strict=True):
            part += np.outer(down, right)[..., None] * np.maximum(sign * response - 0.5, 0)
    expected = np.sqrt(sums.ravel() / sums.sum())
    np.testing.assert_allclose(fitted.transform(images[:1])[0], expected, atol=1e-3)


def test_an_image_has_the_same_features_in_any_batch_and_on_any_threads(images):
    fitted = clone(SMALL).set_params(deskew=True).fit(images)
    whole = fitted.transform(images)
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(
        np.vstack([fitted.transform(image[None]) for image in images]), whole
    )
    np.testing.assert_array_equal(fitted.set_params(n_jobs=3).transform(images), whole)
    assert len(fitted.get_feature_names_out()) == whole.shape[1] == 2 * 9 * 6


def test_the_dictionary_is_one_for_a_seed_and_any_threads(images):
    first = clone(SMALL).fit(images)
    np.testing.assert_array_equal(
        clone(SMALL).set_params(n_jobs=3).fit(images).filters_, first.filters_
    )
    assert (
        abs(clone(SMALL).set_params(random_state=1).fit(images).filters_ - first.filters_).max()
        > 0.1
    )


def test_atoms_are_found_where_patches_cluster():
    bars = np.zeros((40, 8, 8), np.uint8)
    bars[:20, :, 3:5] = 255
    bars[20:, 3:5] = 255
    rows = clone(SMALL).set_params(atoms=8).fit_transform(bars)
    upright, level = rows[:20], rows[20:]
    assert (upright @ upright.T).min() > 0.99
    assert (upright @ level.T).max() < 0.9


@pytest.mark.parametrize("image", [np.zeros((28, 28)), np.full((28, 28), 255), np.eye(28) * 255])
def test_extreme_images_have_finite_features(images, image):
    fitted = clone(SMALL).set_params(deskew=True).fit(np.uint8(image)[None])
    assert np.isfinite(fitted.transform(np.uint8(image)[None])).all()


def test_images_smaller_than_a_patch_are_refused():
    with pytest.raises(
        UserError, match="patches of 7x7 pixels do not fit images of 6x28; lower patch"
    ):
        Dictionary().fit(np.zeros((3, 6, 28), np.uint8))


def test_the_reduction_of_all_images_spans_what_pca_spans(images):
    components = Reduced(Hog(), n_components=20, random_state=0).fit_transform(images)
    expected = PCA(20, svd_solver="full").fit_transform(Hog().fit_transform(images))
    assert components.shape == (150, 20)
    np.testing.assert_allclose(components @ components.T, expected @ expected.T, atol=0.05)


def test_the_reduction_fits_a_clone_of_its_base(images):
    base = Hog()
    fitted = Reduced(base, n_components=5, sample=50, random_state=0).fit(images)
    assert not hasattr(base, "image_shape_")
    np.testing.assert_allclose(
        fitted.transform(images[:7]), fitted.transform(images)[:7], atol=1e-4
    )
