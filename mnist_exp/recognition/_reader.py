"""From a picture to an answer: cut into digits, brought to MNIST's look, read, and doubted."""

import logging
import threading
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_exp import models
from mnist_exp.config import load_config, load_recorded
from mnist_exp.data import Dataset, Split
from mnist_exp.errors import UserError
from mnist_exp.handwriting import (
    Ink,
    are_tangled,
    as_prepared,
    drawn_to_mnist,
    find_ink,
    looks_like_mnist,
    resized,
    split_lines,
)
from mnist_exp.process import cpus
from mnist_exp.recognition._answer import BLANK, LINES, STRANGE, Answer
from mnist_exp.recognition._novelty import Neighbours, is_bar_or_blot
from mnist_exp.recognition._rows import read_line
from mnist_exp.runs import Run, open_run

log = logging.getLogger(__name__)

MAX_PIECES = 60  # what has more is no number but a picture of something
LARGEST = 1024  # px a side of the images that a model may ask for


class Reader:
    """A run's model, ready to read pictures; safe to use from several threads.

    Parameters
    ----------
    run : Run
        A run with a model.

    Raises
    ------
    UserError
        If the model cannot be loaded, or its card does not describe it.

    Examples
    --------
    See `load_reader`.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.pipeline = run.load_model()
        wrong_card = f"{run.path}: model.json does not describe the model"
        try:
            self.classes = tuple(str(name) for name in run.model_card["classes"])
            height, width = (int(side) for side in run.model_card["input"]["shape"][1:])
            known = np.asarray(self.pipeline.classes_)
            fits = known.min() >= 0 and known.max() < len(self.classes)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{wrong_card} ({error})") from error
        if not fits or not 0 < min(height, width) <= max(height, width) <= LARGEST:
            raise UserError(wrong_card)
        self.shape = height, width
        self.strokes = all(len(name) == 1 for name in self.classes)  # boots are not written
        self._lock = threading.Lock()

    @property
    def neighbours(self) -> Neighbours | None:
        """The nearest training images, or None without the data.

        Built on first use, and kept beside the model.
        """
        with self._lock:  # built once, however many threads ask
            return self._neighbours

    @cached_property
    def _neighbours(self) -> Neighbours | None:
        """The index beside the model; a new one if that is damaged or of other classes."""
        path, arrays = self.run.path, self.run.load_neighbours()
        shape, classes = self.shape, len(self.classes)
        try:
            index = Neighbours.from_arrays(arrays) if arrays else None
            if index and index.images.shape[1:] == shape and index.labels.max() < classes:
                return index
        except (TypeError, ValueError) as error:
            log.info("%s: the index of training images is built anew: %s", path, error)
        log.info("%s: the training images are indexed once", path)
        try:
            train = self._of_known_classes(load_recorded(self.run.config_path))
        except UserError as error:
            log.warning("%s: no training images (%s); only blots and bars are refused", path, error)
            return None
        index = Neighbours.of(train, self.strokes, set(self.classes) <= set("0123456789"))
        try:
            self.run.save_neighbours(index.arrays())
        except OSError as error:
            log.warning("%s: the index of training images cannot be saved (%s)", path, error)
        return index

    def _of_known_classes(self, data: Dataset) -> Split:
        """The training images under the model's class numbers; UserError if they are others now."""
        recorded = self.run.train_sha256
        if data.classes == self.classes and recorded in (None, data.train.sha256):
            return data.train
        numbers = [self.classes.index(c) if c in self.classes else -1 for c in data.classes]
        labels = np.array(numbers)[data.train.labels]
        known = labels >= 0  # classes may have come since
        train = Split(data.train.images[known], labels[known], data.train.index[known])
        if train.sha256 != recorded:
            raise UserError("the data are not those that the run was trained on")
        return train

    def read(self, image: Image.Image) -> Answer:
        """Read a picture, a photo or a scan.

        Parameters
        ----------
        image : Image.Image
            One digit or a row of them; or 28x28 pixels as MNIST has them, which are taken as they
            are.

        Returns
        -------
        Answer
            What it says, or why it is refused.
        """
        prepared = as_prepared(image)
        if prepared is None or (self.strokes and not looks_like_mnist(prepared)):
            page = find_ink(image)
            answer = self.read_ink(page.ink)
            if answer.label is None and page.obstacle:
                return replace(answer, reason=f"{answer.reason}: {page.obstacle}")
            return answer
        return self.judge(prepared[None])[0]

    @property
    def rectangle(self) -> tuple[int, int] | None:
        """Height and width of the images, unless they are squares."""
        return None if self.shape[0] == self.shape[1] else self.shape

    def read_images(self, images: Ink) -> list[Answer]:
        """Read images like the training images, all at once.

        Parameters
        ----------
        images : array of shape (n, h, w), uint8
            Turned and inverted as the run's dataset says, and brought to the size that the model
            knows. No ink is looked for in them, and none is refused.

        Returns
        -------
        list of Answer
            What each of them says.
        """
        dataset = load_config(self.run.config_path).get("dataset", {})
        if dataset.get("transpose"):
            images = images.swapaxes(1, 2)
        if dataset.get("invert"):
            images = 255 - images
        fitted = resized(np.ascontiguousarray(images), self.shape)
        predicted, probability, score = models.predict(self.pipeline, fitted, cpus())
        answers = []
        for i, guess in enumerate(predicted.tolist()):
            shares, margins = self._by_class(probability, i), self._by_class(score, i)
            answers.append(Answer(self.classes[guess], None, shares, margins, guess))
        return answers

    def read_ink(self, ink: Ink) -> Answer:
        """Read strokes.

        Parameters
        ----------
        ink : array of shape (h, w), uint8
            White ink on black.

        Returns
        -------
        Answer
            What it says, or why it is refused.
        """
        lines = split_lines(ink)
        if not self.strokes:  # boots may have gaps, `digit_7` is written
            whole = self.judge(drawn_to_mnist(ink)[None])[0]
            if whole.label is not None or sum(map(len, lines)) < 2:
                return whole
        if not lines or sum(map(len, lines)) > MAX_PIECES:
            return Answer(None, STRANGE if lines else BLANK)
        if are_tangled(lines):
            return Answer(None, LINES)
        answers = [read_line(self, line) for line in lines]
        if len(answers) == 1:
            return answers[0]
        digits = [digit for answer in answers for digit in answer.digits or [answer]]
        refused = [answer.reason for answer in answers if answer.reason]
        text = "\n".join(answer.label or "" for answer in answers)
        return Answer(None if refused else text, refused[0] if refused else None, digits=digits)

    def judge(self, images: Ink, in_row: bool = False, spare: float = 1.0) -> list[Answer]:
        """Read digits that look as MNIST's do, and doubt them.

        Parameters
        ----------
        images : array of shape (n, 28, 28), uint8
            White ink on black, one digit in each.
        in_row : bool
            Whether neighbours speak for them, so that stranger ones are believed.
        spare : float
            Times the limit that they may be strange.

        Returns
        -------
        list of Answer
            What each of them says.
        """
        fitted = resized(images, self.shape)
        guesses, probability, score = self.ask(fitted)
        answers = []
        for i, (image, guess) in enumerate(zip(fitted, guesses.tolist(), strict=True)):
            look = self.neighbours.look(image, guess) if self.neighbours else None
            is_strange = (self.strokes and is_bar_or_blot(images[i])) or (
                look is not None and look.strangeness[in_row] > spare
            )
            reason = STRANGE if is_strange else None
            if not images[i].any():
                reason = BLANK
            shares, margins = self._by_class(probability, i), self._by_class(score, i)
            label = self.classes[guess] if reason is None else None
            answers.append(Answer(label, reason, shares, margins, guess, image, look))
        return answers

    def ask(
        self, images: Ink
    ) -> tuple[NDArray[np.int64], NDArray[Any] | None, NDArray[Any] | None]:
        """Return predictions, and probabilities or scores, of images like the training images.

        Parameters
        ----------
        images : array of shape (n, h, w), uint8
            Images of the size that the model knows.

        Returns
        -------
        tuple of arrays
            Predictions (n,), and either probabilities or scores (n, classes); the other is None.
        """
        return models.predict(self.pipeline, images)

    def _by_class(self, values: NDArray[Any] | None, i: int) -> dict[str, float] | None:
        """Row i by class name; a class that the model never saw gets the least."""
        if values is None:
            return None
        known = [self.classes[int(number)] for number in self.pipeline.classes_]
        least = dict.fromkeys(self.classes, min(0.0, float(values[i].min())))
        return least | dict(zip(known, values[i].tolist(), strict=True))


def load_reader(run: str | Path | Run) -> Reader:
    """Load the model of a run, ready to read pictures.

    Parameters
    ----------
    run : str, Path or Run
        A run or its folder, or "latest" for the newest one in `outputs`.

    Returns
    -------
    Reader
        Its `read` takes a picture.

    Raises
    ------
    UserError
        If there is no such run, or its model cannot be loaded.

    Examples
    --------
    >>> from PIL import Image
    >>> from mnist_exp.data import digits, load
    >>> test = load(digits(), test_size=10).test
    >>> reader = load_reader("latest")
    >>> reader.read(Image.fromarray(test.images[0])).label, test.labels[0]
    ('2', np.int64(2))
    """
    return Reader(run if isinstance(run, Run) else open_run(str(run)))
