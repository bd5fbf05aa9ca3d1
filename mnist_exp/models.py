"""From features and an estimator to one pipeline, fitted once and asked in blocks of images."""

from collections.abc import Callable
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from mnist_exp.errors import UserError

BLOCK = 500  # images a thread takes at a time: their HOG features fit the second-level cache


def check_parameters(estimator: BaseEstimator, group: str) -> None:
    """Let scikit-learn judge the parameters before any data is loaded; raises UserError with its own sentence."""
    steps = [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    for step in steps:
        if not hasattr(step, "_parameter_constraints"):  # scikit-learn's own estimators declare them
            continue
        try:
            step._validate_params()
        except ValueError as error:
            raise UserError(f"{group}: {error}") from error


def fit(estimator: Any, X: NDArray[np.floating], y: NDArray[np.int64], advance: Callable[[float], None]) -> None:
    """Fit, telling `advance` the share that is done where the estimator can be grown in stages.

    A forest grown by warm start is, tree for tree, the forest fitted at once: each tree has a seed of its own.
    """
    if not hasattr(estimator, "n_estimators") or not hasattr(estimator, "warm_start") or estimator.warm_start:
        estimator.fit(X, y)
        return
    total = estimator.n_estimators
    step = max(1, round(total / 10 / (estimator.n_jobs or 1))) * (estimator.n_jobs or 1)  # whole rounds of the threads
    estimator.set_params(warm_start=True)
    for n_estimators in [*range(step, total, step), total]:
        estimator.set_params(n_estimators=n_estimators).fit(X, y)
        advance(n_estimators / total)
    estimator.set_params(warm_start=False)


def assemble(features: BaseEstimator, estimator: BaseEstimator) -> Pipeline:
    """Join fitted parts into the pipeline that is stored and served: raw uint8 images in, one thread.

    `n_jobs` describes the machine that trained, not the model; a forest that adds up its trees from several threads
    rounds differently from call to call, so threads share out images instead (`predict`).
    """
    pipeline = Pipeline([("features", features), ("model", estimator)])
    pipeline.set_params(**{name: 1 for name in pipeline.get_params() if name.endswith("__n_jobs")})
    return pipeline


def predict(
    pipeline: Any, images: NDArray[np.uint8], n_jobs: int = 1
) -> tuple[NDArray[np.int64], NDArray[np.floating] | None, NDArray[np.floating] | None]:
    """Predictions (n,), and probabilities or else decision scores (n, k), of images (n, h, w).

    The prediction is the largest probability or score. Blocks have a fixed size, so that neither the number of threads
    nor the batch a picture comes in changes a bit of the answer.
    """
    blocks = [images[start : start + BLOCK] for start in range(0, len(images), BLOCK)]
    method = next((name for name in ("predict_proba", "decision_function") if hasattr(pipeline, name)), "predict")
    parts = Parallel(n_jobs=n_jobs, backend="threading")(delayed(getattr(pipeline, method))(block) for block in blocks)
    answer = np.concatenate(parts)
    if method == "predict":
        return answer, None, None
    if answer.ndim == 1:  # two classes: the score of the second against the first
        answer = np.column_stack([-answer, answer])
    prediction = pipeline.classes_[answer.argmax(axis=1)]
    return (prediction, answer, None) if method == "predict_proba" else (prediction, None, answer)
