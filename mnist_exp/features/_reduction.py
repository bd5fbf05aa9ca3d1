"""Principal components of features that are too many to be held for all images at once."""

from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, clone
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.extmath import randomized_svd

from mnist_exp.features._transformers import COUNT, Constraints, Images, ImageTransformer
from mnist_exp.process import Float32

BLOCK = 2000  # images whose features exist at a time


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
        for rows in gen_batches(len(sample), BLOCK):
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
        for rows in gen_batches(len(images), BLOCK):
            np.matmul(self.base_.transform(images[rows]), self.components_, out=result[rows])
        result += self.offset_
        return result
