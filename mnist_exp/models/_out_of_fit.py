"""What a model says of training images that it was not fitted on, and its calibration by that.

Altered copies of an image are that image: whoever is asked about it has seen none of them.
"""

import logging
import warnings
from dataclasses import dataclass
from functools import singledispatch
from math import ceil, e, exp
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.svm import SVC
from sklearn.utils import gen_batches

from mnist_exp.models._bounds import bound
from mnist_exp.models._calibration import (
    Calibrated,
    Calibrator,
    Float64,
    answers_with,
    as_logits,
)
from mnist_exp.models._fast_forest import Coded
from mnist_exp.models._fitting import best_answer, fit
from mnist_exp.models._random_features import RandomFeatures

log = logging.getLogger(__name__)

SHARE = 0.1  # of the images are held out,
AT_LEAST, AT_MOST = 1_000, 5_000  # within these numbers,
MOST = 1 / 3  # but no more than this share
VOTES = 20  # from fewer trees the whole forest cannot be told
SHOWN = 50_000  # images after which a linear model ranks as it does in the end
BLOCK = 2_000  # images whose votes are counted at a time
FOLDS = 5


@dataclass(frozen=True)
class Training:
    """The training matrix, and which of its images are held out.

    Attributes
    ----------
    X, y
        Features (n, d) and labels (n,): of the images, then of copy after copy of all of them.
    held
        Which rows are of held-out images (n,), as `hold_out` chooses them.
    n_images
        How many images there are without their copies.
    n_jobs
        Number of threads.
    """

    X: Any
    y: NDArray[np.int64]
    held: NDArray[np.bool_]
    n_images: int
    n_jobs: int

    @property
    def asked(self) -> NDArray[np.int64]:
        """Rows of the held-out images as they are, without their copies."""
        return np.flatnonzero(self.held[: self.n_images])

    @property
    def rest(self) -> NDArray[np.int64]:
        """Rows of all other images and their copies."""
        return np.flatnonzero(~self.held)


@dataclass(frozen=True)
class Unseen:
    """What a calibrated model says of training images that it has not learned from.

    Attributes
    ----------
    label
        Columns of their classes (n,).
    prediction
        Columns of what it takes them for (n,).
    probability
        float64 (n, classes).
    """

    label: NDArray[np.int64]
    prediction: NDArray[np.int64]
    probability: Float64

    @property
    def confidence(self) -> Float64:
        """The probability of each prediction (n,)."""
        return np.asarray(self.probability.max(axis=1))

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which predictions are right (n,)."""
        return np.asarray(self.label == self.prediction)


def hold_out(y: NDArray[np.int64], n_images: int, seed: int) -> NDArray[np.bool_]:
    """Choose images to hold out, a share of each class; some of every class remain.

    Parameters
    ----------
    y
        Labels (n,): of the images, then of copy after copy of all of them.
    n_images
        How many images there are without their copies.
    seed
        Of the choice.

    Returns
    -------
    NDArray[np.bool_]
        By row (n,).

    Examples
    --------
    >>> hold_out(np.array([0, 0, 0, 1, 1, 1] * 2), n_images=6, seed=0).astype(int).tolist()
    [0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1]
    """
    share = min(MOST, np.clip(SHARE * n_images, AT_LEAST, AT_MOST) / n_images)
    held = np.zeros(n_images, bool)
    rng = np.random.default_rng(seed)
    for number in np.unique(y):
        images = rng.permutation(np.flatnonzero(y[:n_images] == number))
        held[images[: int(share * len(images))]] = True
    return np.tile(held, len(y) // n_images)


def calibrate(calibrator: Calibrator, estimator: Any, data: Training) -> tuple[Any, Unseen | None]:
    """Fit a calibrator on what a fitted estimator says of images that it was not fitted on.

    Parameters
    ----------
    calibrator
        Fitted in place.
    estimator
        Fitted on all of the data; it stays as it is.
    data
        What it was fitted on.

    Returns
    -------
    model, unseen
        The estimator with its calibrator, and what it says of unseen images. An estimator that
        tells no more than classes, or has too few images to hold any out, comes back alone.

    Examples
    --------
    >>> from mnist_exp.models import Temperature, Training, calibrate, hold_out
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.svm import SVC
    >>> X, y = load_iris(return_X_y=True)
    >>> data = Training(X, y, hold_out(y, len(y), seed=0), len(y), n_jobs=1)
    >>> model, unseen = calibrate(Temperature(), SVC().fit(X, y), data)
    >>> len(unseen.label), model.predict_proba(X[:1]).round(1).tolist()
    (48, [[0.9, 0.1, 0.0]])
    """
    if answers_with(estimator) is None:
        log.info("not calibrated: %s has no scores", type(estimator).__name__)
        return estimator, None
    if not data.held.any():
        log.warning("not calibrated: %d images are too few to hold any out", data.n_images)
        return estimator, None
    rows, logits = out_of_fit(estimator, data)
    columns = np.searchsorted(estimator.classes_, data.y[rows])
    probability = _unseen_probability(calibrator, logits, columns)
    calibrator.fit(logits, columns)
    if probability is None:
        probability = calibrator.predict_proba(logits)
    decisive = logits if calibrator.keeps_order else probability
    unseen = Unseen(columns, decisive.argmax(axis=1), probability)
    return Calibrated(estimator, calibrator), unseen


def _unseen_probability(
    calibrator: Calibrator, logits: Float64, columns: NDArray[np.int64]
) -> Float64 | None:
    """Return probabilities by calibrators fitted on the other images; one number needs none."""
    if calibrator.keeps_order:
        return None
    probability = np.empty_like(logits)
    for number in range(FOLDS):
        fold = np.arange(len(logits)) % FOLDS == number
        calibrator.fit(logits[~fold], columns[~fold])
        probability[fold] = calibrator.predict_proba(logits[fold])
    return probability


@singledispatch
def out_of_fit(estimator: Any, data: Training) -> tuple[NDArray[np.int64], Float64]:
    """Return rows (m,) and logits (m, classes) of images as if it had not been fitted on them.

    Any estimator: a copy is fitted on the rest.
    """
    return data.asked, _logits_of(_refitted(clone(estimator), data, data.rest), data, data.asked)


@out_of_fit.register
def _(estimator: RandomForestClassifier | ExtraTreesClassifier, data: Training) -> Any:
    """The trees whose bag has no copy of an image vote on it; else fewer trees on the rest."""
    n_trees = len(estimator.estimators_)
    drawn = estimator._n_samples_bootstrap if estimator.bootstrap else None
    if drawn is not None and n_trees * exp(-drawn / data.n_images) >= VOTES:
        return _out_of_bag(estimator, data)
    fewer = min(n_trees, max(VOTES, ceil(n_trees / e)))  # as many as bags without copies leave
    forest = clone(estimator).set_params(n_estimators=fewer)
    return data.asked, _logits_of(_refitted(forest, data, data.rest), data, data.asked)


def _out_of_bag(forest: Any, data: Training) -> tuple[NDArray[np.int64], Float64]:
    out = np.ones((len(forest.estimators_), data.n_images), bool)
    for images, drawn in zip(out, forest.estimators_samples_, strict=True):
        images[drawn % data.n_images] = False

    def shares(block: slice) -> Float64:
        X = dense(data.X, np.arange(data.n_images)[block])
        votes = np.zeros((len(X), len(forest.classes_)))
        for tree, images in zip(forest.estimators_, out[:, block], strict=True):
            votes[images] += tree.predict_proba(X[images], check_input=False)
        return votes

    with warnings.catch_warnings():
        blocks = Parallel(n_jobs=data.n_jobs, backend="threading")(
            delayed(shares)(block) for block in gen_batches(data.n_images, BLOCK)
        )
    n_votes = out.sum(axis=0)
    rows = np.flatnonzero(n_votes)
    answer = np.concatenate(blocks)[rows] / n_votes[rows, None]
    return rows, as_logits(forest, answer, n_votes[rows, None])


@out_of_fit.register
def _(estimator: SGDClassifier, data: Training) -> Any:
    """Few epochs rank images as many do, but on a scale of their own, which is brought to theirs.

    Both scales are those of the held-out images. That the long fit has seen these does not matter:
    it makes some of them surer, not the spread of all.
    """
    epochs = min(estimator.max_iter, ceil(SHOWN / len(data.rest)))
    short = clone(estimator).set_params(max_iter=epochs, tol=None, early_stopping=False)
    with warnings.catch_warnings():
        short.fit(data.X, data.y, sample_weight=~data.held)  # needs no copy of the rest
    logits, seen = (_logits_of(model, data, data.asked) for model in (short, estimator))
    return data.asked, logits * (_spread(seen) / _spread(logits))


def _spread(logits: Float64) -> float:
    return float(np.std(logits - logits.mean(axis=1, keepdims=True))) or 1.0


@out_of_fit.register
def _(estimator: SVC, data: Training) -> Any:
    """Without the images that support nothing a machine stays as it is: those need no refit."""
    supports = np.zeros(len(data.y), bool)
    supports[estimator.support_] = True
    rows = np.flatnonzero(supports & ~data.held)
    if len(np.unique(data.y[rows])) < len(estimator.classes_):
        rows = data.rest
    return data.asked, _logits_of(_refitted(clone(estimator), data, rows), data, data.asked)


@out_of_fit.register
def _(estimator: RandomFeatures, data: Training) -> Any:
    """Its fit has solved the equations without the held-out rows as well."""
    scores = estimator.held_scores_[: len(data.asked)]
    del estimator.held_scores_
    return data.asked, as_logits(estimator, scores)


def _refitted(estimator: Any, data: Training, rows: NDArray[np.int64]) -> Any:
    """Fit on some rows; what is warned of there concerns nobody."""
    X: Any
    if isinstance(data.X, Coded):
        X = Coded(data.X.codes[rows], data.X.values)
    else:
        X = data.X[rows]
        bound(estimator, X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(estimator, X, data.y[rows], lambda share: None)
    return estimator


def _logits_of(estimator: Any, data: Training, rows: NDArray[np.int64]) -> Float64:
    return as_logits(estimator, best_answer(estimator, dense(data.X, rows), data.n_jobs))


def dense(X: Any, rows: NDArray[np.int64]) -> NDArray[np.floating]:
    """Return rows of a training matrix as numbers."""
    if not isinstance(X, Coded):
        return np.asarray(X[rows])
    columns = np.arange(X.shape[1]) if len(X.values) > 1 else 0
    return np.ascontiguousarray(X.values[columns, X.codes[rows]], np.float32)
