"""From a picture to an answer: split into digits, brought to MNIST's look, read by a run's model,
doubted.
"""

import logging
import threading
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_exp import models
from mnist_exp.config import load_recorded
from mnist_exp.errors import UserError
from mnist_exp.handwriting import (
    Ink,
    as_prepared,
    drawn_to_mnist,
    photo_to_ink,
    resized,
    split_digits,
)
from mnist_exp.recognition._novelty import Look, Neighbours
from mnist_exp.runs import Run

log = logging.getLogger(__name__)

MAX_DIGITS = 20  # more pieces than that are no number but a picture of something
LOWEST = 10  # px of 20 that the lowest digits are high; a bar that lies is lower
FULLEST, BROAD = (
    0.64,
    12,
)  # share of its box that the ink of a broad digit fills at most: a blot fills more
BLANK, STRANGE = "blank", "not a digit"


@dataclass(frozen=True)
class Answer:
    """What was read: `label` is None for what is blank or unlike what the model knows, and `reason`
    says which.
    """

    label: str | None
    reason: str | None = None
    probabilities: dict[str, float] | None = None
    scores: dict[str, float] | None = None  # margins, where the model has no probabilities
    guess: int | None = None  # the model's class, also where it is not believed
    image: Ink | None = None  # (h, w) as the model saw it
    look: Look | None = None
    digits: list["Answer"] = field(default_factory=list)  # left to right, where there are several

    def as_json(self, name: str) -> dict[str, Any]:
        """The object that `predict --json` prints."""
        content: dict[str, Any] = {
            "image": name,
            "label": self.label,
            "probabilities": self.probabilities,
        }
        content |= {"scores": self.scores, "reason": self.reason}
        if self.digits:
            content["digits"] = [digit.as_json(name) for digit in self.digits]
        return content


class Reader:
    """A run's model, ready to read pictures; safe to use from several threads."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.pipeline = run.load_model()
        card = run.model_card
        try:
            self.classes = tuple(str(name) for name in card["classes"])
            height, width = (int(side) for side in card["input"]["shape"][1:])
            fits = 0 < min(height, width) <= max(height, width) <= 1024
            known = np.asarray(self.pipeline.classes_)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{run.path}: model.json does not describe the model ({error})"
            ) from error
        self.shape = height, width
        if not fits or known.min() < 0 or known.max() >= len(self.classes):
            raise UserError(f"{run.path}: model.json does not describe the model")
        self.strokes = all(
            len(name) == 1 for name in self.classes
        )  # trousers and boots are not written
        self.digits = set(self.classes) <= set("0123456789")
        self._lock = threading.Lock()

    @property
    def neighbours(self) -> Neighbours | None:
        """The nearest training images; built on first use, and kept beside the model.

        None without the data.
        """
        with self._lock:  # built once, however many threads ask
            return self._neighbours

    @cached_property
    def _neighbours(self) -> Neighbours | None:
        """The run's kept index, or a new one from its recorded data; None, with a message, where
        those are gone.
        """
        kept = self._kept_neighbours()
        if (
            kept is not None
            and kept.images.shape[1:] == self.shape
            and kept.labels.max() < len(self.classes)
        ):
            return kept
        try:
            log.info("looking through the training images of %s once", self.run.path)
            found = Neighbours.of(
                load_recorded(self.run.config_path).train, self.strokes, self.digits
            )
        except UserError as error:
            log.warning(
                "%s: no training images (%s); only blots and bars are told from digits",
                self.run.path,
                error,
            )
            return None
        try:
            self.run.save_neighbours(found.arrays())
        except OSError as error:
            log.warning(
                "%s: the index of training images cannot be kept (%s)",
                self.run.path,
                error.strerror,
            )
        return found

    def _kept_neighbours(self) -> Neighbours | None:
        arrays = self.run.load_neighbours()
        try:
            return None if arrays is None else Neighbours(**arrays)
        except (TypeError, ValueError) as error:
            log.info("the index of training images of %s is built anew: %s", self.run.path, error)
            return None

    def read(self, image: Image.Image) -> Answer:
        """What a picture, a photo or a scan says."""
        prepared = as_prepared(image)
        return self.read_ink(photo_to_ink(image)) if prepared is None else self._judge(prepared)

    def read_ink(self, ink: Ink) -> Answer:
        """What strokes say, white ink on black (h, w)."""
        parts = split_digits(ink) if self.strokes else [ink]
        if len(parts) > MAX_DIGITS:
            return Answer(None, STRANGE)
        answers = [self._judge(drawn_to_mnist(part), in_row=len(parts) > 1) for part in parts]
        if not answers:
            return Answer(None, BLANK)
        return answers[0] if len(answers) == 1 else self._number(answers)

    def _number(self, answers: list[Answer]) -> Answer:
        strange = [str(i + 1) for i, answer in enumerate(answers) if answer.label is None]
        if strange:
            return Answer(
                None, f"{STRANGE}: part {', '.join(strange)} of {len(answers)}", digits=answers
            )
        return Answer("".join(answer.label or "" for answer in answers), digits=answers)

    def _judge(self, image: Ink, in_row: bool = False) -> Answer:
        if not image.any():
            return Answer(None, BLANK)
        (fitted,) = resized(image[None], self.shape)
        predicted, probability, score = self.ask(fitted[None])
        guess = int(predicted[0])
        look = self.neighbours.look(fitted, guess) if self.neighbours else None
        strange = (self.strokes and is_no_digit(image)) or (
            look is not None and look.strangeness[in_row] > 1
        )
        return Answer(
            None if strange else self.classes[guess],
            STRANGE if strange else None,
            self._named(probability),
            self._named(score),
            guess,
            fitted,
            look,
        )

    def ask(
        self, images: Ink
    ) -> tuple[NDArray[np.int64], NDArray[Any] | None, NDArray[Any] | None]:
        """Predictions, probabilities or scores of images (n, h, w) that look as the training images
        do.
        """
        return models.predict(self.pipeline, images)

    def _named(self, values: NDArray[Any] | None) -> dict[str, float] | None:
        if values is None:
            return None
        named = dict.fromkeys(self.classes, 0.0 if values.min() >= 0 else float(values.min()))
        return named | {
            self.classes[int(c)]: float(v)
            for c, v in zip(self.pipeline.classes_, values[0], strict=True)
        }


def is_no_digit(image: Ink) -> bool:
    """Whether the ink (28, 28) is outside what digits have: a bar that lies, a blot (1 in 1,000
    training images is).
    """
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    box = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = box.shape
    return bool(height < LOWEST or (min(height, width) >= BROAD and box.mean() / 255 > FULLEST))
