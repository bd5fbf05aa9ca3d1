"""Which labels of a test set may be wrong: a suspicion for a person to look at; nothing is relabelled or left out."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_exp.data import Images, Split
from mnist_exp.metrics import Predictions

NEIGHBOURS = 5
CANDIDATES = 40  # at most so many are looked up among the training images, which bounds the time
TRAINING_IMAGES = 20_000  # likewise: of a larger training split every second, third ... image
_BLOCK = 2_000


@dataclass(frozen=True)
class Suspect:
    """A test image whose label two sources dispute: the model, and most of the training images nearest to it."""

    position: int  # in evaluation order
    agreeing: int  # how many of the `NEIGHBOURS` nearest training images carry the predicted class


def suspected_labels(predictions: Predictions, images: Images, train: Split, n_classes: int) -> list[Suspect]:
    """Confident disagreements whose nearest training images side with the model, surest first.

    The nearest are those of least Euclidean distance between pixels, which knows nothing of the model.
    """
    positions = confident_disagreements(predictions, n_classes)[:CANDIDATES]
    if not len(positions):
        return []
    nearest = nearest_labels(images[positions], train)
    agreeing = (nearest == predictions.prediction[positions, None]).sum(axis=1)
    most = NEIGHBOURS // 2 + 1
    return [Suspect(int(p), int(n)) for p, n in zip(positions, agreeing, strict=True) if n >= most]


def confident_disagreements(predictions: Predictions, n_classes: int) -> NDArray[np.int64]:
    """Positions where the model is surer of another class than it is, on average, of images labelled so; surest first.

    These are the off-diagonal counts of the confident joint (Northcutt, Jiang & Chuang 2021, "Confident Learning",
    equation 1), by probability, or by the lead over the best other class where the model has decision scores.
    Without either there is no confidence, and nothing is returned.
    """
    belief = _belief(predictions)
    if belief is None:
        return np.empty(0, np.int64)
    own = np.take_along_axis(belief, predictions.label[:, None], axis=1)[:, 0]
    counts = np.bincount(predictions.label, minlength=n_classes)
    usual = np.bincount(predictions.label, weights=own, minlength=n_classes) / np.maximum(counts, 1)
    said = np.take_along_axis(belief, predictions.prediction[:, None], axis=1)[:, 0]
    surplus = said - usual[predictions.prediction]
    disputed = (predictions.prediction != predictions.label) & (surplus >= 0) & (counts[predictions.prediction] > 0)
    positions = np.flatnonzero(disputed)
    return positions[np.argsort(-surplus[positions], kind="stable")]


def _belief(predictions: Predictions) -> NDArray[np.floating] | None:
    if predictions.probability is not None or predictions.score is None:
        return predictions.probability
    score = predictions.score
    second, first = np.partition(score, -2, axis=1)[:, -2:].T[:, :, None]
    return np.asarray(score - np.where(score == first, second, first))


def nearest_labels(images: Images, train: Split) -> NDArray[np.int64]:
    """Labels (n, NEIGHBOURS) of the training images nearest to each of `images` (n, h, w), by pixels."""
    stride = _stride(train)
    labels = train.labels[::stride]
    wanted = images.reshape(len(images), -1).astype(np.float32)
    distance = np.concatenate([_to_block(wanted, block) for block in _blocks(train.images[::stride])], axis=1)
    count = min(NEIGHBOURS, len(labels))
    return np.asarray(labels[np.argpartition(distance, count - 1, axis=1)[:, :count]])


def searched(train: Split) -> int:
    """Among how many training images neighbours are looked for."""
    return len(train.labels[:: _stride(train)])


def _stride(train: Split) -> int:
    return -(-len(train) // TRAINING_IMAGES)


def _blocks(images: Images) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(images), _BLOCK):
        block = images[start : start + _BLOCK]
        yield block.reshape(len(block), -1).astype(np.float32)


def _to_block(wanted: NDArray[np.float32], block: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared distances, short of the squared length of `wanted`, which orders no neighbours."""
    return np.asarray(np.einsum("ij,ij->i", block, block) - 2 * wanted @ block.T)
