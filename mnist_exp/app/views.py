"""Answers and reasons as HTML; pictures travel inside it, so that no file is left on the server."""

import numpy as np
from numpy.typing import NDArray

from mnist_exp.app.explanation import Explainer
from mnist_exp.app.pictures import picture_uri
from mnist_exp.recognition import Answer, Reader
from mnist_exp.report.page import render

ORANGE, BLUE = (255, 122, 26), (64, 132, 255)
EXAMPLES = 12
HERE = "mnist_exp.app"


def cards(readings: list[tuple[Reader, str, Answer]]) -> str:
    """One card for each model, side by side; one that waits before there is any answer."""
    return render("cards.html", {"readings": readings, "picture_uri": picture_uri}, HERE)


def reasons(readings: list[tuple[Explainer, str, Answer]]) -> str:
    """Why each model answered so."""
    with_heat = [
        (explainer, title, answer, _heat(answer.image, explainer.importance(answer)))
        for explainer, title, answer in readings
    ]
    return render("reasons.html", {"readings": with_heat, "picture_uri": picture_uri}, HERE)


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


def examples(explainer: Explainer) -> str:
    """Test images that the model got wrong, to be put on the canvas."""
    mistakes = (explainer.mistakes or [])[:EXAMPLES]
    return render("examples.html", {"mistakes": mistakes, "picture_uri": picture_uri}, HERE)
