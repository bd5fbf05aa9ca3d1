"""A kernel classifier for many images in little memory, since these are added up in blocks."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import combinations_with_replacement
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils._param_validation import Interval
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_info, threadpool_limits

from mnist_exp.process import Float32

BLOCK = 4000  # rows whose random features exist at a time
TILE = 1000  # random features whose products with as many others a thread adds up at a time
ENOUGH = 150_000  # rows tell the spread; numpy copies them for it
PER_ROW = 4  # random features for each row of few: more come to the same kernel machine
_ALL = slice(None)


class RandomFeatures(ClassifierMixin, BaseEstimator):
    """Ridge regression of one-hot labels on random Fourier features of a Gaussian kernel.

    With more features it comes closer to the exact kernel machine. Of any number of rows only the
    Gram matrix of the features is kept while it learns: n_components^2 float32.

    Parameters
    ----------
    n_components
        Number of random features; `fit` takes no more than four for each row.
    gamma
        Of the kernel exp(-gamma |x - x'|^2), in units of 1 / the total variance of the columns.
    alpha
        Strength of the ridge, per row and feature. Of several, the one best on held-out rows is
        taken, and these are added afterwards: no second pass. Altered copies of held-out images
        among the others make weak ridges look good, so augmented data want one strength, chosen
        elsewhere.
    held_out
        Share of the rows that is held out for that.
    random_state
        Seed of the features and of the choice of held-out rows.

    Attributes
    ----------
    classes_
        The labels (n_classes,), sorted.
    weights_, offsets_
        float32 (columns, n_components) and (n_components,): the features are
        cos(X @ weights_ + offsets_).
    coef_
        float32 (n_components, n_classes).
    alpha_
        The strength that was taken.
    n_rows_
        Number of rows learned from.

    References
    ----------
    Rahimi & Recht 2007, "Random features for large-scale kernel machines".

    Examples
    --------
    >>> from mnist_exp.models import RandomFeatures
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> RandomFeatures(200, alpha=1e-4, random_state=0).fit(X, y).predict(X[::50]).tolist()
    [0, 1, 2]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "gamma": [Interval(Real, 0, None, closed="neither")],
        "alpha": [Interval(Real, 0, None, closed="neither"), "array-like"],
        "held_out": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components: int = 4000,
        *,
        gamma: float = 0.25,
        alpha: float | list[float] = 1e-7,
        held_out: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_components = n_components
        self.gamma = gamma
        self.alpha = alpha
        self.held_out = held_out
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Choose the ridge's strength if there are several, then learn from all rows."""
        self._validate_params()
        X, y = self._read(X, y, reset=True)
        strengths = np.atleast_1d(self.alpha)
        self._start(X, np.unique(y), min(self.n_components, PER_ROW * len(y)))
        held = np.zeros(len(y), bool)
        if len(strengths) > 1:
            order = check_random_state(self.random_state).permutation(len(y))
            held[order[: int(self.held_out * len(y))]] = True
        self._add(X, y, ~held)
        self.alpha_ = float(strengths[0])
        if held.any():
            self.alpha_ = self._best(strengths, X[held], y[held])
            self._add(X, y, held)
        self.coef_ = self._solve(self.alpha_)
        del self.gram_, self.moments_
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Learn from more rows with the first `alpha`.

        The first call needs all `classes`, and its rows set the scale of the kernel.
        """
        self._validate_params()
        first = not hasattr(self, "coef_")
        X, y = self._read(X, y, reset=first)
        if first:
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit")
            self._start(X, np.unique(classes), self.n_components)
        elif not hasattr(self, "gram_"):
            raise ValueError(
                "fit keeps no Gram matrix that more rows could be added to: start with partial_fit"
            )
        self._add(X, y, np.ones(len(y), bool))
        self.alpha_ = float(np.atleast_1d(self.alpha)[0])
        self.coef_ = self._solve(self.alpha_)
        return self

    def decision_function(self, X: Any) -> Float32:
        """Return float32 (n, classes): about 1 for a row's class, -1 for others; of two (n,)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float32)
        batches = gen_batches(len(X), BLOCK)
        scores = np.vstack([self._features(X[rows]) @ self.coef_ for rows in batches])
        return scores[:, 1] if len(self.classes_) == 2 else scores

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class of each row with the largest score."""
        scores = self.decision_function(X)
        largest = scores.argmax(axis=1) if scores.ndim == 2 else (scores > 0).astype(int)
        return np.asarray(self.classes_[largest])

    def _read(self, X: Any, y: Any, *, reset: bool) -> tuple[Float32, NDArray[Any]]:
        X, y = validate_data(self, X, y, reset=reset, dtype=np.float32)
        check_classification_targets(y)
        return X, y

    def _start(self, X: Float32, classes: NDArray[Any], m: int) -> None:
        """Draw the features; the bandwidth follows from the spread of the rows."""
        self.classes_ = classes
        random = check_random_state(self.random_state)
        rng = np.random.default_rng(random.randint(2**31))
        spread = float(X[:: 1 + len(X) // ENOUGH].var(axis=0, dtype=np.float64).sum()) or 1.0
        self.weights_ = rng.standard_normal((X.shape[1], m), np.float32) * np.float32(
            np.sqrt(2 * self.gamma / spread)
        )
        self.offsets_ = rng.uniform(0, 2 * np.pi, m).astype(np.float32)
        self.gram_ = np.zeros((m, m), np.float32)
        self.moments_ = np.zeros((m, len(classes)))
        self.n_rows_ = 0

    def _features(self, X: Float32, tile: slice = _ALL, out: Float32 | None = None) -> Float32:
        angles = np.matmul(X, self.weights_[:, tile], out=out)
        angles += self.offsets_[tile]
        return np.cos(angles, out=angles)

    def _add(self, X: Float32, y: NDArray[Any], chosen: NDArray[np.bool_]) -> None:
        """Add the chosen rows to the Gram matrix, of which only the upper half is kept.

        Each thread works on tiles of its own, so that neither waits for the other while it takes
        cosines, and a tile is the same whatever the number of threads.
        """
        blas = [library for library in threadpool_info() if library["user_api"] == "blas"]
        n_threads = max((library["num_threads"] for library in blas), default=1)
        tiles = list(gen_batches(len(self.gram_), TILE))
        pairs = list(combinations_with_replacement(tiles, 2))
        room = np.empty((BLOCK, len(self.gram_)), np.float32)
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(n_threads) as pool:
            for rows in gen_batches(len(X), BLOCK):
                inputs = X[rows][chosen[rows]]
                labels = y[rows][chosen[rows], None]
                one_hot = np.where(labels == self.classes_, np.float32(1), np.float32(-1))
                features = room[: len(inputs)]
                list(pool.map(partial(self._add_moments, inputs, one_hot, features), tiles))
                list(pool.map(partial(self._add_products, features), pairs))
                self.n_rows_ += len(features)

    def _add_moments(
        self, inputs: Float32, one_hot: Float32, features: Float32, tile: slice
    ) -> None:
        self._features(inputs, tile, out=features[:, tile])
        self.moments_[tile] += features[:, tile].T @ one_hot

    def _add_products(self, features: Float32, pair: tuple[slice, slice]) -> None:
        first, second = pair
        self.gram_[first, second] += features[:, first].T @ features[:, second]

    def _solve(self, alpha: float) -> Float32:
        """Solve in float64: small eigenvalues count that float32 loses beside the largest."""
        system = self.gram_.astype(np.float64)
        system[np.diag_indices_from(system)] += alpha * self.n_rows_ * len(system)
        try:
            factor = cho_factor(system.T, lower=True, overwrite_a=True, check_finite=False)
        except LinAlgError as error:
            raise ValueError(
                f"alpha={alpha:g} is lost in the rounding of the Gram matrix: raise it"
            ) from error
        return np.asarray(cho_solve(factor, self.moments_, check_finite=False), np.float32)

    def _best(self, strengths: NDArray[np.float64], X: Float32, y: NDArray[Any]) -> float:
        """Return the strength with the most held-out rows right; of equals the strongest."""
        strengths = np.sort(strengths)[::-1]
        solutions = [self._solve(alpha) for alpha in strengths]
        right = np.zeros(len(solutions), int)
        for rows in gen_batches(len(X), BLOCK):
            features = self._features(X[rows])
            classes = [self.classes_[(features @ coef).argmax(axis=1)] for coef in solutions]
            right += (np.array(classes) == y[rows]).sum(axis=1)
        return float(strengths[right.argmax()])
