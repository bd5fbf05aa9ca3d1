"""What was read in a picture, and why something was not."""

from dataclasses import dataclass, field
from typing import Any

from mnist_exp.handwriting import Ink
from mnist_exp.recognition._novelty import Look

BLANK, STRANGE = "blank", "not a digit"
MARKS, LINES = "marks that are no digits", "several lines"


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
