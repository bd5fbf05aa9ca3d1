"""Nearest neighbours, and which labels they say may be wrong: for a person to look at.

The search is by brute force: exact, and as fast as the machine multiplies matrices.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mnist_exp.evaluation._metrics import Predictions

if TYPE_CHECKING:
    from mnist_exp.data import Split

NEIGHBOURS = 5
AGREEING = 4  # of these must side with the model
CANDIDATES = 40  # mistakes that are looked up among the training images, which bounds the time
TRAINING_IMAGES = 20_000  # likewise: of a larger training split every second, third ... image
_QUERIES, _ROWS = 500, 5_000  # distances of one block: 10 MB


def nearest(
    queries: NDArray[Any], rows: NDArray[Any], count: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The rows nearest to each query.

    Parameters
    ----------
    queries : array (m, d)
        Of any number type: blocks are taken as float32 one by one, so that images need no copy.
    rows : array (n, d)
        Among which to search, likewise.
    count : int
        How many to find for each query.

    Returns
    -------
    index : array of int (m, count)
        The nearest comes first.
    distance : array of float32 (m, count)
        Squared Euclidean distances.

    Examples
    --------
    >>> index, distance = nearest(np.array([[0, 0]]), np.array([[3, 4], [0, 1], [9, 9]]), 2)
    >>> index.tolist(), distance.tolist()
    ([[1, 0]], [[1.0, 25.0]])
    """
    starts = range(0, len(queries), _QUERIES)
    blocks = [_of_block(queries[start : start + _QUERIES], rows, count) for start in starts]
    index, distance = (np.concatenate(part) for part in zip(*blocks, strict=True))
    return index, distance


def _of_block(
    queries: NDArray[Any], rows: NDArray[Any], count: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Rank the nearest of the first rows, and the few others that are nearer than the last of them.

    Sorting out a block of distances takes longer than computing it.
    """
    wanted = queries.astype(np.float32)
    length = np.einsum("ij,ij->i", wanted, wanted)[:, None]
    limit = np.full((len(wanted), 1), np.inf, np.float32)
    candidates = []
    for start in range(0, len(rows), _ROWS):
        block = rows[start : start + _ROWS].astype(np.float32)
        squared = 2 * wanted @ block.T
        np.subtract(np.einsum("ij,ij->i", block, block), squared, out=squared)
        squared += length
        if start == 0 and count < len(block):
            limit = np.partition(squared, count - 1, axis=1)[:, count - 1 : count]
            near = squared <= limit
        else:
            near = squared < limit
        at = np.flatnonzero(near)
        query, row = np.divmod(at, len(block))
        candidates.append((query, row + start, squared.ravel()[at]))
    query, row, distance = (np.concatenate(part) for part in zip(*candidates, strict=True))
    order = np.lexsort((distance, query))  # of equals the first row
    first = np.searchsorted(query[order], np.arange(len(wanted)))
    best = order[first[:, None] + np.arange(min(count, len(rows)))]
    return row[best], np.maximum(distance[best], 0)


@dataclass(frozen=True)
class Suspect:
    """A test image whose label the model and the nearest training images dispute."""

    position: int  # in evaluation order
    agreeing: int  # how many of the `NEIGHBOURS` nearest training images carry the predicted class


def suspected_labels(
    predictions: Predictions, images: NDArray[np.uint8], train: "Split"
) -> list[Suspect]:
    """The surest mistakes whose nearest training images side with the model.

    The nearest are those of least Euclidean distance between pixels, which knows nothing of the
    model. What is found so on MNIST are wrong labels that people confirmed (rows 659, 947, 2130,
    9729), and more digits that are merely ugly.

    Parameters
    ----------
    predictions : Predictions
        With probabilities or scores; without either nothing is suspected.
    images : array of uint8 (n, h, w)
        The images they are about.
    train : Split
        Images and labels the model was trained on.

    Returns
    -------
    list of Suspect
        Surest first.

    Examples
    --------
    >>> from mnist_exp.data import Split
    >>> images = np.repeat(np.array([0, 200], np.uint8), 6)[:, None, None] * np.ones((2, 2), "u1")
    >>> train = Split(images, np.repeat([0, 1], 6), np.arange(12))
    >>> label, probability = np.array([1, 1]), np.array([[0.9, 0.1], [0.2, 0.8]])
    >>> predicted = probability.argmax(axis=1)
    >>> predictions = Predictions(np.arange(2), label, predicted, probability, None, "")
    >>> suspected_labels(predictions, images[[0, 6]], train)
    [Suspect(position=0, agreeing=5)]
    """
    positions = surest_mistakes(predictions)[:CANDIDATES]
    if not len(positions):
        return []
    labels = train.labels[:: _stride(train)]
    rows = train.images[:: _stride(train)].reshape(len(labels), -1)
    neighbours, _ = nearest(images[positions].reshape(len(positions), -1), rows, NEIGHBOURS)
    agreeing = (labels[neighbours] == predictions.prediction[positions, None]).sum(axis=1)
    return [
        Suspect(int(p), int(n)) for p, n in zip(positions, agreeing, strict=True) if n >= AGREEING
    ]


def surest_mistakes(predictions: Predictions) -> NDArray[np.int64]:
    """Positions of the mistakes, by how far the model prefers its prediction to the label.

    Without probabilities or scores nothing tells a sure mistake from another: none is returned.
    """
    belief = predictions.score if predictions.probability is None else predictions.probability
    if belief is None:
        return np.empty(0, np.int64)
    wrong = np.flatnonzero(predictions.label != predictions.prediction)
    preference = (
        belief[wrong, predictions.prediction[wrong]] - belief[wrong, predictions.label[wrong]]
    )
    return wrong[np.argsort(-preference, kind="stable")]


def searched(train: "Split") -> int:
    """Among how many training images neighbours are looked for."""
    return len(train.labels[:: _stride(train)])


def _stride(train: "Split") -> int:
    return -(-len(train) // TRAINING_IMAGES)
