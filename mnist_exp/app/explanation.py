"""Why a model answered so: what mattered, and which images and mistakes look like the drawing."""

import threading
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist_exp import models
from mnist_exp.config import load_recorded
from mnist_exp.errors import UserError
from mnist_exp.recognition import Answer, Reader

PATCH, STEP = 5, 2  # pixels that are blanked at a time: more than a stroke's width
NEAREST, ALIKE = 8, 6  # how many images are shown


class Mistake(NamedTuple):
    """A test image that a model got wrong, with the names of the classes."""

    image: NDArray[np.uint8]  # (h, w)
    label: str
    taken_for: str


class Explainer:
    """The reasons for a reader's answers; test data are read on first use."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._lock = threading.Lock()

    @property
    def mistakes(self) -> list[Mistake] | None:
        """The test images it got wrong, most confident first; None without predictions or data."""
        with self._lock:  # read once, however many threads ask
            return self._mistakes

    @cached_property
    def threshold(self) -> float | None:
        """The probability below which the model is not sure; None where its card has none."""
        confidence = self.reader.run.model_card.get("confidence")
        threshold = confidence.get("threshold") if isinstance(confidence, dict) else None
        return float(threshold) if isinstance(threshold, int | float) else None

    @cached_property
    def _mistakes(self) -> list[Mistake] | None:
        run, classes = self.reader.run, self.reader.classes
        try:
            predictions = run.predictions("test")
            test = load_recorded(run.config_path).test
        except UserError:
            return None
        if test is None or test.sha256 != predictions.split_sha256:
            return None
        wrong = np.flatnonzero(predictions.prediction != predictions.label)
        return [
            Mistake(
                test.images[i],
                classes[int(predictions.label[i])],
                classes[int(predictions.prediction[i])],
            )
            for i in wrong[np.argsort(-predictions.confidence[wrong], kind="stable")]
        ]

    def nearest(self, answer: Answer) -> list[tuple[NDArray[np.uint8], str]] | None:
        """The nearest training images (h, w) and their classes; None without training data."""
        neighbours = self.reader.neighbours
        if neighbours is None or answer.look is None:
            return None
        return [
            (neighbours.images[i], self.reader.classes[int(neighbours.labels[i])])
            for i in answer.look.nearest[:NEAREST]
        ]

    def alike(self, answer: Answer) -> list[tuple[NDArray[np.uint8], str]] | None:
        """The mistakes most like a picture, with what they were read as; None without test data."""
        mistakes, neighbours = self.mistakes, self.reader.neighbours
        if not mistakes or neighbours is None or answer.image is None:
            return None if mistakes is None else []
        order = neighbours.rank(answer.image, np.stack([mistake.image for mistake in mistakes]))
        return [
            (mistakes[i].image, f"{mistakes[i].label} read as {mistakes[i].taken_for}")
            for i in order[:ALIKE]
        ]

    def importance(self, answer: Answer) -> NDArray[np.float64] | None:
        """How much the score of the answer's class falls when a patch is blanked, as a mean (h, w).

        The mean is over the patches that cover a pixel. Negative where the ink speaks against the
        class; None without scores. Zeiler and Fergus (2014), with the background as the patch.
        """
        image, guess = answer.image, answer.guess
        if image is None or guess is None:
            return None
        rows, columns = (range(1 - PATCH, side, STEP) for side in image.shape)
        corners = [(y, x) for y in rows for x in columns]
        patches = [(slice(max(0, y), y + PATCH), slice(max(0, x), x + PATCH)) for y, x in corners]
        patches = [patch for patch in patches if image[patch].any()]
        blanked = np.repeat(image[None], len(patches) + 1, axis=0)
        for copy, patch in zip(blanked, patches, strict=False):
            copy[patch] = 0
        plain = models.uncalibrated(self.reader.pipeline)  # near 1 probabilities hardly fall
        _, probabilities, scores = models.predict(plain, blanked)
        values = scores if probabilities is None else probabilities
        if values is None:
            return None
        values = values[:, list(self.reader.pipeline.classes_).index(guess)].astype(float)
        total, covered = np.zeros(image.shape), np.zeros(image.shape)
        for patch, value in zip(patches, values[:-1], strict=True):
            total[patch] += values[-1] - value
            covered[patch] += 1
        return np.asarray(total / np.maximum(covered, 1))
