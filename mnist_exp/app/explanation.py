"""Why a model answered as it did: what mattered, which training images are near, which of its
mistakes look alike.
"""

import threading
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mnist_exp.config import load_recorded
from mnist_exp.errors import UserError
from mnist_exp.handwriting import Ink
from mnist_exp.recognition import Answer, Reader

PATCH, STEP = 5, 2  # pixels that are blanked at a time: more than a stroke's width


@dataclass(frozen=True)
class Mistakes:
    """Test images that a model got wrong."""

    images: NDArray[np.uint8]  # (n, h, w)
    labels: NDArray[np.int64]
    taken_for: NDArray[np.int64]


class Explainer:
    """What can be said about a reader's answers; test data are read on first use."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._lock = threading.Lock()

    @property
    def mistakes(self) -> Mistakes | None:
        """The model's mistakes on its test set, the most confident first; None where predictions or
        data are gone.
        """
        with self._lock:
            return self._mistakes

    @cached_property
    def _mistakes(self) -> Mistakes | None:
        run = self.reader.run
        try:
            said = run.predictions("test")
            test = load_recorded(run.config_path).test
        except UserError:
            return None
        if test is None or test.sha256 != said.split_sha256:
            return None
        wrong = np.flatnonzero(said.prediction != said.label)
        wrong = wrong[np.argsort(-said.confidence[wrong], kind="stable")]
        return Mistakes(np.asarray(test.images[wrong]), said.label[wrong], said.prediction[wrong])

    def alike(self, answer: Answer, count: int = 6) -> NDArray[np.intp]:
        """Positions of the mistakes most like a picture."""
        neighbours = self.reader.neighbours
        if (
            answer.image is None
            or self.mistakes is None
            or neighbours is None
            or not len(self.mistakes.images)
        ):
            return np.empty(0, np.intp)
        return neighbours.rank(answer.image, self.mistakes.images)[:count]

    def importance(self, answer: Answer) -> NDArray[np.float64] | None:
        """How much the model's score for its class falls when a patch is blanked (h, w); None
        without scores.

        Negative where the ink speaks against the class. Zeiler and Fergus (2014), with the
        background as the patch.
        """
        if answer.image is None or answer.guess is None:
            return None
        return occlusion(self.reader, answer.image, answer.guess)


def occlusion(reader: Reader, image: Ink, label: int) -> NDArray[np.float64] | None:
    """The mean, over the patches that cover a pixel, of what blanking the patch costs."""
    height, width = image.shape
    corners = [
        (y, x) for y in range(1 - PATCH, height, STEP) for x in range(1 - PATCH, width, STEP)
    ]
    spans = [(slice(max(0, y), y + PATCH), slice(max(0, x), x + PATCH)) for y, x in corners]
    spans = [span for span in spans if image[span].any()]
    blanked = np.repeat(image[None], len(spans) + 1, axis=0)
    for copy, span in zip(blanked, spans, strict=False):
        copy[span] = 0
    _, probability, score = reader.ask(blanked)
    said = probability if probability is not None else score
    if said is None:
        return None
    said = said[:, list(reader.pipeline.classes_).index(label)].astype(float)
    total, covered = np.zeros(image.shape), np.zeros(image.shape)
    for span, value in zip(spans, said[:-1], strict=True):
        total[span] += said[-1] - value
        covered[span] += 1
    return np.asarray(total / np.maximum(covered, 1))
