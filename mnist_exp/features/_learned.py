"""Features learned from images without labels: a dictionary of patches, principal components."""

from functools import cache
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from joblib import effective_n_jobs
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, clone
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import ThreadpoolController

from mnist_exp.errors import UserError
from mnist_exp.features._transformers import (
    COUNT,
    Constraints,
    Deskew,
    Images,
    ImageTransformer,
    by,
    regions,
    upright,
)
from mnist_exp.process import Float32, Scratch, run_blocks

PATCHES_BLOCK = 16  # images whose patches and responses fit the second-level cache
REDUCED_BLOCK = 2000  # images whose features exist at a time while they are reduced
ITERATIONS = 12


class Dictionary(ClassNamePrefixFeaturesOutMixin, ImageTransformer):
    """How much of each patch of a learned dictionary, and of its negative, lies in each region.

    Patches are brought to mean 0 and length 1, then whitened, and the dictionary is learned from
    a sample of them by spherical k-means. Of its responses to all patches of an image, the
    positive and the negative parts beyond `threshold` are summed over regions that overlap by
    half; the roots of the sums are brought to unit length. No labels are needed.

    Parameters
    ----------
    atoms
        Number of patches in the dictionary; each gives two columns for every region.
    patch
        Side of a patch in pixels.
    pool
        Number of regions, down and across.
    deskew
        Whether the image is made upright first.
    contrast
        Softens the division by a patch's length, in units of the grey range: patches with less
        contrast than this count less.
    whitening
        Softens the whitening, as a share of the mean variance: directions with less variance than
        this count less.
    threshold
        Responses weaker than this count as none.
    sample
        Number of patches that the dictionary is learned from.
    shape
        (height, width) of images that come as flat rows; None: square, where that is possible.
    random_state
        Seed of the sample and of the k-means.
    n_jobs
        Number of threads; None is 1. It changes no bit of the result.

    Attributes
    ----------
    filters_
        float32 (patch * patch, atoms): the whitened dictionary, a patch in each column.
    bias_
        float32 (atoms,): each atom's response to the mean patch, negative.
    image_shape_
        (height, width) of the images seen in `fit`.

    References
    ----------
    Coates, Lee & Ng 2011, "An analysis of single-layer networks in unsupervised feature learning";
    Coates & Ng 2012, "Learning feature representations with k-means", for the spherical k-means.

    Examples
    --------
    >>> import numpy as np
    >>> from mnist_exp.features import Dictionary
    >>> images = np.random.default_rng(0).integers(0, 256, (20, 12, 12))
    >>> transformer = Dictionary(atoms=5, patch=3, pool=2, random_state=0)
    >>> transformer.fit_transform(images).shape
    (20, 40)
    """

    _parameter_constraints: ClassVar[Constraints] = {
        **Deskew._parameter_constraints,
        "atoms": COUNT,
        "patch": COUNT,
        "pool": COUNT,
        "deskew": ["boolean"],
        "contrast": [Interval(Real, 0, None, closed="neither")],
        "whitening": [Interval(Real, 0, None, closed="neither")],
        "threshold": [Interval(Real, 0, None, closed="left")],
        "sample": COUNT,
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        atoms: int = 96,
        patch: int = 7,
        pool: int = 4,
        deskew: bool = True,
        contrast: float = 1.0,
        whitening: float = 0.1,
        threshold: float = 0.5,
        sample: int = 100_000,
        shape: tuple[int, int] | None = None,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
    ) -> None:
        super().__init__(shape=shape)
        self.atoms = atoms
        self.patch = patch
        self.pool = pool
        self.deskew = deskew
        self.contrast = contrast
        self.whitening = whitening
        self.threshold = threshold
        self.sample = sample
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the dictionary; raises UserError if the images are smaller than a patch."""
        self._validate_params()
        images = self._read(X, reset=True)
        if min(self._positions) < 1:
            raise UserError(
                f"dictionary: patches of {self.patch}x{self.patch} pixels do not fit images of "
                f"{by(self.image_shape_)}; lower patch"
            )
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31))
        patches = self._draw(images, rng)
        mean = patches.mean(axis=0)
        patches -= mean
        values, vectors = np.linalg.eigh(patches.T @ patches / len(patches))
        softened = values + self.whitening * values.mean() + np.finfo(np.float32).tiny
        whiten = (vectors / np.sqrt(softened)) @ vectors.T
        atoms = _spherical_k_means(patches @ whiten, self.atoms, rng)
        self.filters_: Float32 = np.ascontiguousarray(whiten @ atoms, np.float32)
        self.bias_: Float32 = np.asarray(-mean @ self.filters_, np.float32)
        return self

    @property
    def _positions(self) -> tuple[int, int]:
        height, width = self.image_shape_
        return height - self.patch + 1, width - self.patch + 1

    @property
    def _n_features_out(self) -> int:
        return 2 * self.pool**2 * self.atoms

    def _draw(self, images: Images, rng: np.random.Generator) -> Float32:
        """Return `sample` random patches (n, patch^2) with ink in them, if there are as many."""
        rows, cols = self._positions
        images = images[np.sort(rng.permutation(len(images))[: max(1, self.sample // 100)])]
        patches = np.empty((len(images), rows * cols, self.patch**2), np.float32)

        def work(block: slice, scratch: Scratch) -> None:
            patches[block] = self._patches(images[block], scratch)[..., :-1]

        run_blocks(work, len(images), PATCHES_BLOCK, effective_n_jobs(self.n_jobs))
        flat = patches.reshape(-1, self.patch**2)
        inked = np.flatnonzero(flat.any(axis=1))
        order: NDArray[np.int64] = rng.permutation(inked if len(inked) else len(flat))
        return flat[order[: self.sample]]

    def _patches(self, images: Images, scratch: Scratch) -> Float32:
        """Return normalised patches (n, positions, patch^2 + 1) with a last column of ones."""
        grey = upright(images, scratch) if self.deskew else images
        scaled = np.multiply(grey, np.float32(1 / 255), out=scratch("scaled", images.shape))
        rows, cols = self._positions
        # Sums over all windows, by two small products instead of going through every patch.
        down, right = (_windows(n, self.patch) for n in self.image_shape_)
        mean = down @ scaled @ right.T / np.float32(self.patch**2)
        energy = down @ np.square(scaled) @ right.T - mean**2 * np.float32(self.patch**2)
        softened = np.sqrt(np.maximum(energy, 0) + np.float32(self.contrast**2))
        # A pixel of all patches side by side: numpy's loops are long that way.
        result = scratch("patches", (len(images), self.patch**2 + 1, rows * cols))
        result[:, -1] = 1
        patches = result[:, :-1].reshape(len(images), self.patch, self.patch, rows, cols)
        windows = sliding_window_view(scaled, (rows, cols), axis=(1, 2))
        np.subtract(windows, mean[:, None, None], out=patches)
        patches /= softened[:, None, None]
        return result.swapaxes(1, 2)

    def _extract(self, images: Images) -> Float32:
        # Weights (pool^2, positions) of each region, and of how much a response has to exceed.
        pooling = np.float32(np.kron(*(regions(n, self.pool, n) for n in self._positions)))
        threshold = np.float32(self.threshold)
        weights = np.vstack([self.filters_, self.bias_])
        result = np.empty((len(images), 2, self.pool**2, self.atoms), np.float32)

        def work(block: slice, scratch: Scratch) -> None:
            patches = self._patches(images[block], scratch)
            responses = scratch("responses", (*patches.shape[:2], self.atoms))
            np.matmul(patches, weights, out=responses)
            strong = np.maximum(responses, threshold, out=scratch("strong", responses.shape))
            np.matmul(pooling, strong, out=result[block, 0])
            np.minimum(responses, -threshold, out=responses)
            np.matmul(-pooling, responses, out=result[block, 1])

        with _blas().limit(limits=1):  # its threads would get in the way of these
            run_blocks(work, len(images), PATCHES_BLOCK, effective_n_jobs(self.n_jobs))
        result -= threshold * pooling.sum(axis=1)[:, None]
        rows = result.reshape(len(images), -1)
        np.sqrt(np.maximum(rows, 0, out=rows), out=rows)
        length = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
        rows /= np.maximum(length, np.finfo(np.float32).tiny)
        return rows


@cache
def _blas() -> ThreadpoolController:
    """Kept, since looking for the libraries takes longer than the features of one image."""
    return ThreadpoolController().select(user_api="blas")


def _windows(size: int, patch: int) -> Float32:
    """Return 1 where a pixel (a column) lies in a window of `patch` pixels (a row), else 0."""
    starts = np.arange(size - patch + 1)[:, None]
    inside = (np.arange(size) >= starts) & (np.arange(size) < starts + patch)
    return inside.astype(np.float32)


def _spherical_k_means(points: Float32, k: int, rng: np.random.Generator) -> Float32:
    """Return k directions (d, k) of unit length that the points cluster about, up to sign."""
    atoms = rng.standard_normal((points.shape[1], k)).astype(np.float32)
    for _ in range(ITERATIONS):
        atoms /= np.linalg.norm(atoms, axis=0)
        similar = points @ atoms
        nearest = np.abs(similar).argmax(axis=1)
        similar[np.arange(k) != nearest[:, None]] = 0
        atoms += points.T @ similar
    return np.asarray(atoms / np.linalg.norm(atoms, axis=0), np.float32)


class Reduced(ClassNamePrefixFeaturesOutMixin, ImageTransformer):
    """The first principal components of what another transformer makes of images.

    Its features are computed in blocks of images and never held for all of them. Unlike
    scikit-learn's IncrementalPCA, the components are those of the covariance itself.

    Parameters
    ----------
    base
        The transformer; a clone of it is fitted on all images.
    n_components
        Number of components; no more than the columns of `base` are kept.
    sample
        Number of random images that the components are learned from.
    shape
        (height, width) of images that come as flat rows; None: square, where that is possible.
    random_state
        Seed of the sample and of the randomized decomposition.

    Attributes
    ----------
    base_
        The fitted transformer.
    components_
        float32 (columns of `base`, n_components): the eigenvectors of the covariance, the one of
        the largest variance first.
    offset_
        float32 (n_components,): minus the mean, in components.
    image_shape_
        (height, width) of the images seen in `fit`.

    References
    ----------
    Halko, Martinsson & Tropp 2011, "Finding structure with randomness", for the decomposition.

    Examples
    --------
    >>> import numpy as np
    >>> from mnist_exp.features import Pixels, Reduced
    >>> images = np.random.default_rng(0).integers(0, 256, (50, 8, 8))
    >>> Reduced(Pixels(), n_components=3, random_state=0).fit_transform(images).shape
    (50, 3)
    """

    _parameter_constraints: ClassVar[Constraints] = {
        **ImageTransformer._parameter_constraints,
        "base": [HasMethods(["fit", "transform"])],
        "n_components": COUNT,
        "sample": COUNT,
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        base: BaseEstimator,
        *,
        n_components: int = 200,
        sample: int = 10_000,
        shape: tuple[int, int] | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(shape=shape)
        self.base = base
        self.n_components = n_components
        self.sample = sample
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the base, then the components, from a covariance added up block by block."""
        self._validate_params()
        images = self._read(X, reset=True)
        self.base_ = clone(self.base).fit(images, y)
        random = check_random_state(self.random_state)
        sample = np.sort(random.permutation(len(images))[: self.sample])
        total, products = np.float64(0), np.float64(0)
        for rows in gen_batches(len(sample), REDUCED_BLOCK):
            features = self.base_.transform(images[sample[rows]])
            total = total + features.sum(axis=0, dtype=np.float64)
            products = products + features.T @ features
        mean = total / len(sample)
        covariance = (products / len(sample) - np.outer(mean, mean)).astype(np.float32)
        n_components = min(self.n_components, len(covariance))
        vectors = randomized_svd(covariance, n_components, random_state=random)[0]
        self.components_: Float32 = np.ascontiguousarray(vectors)
        self.offset_: Float32 = np.asarray(-mean @ vectors, np.float32)
        return self

    @property
    def _n_features_out(self) -> int:
        return int(self.components_.shape[1])

    def _extract(self, images: Images) -> Float32:
        result = np.empty((len(images), self._n_features_out), np.float32)
        for rows in gen_batches(len(images), REDUCED_BLOCK):
            np.matmul(self.base_.transform(images[rows]), self.components_, out=result[rows])
        result += self.offset_
        return result
