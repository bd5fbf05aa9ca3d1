"""Cross-validation: every training image is predicted once by a model that has not seen it."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_exp.data import Dataset, Split
from mnist_exp.evaluation import Predictions
from mnist_exp.experiment import Outcome, summarize


def split_folds(dataset: Dataset, folds: int, split_seed: int) -> Iterator[Dataset]:
    """Yield one dataset for each fold, stratified: its validation split is the fold, its training
    split the others.
    """
    from sklearn.model_selection import StratifiedKFold

    parts = StratifiedKFold(folds, shuffle=True, random_state=split_seed)
    for rest, fold in parts.split(np.zeros(len(dataset.train)), dataset.train.labels):
        yield Dataset(
            dataset.name,
            dataset.classes,
            _rows(dataset.train, rest),
            _rows(dataset.train, fold),
            None,
        )


def _rows(split: Split, rows: NDArray[np.int64]) -> Split:
    return Split(split.images[rows], split.labels[rows], split.index[rows])


def join_folds(outcomes: Sequence[Outcome], dataset: Dataset, seed: int) -> Outcome:
    """Put the folds' predictions together in the order of the training images, and compute
    everything from those.
    """
    found = [outcome.predictions["val"] for outcome in outcomes]
    order = np.argsort(np.concatenate([part.index for part in found]), kind="stable")
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in found])[order]
        for name in ("index", "label", "prediction", "probability", "score")
        if getattr(found[0], name) is not None
    }
    arrays = {"probability": None, "score": None, **arrays}
    joined = Predictions(**arrays, split_sha256=dataset.train.sha256)
    n_augmented = int(outcomes[0].metrics["data"]["n_augmented"])
    return summarize(outcomes[-1].pipeline, dataset, {"val": joined}, n_augmented, seed)
