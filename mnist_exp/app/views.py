"""Answers and reasons as HTML; pictures travel inside it, so that no file is left on the server."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist_exp.app.explanation import Explainer, Mistake
from mnist_exp.app.naming import Title
from mnist_exp.app.pictures import picture_uri
from mnist_exp.recognition import BLANK, Answer
from mnist_exp.report.page import render

ORANGE, BLUE = (255, 122, 26), (64, 132, 255)
EXAMPLES = 12
HERE = "mnist_exp.app"
NOTHING = Answer(None, BLANK)


class Reading(NamedTuple):
    """What one model reads in a drawing, or why it reads nothing."""

    title: Title
    answer: Answer = NOTHING
    explainer: Explainer | None = None
    problem: str = ""

    @property
    def rivals(self) -> str:
        """`4 or 9` where the model is not sure, else nothing."""
        sure, probabilities = self.explainer and self.explainer.threshold, self.answer.probabilities
        if self.answer.label is None or not sure or not probabilities:
            return ""
        if self.answer.digits or max(probabilities.values()) >= sure:
            return ""
        best = sorted(probabilities, key=lambda name: -probabilities[name])[:2]
        return " or ".join(sorted(best))

    @property
    def spoken(self) -> str:
        """What a screen reader says."""
        answer = self.answer
        if self.problem or answer.reason == BLANK:
            text = self.problem or "waiting for a drawing"
        elif answer.label is None:
            text = answer.reason or "not a digit"
        elif self.rivals:
            text = f"{answer.label}, not sure: {self.rivals}"
        else:
            share = (answer.probabilities or {}).get(answer.label)
            text = answer.label if share is None else f"{answer.label}, {share:.1%}"
        return f"{self.title.name}: {text}" if self.title.name else text


def in_row(answer: Answer) -> str:
    """A row with a question mark for each part that is not read: `20?6`; else nothing."""
    labels = [digit.label for digit in answer.digits]
    between = " " if any(label and len(label) > 1 for label in labels) else ""
    return between.join(label or "?" for label in labels) if any(labels) else ""


def cards(readings: Sequence[Reading], question: str = "") -> str:
    """One card for each model, side by side; one that waits before there is any answer."""
    context = {"readings": readings or [Reading(Title("", ""))], "question": question}
    return _html("cards.html", context | {"in_row": in_row})


def reasons(readings: Iterable[Reading]) -> str:
    """Why each model answered so; what two models share is shown once."""
    parts: dict[str, list[dict[str, Any]]] = {"mattered": [], "nearest": [], "alike": []}
    for title, answer, explainer, _ in readings:
        if explainer is None or answer.image is None or answer.guess is None:
            continue
        heat = _heat(answer.image, explainer.importance(answer))
        if heat is not None:
            guess = explainer.reader.classes[answer.guess]
            parts["mattered"].append({"titles": [title.name], "heat": heat, "guess": guess})
        for part, figures in (
            ("nearest", explainer.nearest(answer)),
            ("alike", explainer.alike(answer)),
        ):
            strip = None if figures is None else [(picture_uri(i), text) for i, text in figures]
            same = [group for group in parts[part] if group["figures"] == strip]
            if same:
                same[0]["titles"].append(title.name)
            elif strip != []:
                parts[part].append({"titles": [title.name], "figures": strip})
    return _html("reasons.html", parts) if any(parts.values()) else ""


def _html(template: str, context: dict[str, Any]) -> str:
    return render(template, context | {"picture_uri": picture_uri}, HERE)


def _heat(
    image: NDArray[np.uint8] | None, importance: NDArray[np.float64] | None
) -> NDArray[np.uint8] | None:
    """Ink in grey, orange where it counts for the class and blue where against (h, w, 3)."""
    if image is None or importance is None:
        return None
    strength = np.clip(np.abs(importance) / (np.abs(importance).max() or 1), 0, 1)[..., None]
    tint = np.where(importance[..., None] >= 0, ORANGE, BLUE)
    ink = image[..., None].astype(np.float64)
    return np.asarray(np.rint(ink * (1 - 0.8 * strength) + tint * 0.8 * strength), np.uint8)


def examples(mistakes: Sequence[Mistake]) -> str:
    """Test images that a model got wrong, to be put on the canvas."""
    return _html("examples.html", {"mistakes": mistakes[:EXAMPLES]})
