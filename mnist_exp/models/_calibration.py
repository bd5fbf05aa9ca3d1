"""Probabilities that mean what they say: calibrators, and the model that is stored with one.

A calibrator takes logits: decision scores as they are, probabilities as their logarithms.
"""

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import SGDClassifier
from sklearn.neighbors import KNeighborsClassifier

Float64 = NDArray[np.float64]

MARGIN_VOTES = 100  # modified_huber is exactly 0 or 1 outside its margin, as votes are
LEAST = float(np.finfo(np.float32).tiny)  # probability of which a logarithm is taken
DIGITS = 4  # of the temperature: the rounding of another machine shall not show in it
SHARPEST = 12.0  # bounds of the temperature's logarithm


def answers_with(estimator: Any) -> str | None:
    """Return the method that tells most: `predict_proba`, else `decision_function`, or None."""
    methods = "predict_proba", "decision_function"
    return next((name for name in methods if hasattr(estimator, name)), None)


def as_columns(answer: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return a column for each class, also of the one score that two classes have."""
    return np.column_stack([-answer, answer]) if answer.ndim == 1 else answer


def as_logits(
    estimator: Any, answer: NDArray[np.floating], votes: NDArray[np.int64] | None = None
) -> Float64:
    """Return the logits of what an estimator's best method answers.

    Shares of votes get half a vote for each class, so that none is impossible.

    Parameters
    ----------
    estimator
        Fitted.
    answer
        Of its `predict_proba`, else of its `decision_function`: (n, classes) or (n,).
    votes
        Out of how many votes each row's shares are (n, 1); by default all that it has.

    Examples
    --------
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> forest = RandomForestClassifier(3, random_state=0).fit([[0], [1]], [0, 1])
    >>> np.exp(as_logits(forest, np.array([[1.0, 0.0]]))).tolist()
    [[3.5, 0.5]]
    """
    columns = np.asarray(as_columns(answer), np.float64)
    if answers_with(estimator) == "decision_function":
        return columns
    every = _votes(estimator) if votes is None else votes
    return np.log(np.maximum(columns, LEAST) if every is None else every * columns + 0.5)


def _votes(estimator: Any) -> int | None:
    """Return how many votes an estimator's probabilities are shares of, if they are."""
    if isinstance(estimator, RandomForestClassifier | ExtraTreesClassifier):
        return len(estimator.estimators_)
    if isinstance(estimator, KNeighborsClassifier):
        return int(estimator.n_neighbors)
    if isinstance(estimator, SGDClassifier) and estimator.loss == "modified_huber":
        return MARGIN_VOTES
    return None


class Temperature(BaseEstimator):
    """Temperature scaling: all logits are divided by one number, so that the order stays.

    The temperature minimises the log loss of the images given and of one more, as sure as they
    are on average, that turned out to be of the second class: where every image is right, this
    keeps the temperature from becoming 0.

    Attributes
    ----------
    temperature_
        What logits are divided by; above 1 where the model was too sure.

    References
    ----------
    Guo et al. 2017, "On calibration of modern neural networks".

    Examples
    --------
    >>> import numpy as np
    >>> from mnist_exp.models import Temperature
    >>> logits = np.array([[9.0, 0.0]] * 4)
    >>> calibrator = Temperature().fit(logits, np.array([0, 0, 0, 1]))
    >>> calibrator.predict_proba(logits)[0].round(2).tolist()
    [0.6, 0.4]
    """

    keeps_order: ClassVar[bool] = True

    def fit(self, logits: Float64, columns: NDArray[np.int64]) -> Self:
        """Learn from logits (n, k) and the column of each row's class."""
        rows, second = np.arange(len(logits)), np.argsort(logits, axis=1)[:, -2]

        def loss(log_temperature: float) -> float:
            log_probability = log_softmax(logits / np.exp(log_temperature), axis=1)
            truth = log_probability[rows, columns].sum() + log_probability[rows, second].mean()
            return float(-truth)

        best = minimize_scalar(loss, bounds=(-SHARPEST, SHARPEST), method="bounded")
        self.temperature_ = float(f"{np.exp(best.x):.{DIGITS}g}")
        return self

    def predict_proba(self, logits: Float64) -> Float64:
        """Return probabilities (n, k)."""
        return np.asarray(softmax(logits / self.temperature_, axis=1))


class Isotonic(BaseEstimator):
    """A rising step function for each class, after temperature scaling; the order may change.

    The steps count as the n images that they were fitted on, the scaled probabilities as one: what
    the steps call equal or impossible keeps an order and a chance.

    Attributes
    ----------
    scaling_
        A fitted `Temperature`.
    temperature_
        Its number.
    steps_
        For each class the places of the steps, and their heights.
    n_images_
        How many images it was fitted on.

    References
    ----------
    Zadrozny & Elkan 2002, "Transforming classifier scores into accurate multiclass probability
    estimates".

    Examples
    --------
    >>> import numpy as np
    >>> from mnist_exp.models import Isotonic
    >>> logits = np.array([[2.0, 0.0], [1.0, 0.0], [0.5, 0.0], [-2.0, 0.0]] * 10)
    >>> calibrator = Isotonic().fit(logits, np.array([0, 1, 0, 1] * 10))
    >>> calibrator.predict_proba(logits[:2]).round(1).tolist()
    [[1.0, 0.0], [0.5, 0.5]]
    """

    keeps_order: ClassVar[bool] = False

    def fit(self, logits: Float64, columns: NDArray[np.int64]) -> Self:
        """Learn from logits (n, k) and the column of each row's class."""
        self.scaling_ = Temperature().fit(logits, columns)
        self.temperature_ = self.scaling_.temperature_
        probability = self.scaling_.predict_proba(logits)
        self.n_images_ = len(logits)
        self.steps_ = []
        for number, column in enumerate(probability.T):
            steps = IsotonicRegression(out_of_bounds="clip").fit(column, columns == number)
            self.steps_.append((steps.X_thresholds_, steps.y_thresholds_))
        return self

    def predict_proba(self, logits: Float64) -> Float64:
        """Return probabilities (n, k)."""
        scaled = self.scaling_.predict_proba(logits)
        pairs = zip(scaled.T, self.steps_, strict=True)
        steps = np.column_stack([np.interp(column, *places) for column, places in pairs])
        mixed = self.n_images_ * steps + scaled
        return np.asarray(mixed / mixed.sum(axis=1, keepdims=True))


Calibrator = Temperature | Isotonic


class Calibrated(ClassifierMixin, BaseEstimator):
    """A fitted classifier with a fitted calibrator of its answers.

    Parameters
    ----------
    estimator
        Has `predict_proba` or `decision_function`.
    calibrator
        Fitted on what the estimator said of images that it was not fitted on.

    Examples
    --------
    >>> import numpy as np
    >>> from mnist_exp.models import Calibrated, Temperature, as_logits
    >>> from sklearn.svm import LinearSVC
    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1])
    >>> machine = LinearSVC().fit(X, y)
    >>> logits = as_logits(machine, machine.decision_function(X))
    >>> model = Calibrated(machine, Temperature().fit(logits, np.array([0, 1, 1, 1])))
    >>> model.predict_proba(X).round(1).tolist()
    [[0.7, 0.3], [0.6, 0.4], [0.4, 0.6], [0.2, 0.8]]
    """

    def __init__(self, estimator: Any, calibrator: Calibrator) -> None:
        self.estimator = estimator
        self.calibrator = calibrator

    @property
    def classes_(self) -> NDArray[Any]:
        """The estimator's."""
        return np.asarray(self.estimator.classes_)

    def fit(self, X: Any, y: Any) -> Self:
        """Refuse: what was learned from the same images says nothing of others."""
        raise TypeError("Calibrated joins fitted parts; mnist_exp.models.calibrate makes them")

    def predict_proba(self, X: Any) -> Float64:
        """Return probabilities (n, classes)."""
        return self.calibrator.predict_proba(as_logits(self.estimator, self._answer(X)))

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class of the largest probability; of equals, the estimator's own choice."""
        keeps_order = self.calibrator.keeps_order
        columns = as_columns(self._answer(X)) if keeps_order else self.predict_proba(X)
        return np.asarray(self.classes_[columns.argmax(axis=1)])

    def _answer(self, X: Any) -> NDArray[np.floating]:
        return np.asarray(getattr(self.estimator, str(answers_with(self.estimator)))(X))

    def __sklearn_is_fitted__(self) -> bool:
        return True
