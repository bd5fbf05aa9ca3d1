"""A kernel classifier for many images in little memory: ridge regression on random features, added
up in blocks.
"""

from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.linalg.blas import ssyrk
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from mnist_exp.process import Float32

BLOCK = 2000  # rows whose random features exist at a time
ENOUGH = 150_000  # rows tell the spread; numpy copies them for it
PER_ROW = 4  # random features for each row of few: more come to the same kernel machine


class RandomFeatures(ClassifierMixin, BaseEstimator):
    """Ridge regression of one-hot labels on random Fourier features of a Gaussian kernel (Rahimi &
    Recht 2007).

    Of any number of rows only the Gram matrix of the `n_components` features is kept,
    n_components^2 float32; `fit` takes no more than four features for each row. `gamma` is the
    kernel's, in units of 1 / the total variance of the columns; `alpha` is the strength of the
    ridge per row and feature. Of several, the one that is best on a share `held_out` of the rows is
    taken, and the held-out rows are added afterwards: no second pass. Altered copies of held-out
    images among the others make weak ridges look good, so augmented data want one strength, chosen
    elsewhere.
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
        """Choose the ridge's strength if there are several, then learn from all rows; the Gram
        matrix is let go.
        """
        self._validate_params()
        X, y = self._read(X, y, reset=True)
        strengths = np.atleast_1d(self.alpha)
        self._start(X, np.unique(y), min(self.n_components, PER_ROW * len(y)))
        held = np.zeros(len(y), bool)
        if len(strengths) > 1:
            held[
                check_random_state(self.random_state).permutation(len(y))[
                    : int(self.held_out * len(y))
                ]
            ] = True
        self._add(X, y, ~held)
        self.alpha_ = float(strengths[0])
        if held.any():
            self.alpha_ = self._best(strengths, X[held], y[held])
            self._add(X, y, held)
        self.coef_ = self._solve(self.alpha_)
        del self.gram_, self.moments_
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Learn from more rows with the first `alpha`; the first call takes all `classes` and sets
        the scale.
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
        """Return float32 (n, classes), of two classes (n,): about 1 for the class of a row and -1
        for the others.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float32)
        scores = np.vstack([self._features(X[rows]) @ self.coef_ for rows in _blocks(len(X))])
        return scores[:, 1] if len(self.classes_) == 2 else scores

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class of each row with the largest score."""
        scores = self.decision_function(X)
        chosen: NDArray[Any] = self.classes_[
            scores.argmax(axis=1) if scores.ndim == 2 else (scores > 0).astype(int)
        ]
        return chosen

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
        self.gram_ = np.zeros((m, m), np.float32, order="F")
        self.moments_ = np.zeros((m, len(classes)))
        self.n_rows_ = 0

    def _features(self, X: Float32) -> Float32:
        found: Float32 = X @ self.weights_
        found += self.offsets_
        return np.cos(found, out=found)

    def _add(self, X: Float32, y: NDArray[Any], chosen: NDArray[np.bool_]) -> None:
        """Add the chosen rows to the Gram matrix, of which only the lower half is kept."""
        for rows in _blocks(len(X)):
            kept = chosen[rows]
            found = self._features(X[rows][kept])
            one_hot = np.where(y[rows][kept, None] == self.classes_, np.float32(1), np.float32(-1))
            self.gram_ = ssyrk(1, found.T, beta=1, c=self.gram_, lower=1, overwrite_c=1)
            self.moments_ += found.T @ one_hot
            self.n_rows_ += len(found)

    def _solve(self, alpha: float) -> Float32:
        """Solve in float64: the smallest eigenvalues that matter are far below the float32 rounding
        of the largest.
        """
        system = self.gram_.astype(np.float64)
        system[np.diag_indices_from(system)] += alpha * self.n_rows_ * len(system)
        try:
            factor = cho_factor(system, lower=True, overwrite_a=True, check_finite=False)
        except LinAlgError as error:
            raise ValueError(
                f"alpha={alpha:g} is lost in the rounding of the Gram matrix: raise it"
            ) from error
        return np.asarray(cho_solve(factor, self.moments_, check_finite=False), np.float32)

    def _best(self, strengths: NDArray[np.float64], X: Float32, y: NDArray[Any]) -> float:
        """Return the strength with the most held-out rows right; of equals the strongest."""
        solutions = [self._solve(alpha) for alpha in sorted(strengths, reverse=True)]
        right = np.zeros(len(solutions), int)
        for rows in _blocks(len(X)):
            found = self._features(X[rows])
            right += [
                int((self.classes_[(found @ coef).argmax(axis=1)] == y[rows]).sum())
                for coef in solutions
            ]
        return float(sorted(strengths, reverse=True)[int(right.argmax())])


def _blocks(n: int) -> list[slice]:
    return [slice(start, start + BLOCK) for start in range(0, n, BLOCK)]
