"""From features and an estimator to one pipeline, fitted once and asked in blocks of images.

scikit-learn's threads swap the warning filters of the whole process around every task they do.
Swaps of several threads at once trip over each other and may leave any filters behind, or none:
hence `catch_warnings` around whatever starts such threads, which puts the filters back when these
are done.
"""

import warnings
from collections.abc import Callable
from itertools import count, takewhile
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline

from mnist_exp.errors import UserError

TREES = 10  # a stage of a forest, as an epoch is one of a network
BLOCK = 500  # images a thread takes at a time: their HOG features fit the second-level cache


def check_parameters(estimator: BaseEstimator, group: str) -> None:
    """Let scikit-learn judge the parameters before any data is loaded; raises UserError with its
    own sentence.
    """
    steps = (
        [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    )
    for step in steps:
        if not hasattr(
            step, "_parameter_constraints"
        ):  # scikit-learn's own estimators declare them
            continue
        try:
            step._validate_params()
        except ValueError as error:
            raise UserError(f"{group}: {error}") from error


def fit(
    estimator: Any,
    X: NDArray[np.floating],
    y: NDArray[np.int64],
    advance: Callable[[float], None],
    report: Callable[[int, float], None] | None = None,
) -> None:
    """Fit, telling `advance` the share that is done where the estimator can be grown in stages.

    A forest grown by warm start is, tree for tree, the forest fitted at once: each tree has a seed
    of its own. `report`, which may raise, gets the number of stages done (1, 2, 4, 8 ...: epochs,
    or tens of trees) and their share; for its sake models that learn in epochs are fitted epoch by
    epoch, which shows them the images in another random order than `fit` does.
    """
    if (
        hasattr(estimator, "n_estimators")
        and hasattr(estimator, "warm_start")
        and not estimator.warm_start
    ):
        _grow(estimator, X, y, advance, report)
    elif report is not None and _in_epochs(estimator):
        _learn(estimator, X, y, advance, report)
    else:
        with warnings.catch_warnings():
            estimator.fit(X, y)


def _grow(
    estimator: Any,
    X: NDArray[np.floating],
    y: NDArray[np.int64],
    advance: Callable[[float], None],
    report: Callable[[int, float], None] | None,
) -> None:
    total = estimator.n_estimators
    step = max(1, round(total / 10 / (estimator.n_jobs or 1))) * (
        estimator.n_jobs or 1
    )  # whole rounds of the threads
    stages = (
        range(step, total, step)
        if report is None
        else [TREES * stage for stage in _doubling(total / TREES)]
    )
    estimator.set_params(warm_start=True)
    for n_estimators in [*stages, total]:
        with warnings.catch_warnings():
            estimator.set_params(n_estimators=n_estimators).fit(X, y)
        advance(n_estimators / total)
        if report is not None and n_estimators < total:
            report(n_estimators // TREES, n_estimators / total)
    estimator.set_params(warm_start=False)


def _doubling(end: float) -> list[int]:
    """1, 2, 4, 8 ...

    below `end`: judging a model at these costs no more than judging it twice at the end.
    """
    return list(takewhile(lambda stage: stage < end, (2**i for i in count())))


def _in_epochs(estimator: Any) -> bool:
    """Whether epoch after epoch comes to the same as `fit`: a fixed number of epochs, no data held
    back.
    """
    if isinstance(estimator, SGDClassifier):
        return (
            estimator.tol is None
            and not estimator.early_stopping
            and estimator.class_weight != "balanced"
        )
    if isinstance(estimator, MLPClassifier):
        patient = estimator.n_iter_no_change >= estimator.max_iter
        return patient and not estimator.early_stopping and estimator.solver != "lbfgs"
    return False


def _learn(
    estimator: Any,
    X: NDArray[np.floating],
    y: NDArray[np.int64],
    advance: Callable[[float], None],
    report: Callable[[int, float], None],
) -> None:
    seed, classes = estimator.random_state, np.unique(y)
    stages = _doubling(estimator.max_iter)
    estimator.set_params(random_state=np.random.RandomState(seed))  # a new order in each epoch
    for epoch in range(1, estimator.max_iter + 1):
        with config_context(assume_finite=epoch > 1), warnings.catch_warnings():
            estimator.partial_fit(X, y, classes=classes)
        advance(epoch / estimator.max_iter)
        if epoch in stages:
            report(epoch, epoch / estimator.max_iter)
    estimator.set_params(random_state=seed)


def assemble(features: BaseEstimator, estimator: BaseEstimator) -> Pipeline:
    """Join fitted parts into the pipeline that is stored and served: raw uint8 images in, one
    thread.

    `n_jobs` describes the machine that trained, not the model; a forest that adds up its trees from
    several threads rounds differently from call to call, so threads share out images instead
    (`predict`).
    """
    pipeline = Pipeline([("features", features), ("model", estimator)])
    pipeline.set_params(**{name: 1 for name in pipeline.get_params() if name.endswith("__n_jobs")})
    return pipeline


def predict(
    pipeline: Any, images: NDArray[Any], n_jobs: int = 1
) -> tuple[NDArray[np.int64], NDArray[np.floating] | None, NDArray[np.floating] | None]:
    """Predictions (n,), and probabilities or else decision scores (n, k), of images (n, h, w), or
    whatever it is fed.

    The prediction is the largest probability or score. Blocks have a fixed size, so that neither
    the number of threads nor the batch a picture comes in changes a bit of the answer.
    """
    method = next(
        (name for name in ("predict_proba", "decision_function") if hasattr(pipeline, name)),
        "predict",
    )
    answer = in_blocks(_asking(pipeline, method), images, n_jobs)
    if method == "predict":
        return answer, None, None
    if answer.ndim == 1:  # two classes: the score of the second against the first
        answer = np.column_stack([-answer, answer])
    prediction = pipeline.classes_[answer.argmax(axis=1)]
    return (prediction, answer, None) if method == "predict_proba" else (prediction, None, answer)


def _asking(model: Any, method: str) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """The method of a pipeline or an estimator, for use on threads.

    A forest's own swaps the warning filters, even with one thread, and warns when it meets those of
    another.
    """
    features, estimator = (model[:-1], model[-1]) if isinstance(model, Pipeline) else (None, model)
    if not isinstance(estimator, RandomForestClassifier | ExtraTreesClassifier):
        return getattr(model, method)  # type: ignore[no-any-return]
    return lambda inputs: _votes(
        estimator, inputs if features is None else features.transform(inputs)
    )


def _votes(forest: Any, X: NDArray[Any]) -> NDArray[np.float64]:
    """The mean probabilities (n, k) of the trees, added up in the order in which one thread of the
    forest does it.
    """
    X = np.ascontiguousarray(X, np.float32)
    return np.asarray(
        sum(tree.predict_proba(X, check_input=False) for tree in forest.estimators_) / len(forest)
    )


def in_blocks(
    function: Callable[[NDArray[Any]], NDArray[Any]], inputs: NDArray[Any], n_jobs: int
) -> NDArray[Any]:
    """Join what a function returns of blocks of `BLOCK` inputs, shared out among threads."""
    blocks = [inputs[start : start + BLOCK] for start in range(0, len(inputs), BLOCK)]
    with warnings.catch_warnings():
        if len(blocks) == 1:  # a picture that somebody draws should not wait for a pool of threads
            return function(blocks[0])
        answers = Parallel(n_jobs=n_jobs, backend="threading")(
            delayed(function)(block) for block in blocks
        )
    return np.concatenate(answers)
