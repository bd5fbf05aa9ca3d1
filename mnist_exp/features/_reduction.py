"""Principal components of features that are too many to be held for all images at once."""

from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.extmath import randomized_svd

from mnist_exp.features._transformers import COUNT, Constraints, Images, ImageTransformer
from mnist_exp.process import Float32

BLOCK = 2000  # images whose features exist at a time


class Reduced(ClassNamePrefixFeaturesOutMixin, ImageTransformer):
    """The first `n_components` principal components of what `base` makes of images, in blocks of
    images.

    `base` is fitted on all images, the components on a random `sample` of them.
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
        chosen = np.sort(random.permutation(len(images))[: self.sample])
        total, products = np.float64(0), np.float64(0)
        for rows in _blocks(len(chosen)):
            found = self.base_.transform(images[chosen[rows]])
            total = total + found.sum(axis=0, dtype=np.float64)
            products = products + found.T @ found
        mean = total / len(chosen)
        covariance = products / len(chosen) - np.outer(mean, mean)
        kept = min(self.n_components, len(covariance))
        vectors = randomized_svd(covariance.astype(np.float32), kept, random_state=random)[0]
        self.components_: Float32 = np.ascontiguousarray(vectors)
        self.offset_: Float32 = np.asarray(-mean @ vectors, np.float32)
        return self

    @property
    def _n_features_out(self) -> int:
        return int(self.components_.shape[1])

    def _extract(self, images: Images) -> Float32:
        result = np.empty((len(images), self._n_features_out), np.float32)
        for rows in _blocks(len(images)):
            np.matmul(self.base_.transform(images[rows]), self.components_, out=result[rows])
        result += self.offset_
        return result


def _blocks(n: int) -> list[slice]:
    return [slice(start, start + BLOCK) for start in range(0, n, BLOCK)]
