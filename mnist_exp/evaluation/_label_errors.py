"""Which labels of a test set may be wrong: a suspicion for a person to look at; nothing is
relabelled or left out.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mnist_exp.evaluation._metrics import Predictions
from mnist_exp.evaluation._nearest import nearest

if TYPE_CHECKING:
    from mnist_exp.data import Images, Split

NEIGHBOURS = 5
AGREEING = 4  # of these must side with the model
CANDIDATES = 40  # mistakes that are looked up among the training images, which bounds the time
TRAINING_IMAGES = 20_000  # likewise: of a larger training split every second, third ... image


@dataclass(frozen=True)
class Suspect:
    """A test image whose label two sources dispute: the model, and the training images nearest to
    it.
    """

    position: int  # in evaluation order
    agreeing: int  # how many of the `NEIGHBOURS` nearest training images carry the predicted class


def suspected_labels(predictions: Predictions, images: "Images", train: "Split") -> list[Suspect]:
    """The surest mistakes whose nearest training images side with the model, surest first.

    The nearest are those of least Euclidean distance between pixels, which knows nothing of the
    model. What is found so on MNIST are wrong labels that people confirmed (rows 659, 947, 2130,
    9729), and more digits that are merely ugly.
    """
    positions = surest_mistakes(predictions)[:CANDIDATES]
    if not len(positions):
        return []
    nearest = nearest_labels(images[positions], train)
    agreeing = (nearest == predictions.prediction[positions, None]).sum(axis=1)
    return [
        Suspect(int(p), int(n)) for p, n in zip(positions, agreeing, strict=True) if n >= AGREEING
    ]


def surest_mistakes(predictions: Predictions) -> NDArray[np.int64]:
    """Positions of the mistakes, by how far the model prefers its answer to the label (probability
    or decision score).

    Without either nothing tells a sure mistake from another, and none is returned.
    """
    belief = predictions.probability if predictions.probability is not None else predictions.score
    if belief is None:
        return np.empty(0, np.int64)
    wrong = np.flatnonzero(predictions.label != predictions.prediction)
    preference = (
        belief[wrong, predictions.prediction[wrong]] - belief[wrong, predictions.label[wrong]]
    )
    return wrong[np.argsort(-preference, kind="stable")]


def nearest_labels(images: "Images", train: "Split") -> NDArray[np.int64]:
    """Labels (n, NEIGHBOURS) of the training images nearest to each of `images` (n, h, w), by
    pixels.
    """
    stride = _stride(train)
    labels = train.labels[::stride]
    rows = train.images[::stride].reshape(len(labels), -1)
    return np.asarray(labels[nearest(images.reshape(len(images), -1), rows, NEIGHBOURS)[0]])


def searched(train: "Split") -> int:
    """Among how many training images neighbours are looked for."""
    return len(train.labels[:: _stride(train)])


def _stride(train: "Split") -> int:
    return -(-len(train) // TRAINING_IMAGES)
