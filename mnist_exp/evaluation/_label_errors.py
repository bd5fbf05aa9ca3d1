"""Which labels of a test set may be wrong: for a person to look at; nothing is left out."""

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
    """A test image whose label the model and the nearest training images dispute."""

    position: int  # in evaluation order
    agreeing: int  # how many of the `NEIGHBOURS` nearest training images carry the predicted class


def suspected_labels(predictions: Predictions, images: "Images", train: "Split") -> list[Suspect]:
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
    labels = nearest_labels(images[positions], train)
    agreeing = (labels == predictions.prediction[positions, None]).sum(axis=1)
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


def nearest_labels(images: "Images", train: "Split") -> NDArray[np.int64]:
    """Labels (n, NEIGHBOURS) of the training images nearest to each image (n, h, w), by pixels."""
    stride = _stride(train)
    labels = train.labels[::stride]
    rows = train.images[::stride].reshape(len(labels), -1)
    return np.asarray(labels[nearest(images.reshape(len(images), -1), rows, NEIGHBOURS)[0]])


def searched(train: "Split") -> int:
    """Among how many training images neighbours are looked for."""
    return len(train.labels[:: _stride(train)])


def _stride(train: "Split") -> int:
    return -(-len(train) // TRAINING_IMAGES)
