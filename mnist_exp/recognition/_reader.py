"""From a picture to an answer: cut into digits, brought to MNIST's look, read, and doubted."""

import logging
import threading
from dataclasses import dataclass, field, replace
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
    Piece,
    as_prepared,
    cut,
    drawn_to_mnist,
    ink_box,
    joined,
    looks_like_mark,
    looks_like_mnist,
    mark_of,
    photo_to_ink,
    resized,
    share,
    split_lines,
    usual_hands,
)
from mnist_exp.process import cpus
from mnist_exp.recognition._graph import (
    UNREAD,
    UNREAD_COST,
    Arc,
    Reading,
    cost_of,
    readings,
    shape_of,
    spans_of,
)
from mnist_exp.recognition._novelty import Look, Neighbours
from mnist_exp.runs import Run, open_run

log = logging.getLogger(__name__)

MAX_DIGITS, MAX_PIECES = 20, 60  # what has more is no number but a picture of something
SURE, MARGIN, MARKED = 0.3, 0.4, 2.5  # nats
WIDE = 1.2  # width to height from which a digit may be two that touch
# For a digit that was cut off: of the 10 nearest, and of the limit. Letters fall apart into 1s.
AGREEING, STRICT = 8, 0.8
LOWEST = 10  # px of 20 that the lowest digits are high; a bar that lies is lower
BROAD = 12  # px that a digit is high and wide to count as a broad one
FULLEST = 0.64  # share of its box that the ink of a broad digit fills; a blot fills more
LARGEST = 1024  # px a side of the images that a model may ask for
BLANK, STRANGE = "blank", "not a digit"


@dataclass(frozen=True)
class Answer:
    """What was read in one picture.

    Attributes
    ----------
    label : str or None
        The class, or the classes of a row of digits; None if the picture is blank or unlike what
        the model knows.
    reason : str or None
        Why there is no label.
    probabilities, scores : dict or None
        Of each class: probabilities where the model has them, otherwise its margins.
    guess : int or None
        The model's class, also where it is not believed.
    image : array of shape (h, w), uint8, or None
        What the model saw.
    look : Look or None
        What the nearest training images say.
    digits : list of Answer
        From left to right, where there are several.

    Examples
    --------
    >>> Answer("7", probabilities={"1": 0.02, "7": 0.98}).as_json("seven.png")["label"]
    '7'
    """

    label: str | None
    reason: str | None = None
    probabilities: dict[str, float] | None = None
    scores: dict[str, float] | None = None
    guess: int | None = None
    image: Ink | None = None
    look: Look | None = None
    digits: list["Answer"] = field(default_factory=list)

    def as_json(self, name: str) -> dict[str, Any]:
        """Return the object that `predict --json` prints for the picture of that name."""
        shown = "label", "probabilities", "scores", "reason"
        digits = {"digits": [digit.as_json(name) for digit in self.digits]} if self.digits else {}
        return {"image": name} | {key: getattr(self, key) for key in shown} | digits


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
        """The training images under the model's class numbers; classes may have come and gone."""
        if data.classes == self.classes:
            return data.train
        log.warning("%s: the data's classes are others now: %s", self.run.path, data.classes)
        numbers = [self.classes.index(c) if c in self.classes else -1 for c in data.classes]
        labels = np.array(numbers)[data.train.labels]
        known = labels >= 0
        if not known.any():
            raise UserError("none of the model's classes is among the data's")
        return Split(data.train.images[known], labels[known], data.train.index[known])

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
            return self.read_ink(photo_to_ink(image))
        return self._judge(prepared)

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
        return [
            Answer(
                self.classes[int(guess)],
                None,
                None if probability is None else self._by_class(probability[i : i + 1]),
                None if score is None else self._by_class(score[i : i + 1]),
                int(guess),
            )
            for i, guess in enumerate(predicted)
        ]

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
            whole = self._judge(drawn_to_mnist(ink))
            if whole.label is not None or sum(map(len, lines)) < 2:
                return whole
        if not lines or sum(map(len, lines)) > MAX_PIECES:
            return Answer(None, STRANGE if lines else BLANK)
        answers = [self._read_line(line) for line in lines]
        if len(answers) == 1:
            return answers[0]
        digits = [digit for answer in answers for digit in answer.digits or [answer]]
        refused = [answer.reason for answer in answers if answer.reason]
        text = "\n".join(answer.label or "" for answer in answers)
        return Answer(None if refused else text, refused[0] if refused else None, digits=digits)

    def _read_line(self, pieces: list[Piece]) -> Answer:
        """Read pieces of ink from left to right."""
        found = self._readings(pieces)
        best = found[0]
        parts = self._cut(pieces, best) if self.neighbours else pieces
        cut_up = self._readings(parts) if len(parts) > len(pieces) else found
        if cut_up[0].cost < best.cost:
            found, best, pieces = cut_up, cut_up[0], parts
        if (
            len(best.arcs) == 1
            and best.arcs[0].image is not None
            and (len(found) == 1 or found[1].cost - best.cost > MARGIN)
        ):
            return self._judge(best.arcs[0].image)
        digits, texts = [], []
        others = (
            {(arc.first, arc.stop, arc.text) for arc in found[1].arcs}
            if len(found) > 1 and found[1].cost - best.cost < MARGIN
            else None
        )
        for arc in best.arcs:
            answer = None
            if arc.image is not None:
                answer = self._judge(arc.image, in_row=True)
                is_cut = joined(pieces[arc.first : arc.stop]).seams
                if is_cut and answer.look and self.neighbours:
                    near = self.neighbours.labels[answer.look.nearest] == answer.guess
                    if near.sum() < AGREEING or answer.look.strangeness[0] > STRICT:
                        answer = replace(answer, label=None, reason=STRANGE)
                digits.append(answer)
            if others is not None and (arc.first, arc.stop, arc.text) not in others:
                texts.append(UNREAD)
            else:
                texts.append(arc.text if answer is None else answer.label or UNREAD)
        text = ("" if self.strokes else " ").join(texts)
        if UNREAD in texts or len(digits) > MAX_DIGITS or not digits:
            if set(texts) == {UNREAD} or not digits:
                return Answer(None, STRANGE, digits=digits if len(digits) > 1 else [])
            return Answer(None, f"{STRANGE}: {text}", digits=digits)
        return Answer(text, digits=digits)

    def _cut(self, pieces: list[Piece], best: Reading) -> list[Piece]:
        """Cut the pieces of characters that are hardly digits."""
        parts: list[Piece] = []
        for arc in best.arcs:
            for piece in pieces[arc.first : arc.stop]:
                is_wide = len(piece.columns) > WIDE * len(piece.rows) and arc.stop == arc.first + 1
                doubtful = is_wide or (arc.cost >= SURE and len(pieces) > 1)
                parts += cut(piece, 100 * len(parts)) if doubtful else [piece]
        return sorted(parts, key=lambda piece: piece.columns.start + piece.columns.stop)

    def _readings(self, pieces: list[Piece]) -> list[Reading]:
        """What a line may say, the likeliest first."""
        tallest = max(len(piece.rows) for piece in pieces)
        tall = [piece for piece in pieces if len(piece.rows) > 0.5 * tallest]
        line = range(
            int(np.median([piece.rows.start for piece in tall])),
            int(np.median([piece.rows.stop for piece in tall])),
        )
        spans = spans_of(pieces, len(line))
        wholes = [joined(pieces[first:stop]) for first, stop in spans]
        views = [usual_hands(whole.ink) for whole in wholes]
        images = np.stack([drawn_to_mnist(view) for hands in views for view in hands])
        fitted = resized(images, self.shape)
        guesses = self.ask(fitted)[0]
        strange = np.full(len(images), 0.5)
        if self.neighbours:
            strange = self.neighbours.strangeness(fitted, guesses) / self.neighbours.limits[0]
        strange[[_is_bar_or_blot(image) for image in images]] = 20
        ends = np.cumsum([len(hands) for hands in views])
        least = [
            end - len(hands) + int(strange[end - len(hands) : end].argmin())
            for end, hands in zip(ends, views, strict=True)
        ]
        images, guesses, strange = images[least], guesses[least], strange[least]
        shapes = np.array(
            [
                shape_of(pieces[first:stop], whole, len(line))
                for (first, stop), whole in zip(spans, wholes, strict=True)
            ]
        )
        costs = cost_of(strange, shapes)
        marked = np.array(
            [looks_like_mark(piece, line) and is_beside(piece, tall) for piece in pieces]
        )
        costs += [MARKED * (stop > first + 1 and marked[first:stop].any()) for first, stop in spans]
        arcs = [
            Arc(*span, self.classes[int(guess)], float(cost), image)
            for span, guess, cost, image in zip(spans, guesses, costs, images, strict=True)
        ]
        arcs += [Arc(i, i + 1, UNREAD, UNREAD_COST) for i in range(len(pieces))]
        if len(pieces) > 1:
            for first, stop in spans:
                mark = mark_of(pieces[first:stop], line)
                if mark and all(
                    is_beside(piece, tall)
                    for piece in pieces[first:stop]
                    if all(piece is not one for one in tall)
                ):
                    arcs.append(Arc(first, stop, mark, 0.05))
        return readings(arcs, len(pieces))

    def _judge(self, image: Ink, in_row: bool = False) -> Answer:
        """Read one digit that looks as MNIST's do, and doubt it."""
        if not image.any():
            return Answer(None, BLANK)
        fitted = resized(image[None], self.shape)
        predicted, probability, score = self.ask(fitted)
        guess = int(predicted[0])
        look = self.neighbours.look(fitted[0], guess) if self.neighbours else None
        strange = (self.strokes and _is_bar_or_blot(image)) or (
            look is not None and look.strangeness[in_row] > 1
        )
        return Answer(
            None if strange else self.classes[guess],
            STRANGE if strange else None,
            self._by_class(probability),
            self._by_class(score),
            guess,
            fitted[0],
            look,
        )

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

    def _by_class(self, values: NDArray[Any] | None) -> dict[str, float] | None:
        """The first row by class name; a class that the model never saw gets the least."""
        if values is None:
            return None
        known = [self.classes[int(number)] for number in self.pipeline.classes_]
        least = dict.fromkeys(self.classes, min(0.0, float(values.min())))
        return least | dict(zip(known, values[0].tolist(), strict=True))


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


def is_beside(piece: Piece, tall: list[Piece]) -> bool:
    """Whether ink stands beside all digits, and not above or below one."""
    return all(share(piece.columns, other.columns) <= 0.35 for other in tall)


def _is_bar_or_blot(image: Ink) -> bool:
    """Whether the ink (28, 28) lies flat or fills its box; 1 in 1,000 training images does."""
    box = image[ink_box(image)]
    return len(box) < LOWEST or bool(min(box.shape) >= BROAD and box.mean() / 255 > FULLEST)
