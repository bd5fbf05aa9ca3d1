"""Answers and reasons as HTML; pictures travel inside it, so that no file is left on the server."""

from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray

from mnist_exp.app.explanation import Explainer
from mnist_exp.app.pictures import picture_uri
from mnist_exp.recognition import Answer, Reader

ORANGE, BLUE = (255, 122, 26), (64, 132, 255)
EXAMPLES = 12
_TEMPLATES = Environment(
    loader=PackageLoader("mnist_exp.app"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters["picture_uri"] = picture_uri


def render(template: str, **content: Any) -> str:
    """Fill a template of the page; everything is escaped, and a missing name is an error."""
    return _TEMPLATES.get_template(template).render(content)


def cards(readings: list[tuple[Reader, str, Answer]]) -> str:
    """One card for each model, side by side; one that waits before there is any answer."""
    return render(
        "cards.html",
        readings=[(reader, title, answer, _bars(answer)) for reader, title, answer in readings],
    )


def _bars(answer: Answer) -> list[tuple[str, float, str]]:
    """Name, bar width in per cent and text: probabilities, or margins over their range."""
    if answer.probabilities is not None:
        return [
            (name, 100 * share, f"{100 * share:.1f} %")
            for name, share in answer.probabilities.items()
        ]
    scores = answer.scores or {}
    low, high = min(scores.values(), default=0), max(scores.values(), default=0)
    span = (high - low) or 1.0
    return [(name, 100 * (score - low) / span, f"{score:+.3g}") for name, score in scores.items()]


def reasons(readings: list[tuple[Explainer, str, Answer]]) -> str:
    """Why each model answered so."""
    return render(
        "reasons.html",
        readings=[
            (explainer, title, answer, _heat(answer.image, explainer.importance(answer)))
            for explainer, title, answer in readings
        ],
    )


def _heat(
    image: NDArray[np.uint8] | None, importance: NDArray[np.float64] | None
) -> NDArray[np.uint8] | None:
    """Ink in grey, orange where it counts for the class and blue where against (h, w, 3)."""
    if image is None or importance is None:
        return None
    strength = np.clip(np.abs(importance) / (np.abs(importance).max() or 1), 0, 1)[..., None]
    tint = np.where(importance[..., None] >= 0, ORANGE, BLUE)
    ink = image[..., None] * np.ones(3)
    tinted: NDArray[np.float64] = ink * (1 - 0.8 * strength) + tint * 0.8 * strength
    return np.rint(tinted).astype(np.uint8)


def examples(explainer: Explainer) -> str:
    """Test images that the model got wrong, to be put on the canvas."""
    return render("examples.html", mistakes=(explainer.mistakes or [])[:EXAMPLES])
