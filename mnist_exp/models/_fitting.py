"""From features and an estimator to one pipeline, fitted once and asked in blocks of images.

scikit-learn's threads swap the warning filters of the whole process around every task. Swaps of
several threads at once may leave any filters behind, or none: hence `catch_warnings` around
whatever starts such threads, which restores the filters.
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
from sklearn.utils import gen_batches

from mnist_exp.errors import UserError
from mnist_exp.models._fast_forest import Coded, coded, grow, grows_faster

OnStage = Callable[[int, float], None]
TREES = 10  # a stage of a forest, as an epoch is one of a network
BLOCK = 500  # images a thread takes at a time: their HOG features fit the second-level cache
TREES_BLOCK = 2_500  # rows that a tree takes at a time where there are many: a call has its price


def check_parameters(estimator: BaseEstimator, group: str) -> None:
    """Let scikit-learn judge the parameters of an estimator before any data is loaded.

    Parameters
    ----------
    estimator
        An estimator, or a pipeline, whose steps are judged.
    group
        Where its parameters are set, for the message: `model` or `features`.

    Raises
    ------
    UserError
        With scikit-learn's own sentence.

    Examples
    --------
    >>> from sklearn.decomposition import PCA
    >>> check_parameters(PCA(n_components=-1), "features")
    Traceback (most recent call last):
    mnist_exp.errors.UserError: features: The 'n_components' parameter of PCA must be an int ...
    """
    steps = estimator.named_steps.values() if isinstance(estimator, Pipeline) else [estimator]
    for step in steps:
        # scikit-learn's own estimators declare their constraints, others may not.
        if hasattr(step, "_parameter_constraints"):
            try:
                step._validate_params()
            except ValueError as error:
                raise UserError(f"{group}: {error}") from error


def fit(
    estimator: Any,
    X: NDArray[np.floating] | Coded,
    y: NDArray[np.int64],
    advance: Callable[[float], None],
    on_stage: OnStage | None = None,
) -> str:
    """Fit in place, in stages where the estimator can be grown.

    A forest grown by warm start is, tree for tree, the forest fitted at once: each tree has a seed
    of its own. Models that learn in epochs are fitted epoch by epoch for the sake of `on_stage`
    only, since that shows them the images in another random order than `fit` does.

    Parameters
    ----------
    estimator
        A classifier.
    X, y
        Features (n, d) and labels (n,). Coded ones are for forests that `grows_faster` accepts.
    advance
        Called with the share that is done (0..1).
    on_stage
        Called with the number of stages done (1, 2, 4, 8 ...: epochs, or tens of trees) and their
        share; may raise to end the fit.

    Returns
    -------
    str
        Who grew or fitted it: "scikit-learn", or "numba" for the same forest grown faster.

    Examples
    --------
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> forest = RandomForestClassifier(30, random_state=0)
    >>> X, y = np.eye(20, dtype=np.float32), np.arange(20) % 2
    >>> stages = []
    >>> _ = fit(forest, X, y, lambda share: None, lambda n, share: stages.append((n, share)))
    >>> stages
    [(1, 0.3333333333333333), (2, 0.6666666666666666)]
    >>> len(forest.estimators_)
    30
    """
    if grows_faster(estimator, len(np.unique(y))):
        matrix = X if isinstance(X, Coded) else coded(X)
        if matrix is not None:
            _grow_faster(estimator, matrix, y, advance, on_stage)
            return "numba"
    assert not isinstance(X, Coded)  # noqa: S101  (for such forests alone, as said above)
    if hasattr(estimator, "n_estimators") and not getattr(estimator, "warm_start", True):
        _grow(estimator, X, y, advance, on_stage)
    elif on_stage is not None and _learns_in_epochs(estimator):
        _learn(estimator, X, y, advance, on_stage)
    else:
        with warnings.catch_warnings():
            estimator.fit(X, y)
    return "scikit-learn"


def _grow_faster(
    forest: Any,
    X: Coded,
    y: NDArray[np.int64],
    advance: Callable[[float], None],
    on_stage: OnStage | None,
) -> None:
    total = forest.n_estimators
    stages = [] if on_stage is None else [TREES * stage for stage in _doubling(total / TREES)]

    def judge(n_trees: int) -> None:
        assert on_stage is not None  # noqa: S101  (else there are no stages)
        on_stage(n_trees // TREES, n_trees / total)

    grow(forest, X, y, stages, advance, judge)


def _grow(
    estimator: Any,
    X: NDArray[np.floating],
    y: NDArray[np.int64],
    advance: Callable[[float], None],
    on_stage: OnStage | None,
) -> None:
    total, n_jobs = estimator.n_estimators, getattr(estimator, "n_jobs", None) or 1
    step = max(1, round(total / 10 / n_jobs)) * n_jobs  # whole rounds of the threads
    judged = [TREES * stage for stage in _doubling(total / TREES)]
    estimator.set_params(warm_start=True)
    for n_estimators in [*(range(step, total, step) if on_stage is None else judged), total]:
        with warnings.catch_warnings():
            estimator.set_params(n_estimators=n_estimators).fit(X, y)
        advance(n_estimators / total)
        if on_stage is not None and n_estimators < total:
            on_stage(n_estimators // TREES, n_estimators / total)
    estimator.set_params(warm_start=False)


def _doubling(end: float) -> list[int]:
    """1, 2, 4, 8 ... below `end`: judging a model there costs no more than twice at the end."""
    return list(takewhile(lambda stage: stage < end, (2**i for i in count())))


def _learns_in_epochs(estimator: Any) -> bool:
    """Whether epoch after epoch comes to the same as `fit`: as many as given, no data held out."""
    if not isinstance(estimator, SGDClassifier | MLPClassifier) or estimator.early_stopping:
        return False
    if isinstance(estimator, SGDClassifier):
        return estimator.tol is None and estimator.class_weight != "balanced"
    return bool(estimator.solver != "lbfgs" and estimator.n_iter_no_change >= estimator.max_iter)


def _learn(
    estimator: Any,
    X: NDArray[np.floating],
    y: NDArray[np.int64],
    advance: Callable[[float], None],
    on_stage: OnStage,
) -> None:
    seed, classes, total = estimator.random_state, np.unique(y), estimator.max_iter
    stages = _doubling(total)
    estimator.set_params(random_state=np.random.RandomState(seed))  # a new order in each epoch
    for epoch in range(1, total + 1):
        with config_context(assume_finite=epoch > 1), warnings.catch_warnings():
            estimator.partial_fit(X, y, classes=classes)
        advance(epoch / total)
        if epoch in stages:
            on_stage(epoch, epoch / total)
    estimator.set_params(random_state=seed)


def assemble(features: BaseEstimator, estimator: BaseEstimator) -> Pipeline:
    """Join fitted parts into the pipeline that is stored and served.

    Parameters
    ----------
    features, estimator
        A fitted transformer of images, and a classifier fitted on what it makes of them. Their
        `n_jobs` become 1: it describes the machine that trained, not the model, and a forest that
        adds up its trees from several threads rounds differently from call to call. Threads share
        out images instead (`predict`).

    Returns
    -------
    Pipeline
        Takes raw uint8 images (n, h, w).

    Examples
    --------
    >>> from mnist_exp.features import Pixels
    >>> from sklearn.linear_model import SGDClassifier
    >>> images, labels = np.zeros((4, 8, 8), np.uint8), np.array([0, 1, 0, 1])
    >>> features = Pixels().fit(images)
    >>> estimator = SGDClassifier(random_state=0).fit(features.transform(images), labels)
    >>> assemble(features, estimator).predict(images).shape
    (4,)
    """
    pipeline = Pipeline([("features", features), ("model", estimator)])
    pipeline.set_params(**{name: 1 for name in pipeline.get_params() if name.endswith("__n_jobs")})
    return pipeline


def predict(
    pipeline: Any, images: NDArray[Any], n_jobs: int = 1
) -> tuple[NDArray[np.int64], NDArray[np.floating] | None, NDArray[np.floating] | None]:
    """Classify images.

    They are shared out in blocks of a fixed size, so that neither the number of threads nor the
    batch that an image comes in changes a bit of the answer.

    Parameters
    ----------
    pipeline
        A fitted pipeline or estimator.
    images
        Images (n, h, w), or whatever else it takes, by rows.
    n_jobs
        Number of threads.

    Returns
    -------
    prediction, probability, score
        The class (n,) of the largest probability or score; float (n, classes) probabilities, or
        None; decision scores of the same shape where there are no probabilities, or None.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> model = DummyClassifier(strategy="prior").fit([[0], [0], [0]], [3, 5, 5])
    >>> prediction, probability, score = predict(model, np.zeros((2, 1)))
    >>> prediction.tolist(), probability.round(2).tolist(), score
    ([5, 5], [[0.33, 0.67], [0.33, 0.67]], None)
    """
    methods = [name for name in ("predict_proba", "decision_function") if hasattr(pipeline, name)]
    if not methods:
        return in_blocks(pipeline.predict, images, n_jobs), None, None
    size = TREES_BLOCK if len(images) >= n_jobs * TREES_BLOCK and _is_forest(pipeline) else BLOCK
    answer = in_blocks(_for_threads(pipeline, methods[0]), images, n_jobs, size)
    if answer.ndim == 1:  # two classes: the score of the second against the first
        answer = np.column_stack([-answer, answer])
    prediction = pipeline.classes_[answer.argmax(axis=1)]
    is_probability = methods[0] == "predict_proba"
    return (prediction, answer, None) if is_probability else (prediction, None, answer)


def _for_threads(model: Any, method: str) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Return a method of a pipeline or an estimator that several threads may call at once.

    A forest's own swaps the warning filters, even with one thread, and warns when it meets those of
    another: its trees are asked here, and added up in the order in which one thread does it.
    """
    if not _is_forest(model):
        return getattr(model, method)  # type: ignore[no-any-return]
    features, forest = (model[:-1], model[-1]) if isinstance(model, Pipeline) else (None, model)

    def mean_probability(inputs: NDArray[Any]) -> NDArray[np.float64]:
        columns = in_blocks(features.transform, inputs, 1) if features else inputs
        X = np.ascontiguousarray(columns, np.float32)
        votes = sum(tree.predict_proba(X, check_input=False) for tree in forest.estimators_)
        return np.asarray(votes / len(forest))

    return mean_probability


def _is_forest(model: Any) -> bool:
    last = model[-1] if isinstance(model, Pipeline) else model
    return isinstance(last, RandomForestClassifier | ExtraTreesClassifier)


def in_blocks(
    function: Callable[[NDArray[Any]], NDArray[Any]],
    inputs: NDArray[Any],
    n_jobs: int,
    size: int = BLOCK,
) -> NDArray[Any]:
    """Join what a function returns of blocks of inputs.

    Parameters
    ----------
    function
        Takes some inputs, returns a row for each.
    inputs
        One or more, by rows.
    n_jobs
        Number of threads.
    size
        Rows of a block.

    Examples
    --------
    >>> in_blocks(lambda block: block * 2, np.arange(1200), n_jobs=2)[-1]
    np.int64(2398)
    """
    blocks = [inputs[rows] for rows in gen_batches(len(inputs), size)]
    with warnings.catch_warnings():
        if len(blocks) == 1:  # a single drawing should not wait for a pool of threads
            return function(blocks[0])
        answers = Parallel(n_jobs=n_jobs, backend="threading")(
            delayed(function)(block) for block in blocks
        )
    return np.concatenate(answers)
