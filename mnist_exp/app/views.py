"""Answers and reasons as HTML; pictures travel inside it, so that no file is left on the server."""

from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_exp.app.explanation import Explainer
from mnist_exp.app.pictures import data_uri, grey_uri
from mnist_exp.recognition import BLANK, Answer, Reader

EMPTY = '<section class="card idle"><p class="read" data-testid="read">?</p><p>Waiting for a drawing.</p></section>'
NEAREST = 8


def cards(readings: list[tuple[Reader, str, Answer]]) -> str:
    """One card for each model, side by side."""
    return f'<div class="cards">{"".join(card(*reading) for reading in readings)}</div>'


def card(reader: Reader, title: str, answer: Answer) -> str:
    """What one model reads."""
    if answer.reason == BLANK:
        return f'{EMPTY[:-10]}<p class="model">{escape(title)}</p></section>'
    said = (
        f'<p class="read" data-testid="read">{escape(answer.label)}</p>'
        if answer.label is not None
        else f'<p class="read none" data-testid="read">{escape((answer.reason or "").partition(":")[0])}</p>'
    )
    parts = answer.digits or [answer]
    inside = (
        "".join(_seen(part, reader.classes) for part in parts)
        if answer.digits
        else _single(answer, reader)
    )
    return f'<section class="card">{said}{_remark(answer, reader)}{inside}<p class="model">{escape(title)}</p></section>'


def _remark(answer: Answer, reader: Reader) -> str:
    if answer.digits:
        return f"<p>{len(answer.digits)} digits, read from left to right{_refused(answer)}.</p>"
    if answer.label is None and answer.guess is not None:
        nearest = escape(reader.classes[answer.guess])
        return (
            f"<p>Unlike what this model has learned. It would have to call it <b>{nearest}</b>.</p>"
        )
    return ""


def _refused(answer: Answer) -> str:
    return (
        ""
        if answer.label is not None
        else f"; {escape((answer.reason or '').partition(': ')[2])} is not one"
    )


def _single(answer: Answer, reader: Reader) -> str:
    return f'<div class="detail">{_bars(answer)}{_seen(answer, reader.classes)}</div>'


def _seen(answer: Answer, classes: tuple[str, ...]) -> str:
    """The picture as the model sees it."""
    if answer.image is None:
        return ""
    label = answer.label if answer.label is not None else "not a digit"
    size = "{1}x{0}".format(*answer.image.shape)
    return (
        f'<figure class="seen"><img class="pixels" src="{grey_uri(answer.image)}" alt="what the model sees">'
        f"<figcaption>{escape(label)}<small> seen as {size}</small></figcaption></figure>"
    )


def _bars(answer: Answer) -> str:
    """Probabilities as shares of one, or margins, said to be none, between their smallest and
    largest.
    """
    if answer.probabilities is not None:
        rows = [
            (name, value, f"{100 * value:.1f} %") for name, value in answer.probabilities.items()
        ]
        title = "Probability"
    elif answer.scores is not None:
        low, high = min(answer.scores.values()), max(answer.scores.values())
        span = (high - low) or 1.0
        rows = [
            (name, (value - low) / span, f"{value:+.3g}") for name, value in answer.scores.items()
        ]
        title = "Margin <small>(a score; this model has no probabilities)</small>"
    else:
        return ""
    lines = "".join(
        f'<tr{_marked(name, answer)}><th>{escape(name)}</th><td><i style="--w:{100 * share:.1f}%"></i></td>'
        f"<td>{text}</td></tr>"
        for name, share, text in rows
    )
    return f'<table class="bars" data-testid="bars"><caption>{title}</caption>{lines}</table>'


def _marked(name: str, answer: Answer) -> str:
    return ' class="top"' if name == answer.label else ""


def reasons(readings: list[tuple[Explainer, str, Answer]]) -> str:
    """Why each model answered so."""
    return f'<div class="cards">{"".join(_why(*reading) for reading in readings)}</div>'


def _why(explainer: Explainer, title: str, answer: Answer) -> str:
    if answer.image is None:
        wanted = (
            "Draw one digit alone to see why." if answer.digits else "Draw something to see why."
        )
        return f'<section class="card"><p>{wanted}</p></section>'
    blocks = [
        _importance(explainer, answer),
        _nearest(explainer, answer),
        _alike(explainer, answer),
    ]
    return f'<section class="card why" data-testid="why">{"".join(blocks)}<p class="model">{escape(title)}</p></section>'


def _importance(explainer: Explainer, answer: Answer) -> str:
    values = explainer.importance(answer)
    if values is None or answer.image is None or answer.guess is None:
        return ""
    name = escape(explainer.reader.classes[answer.guess])
    uri = data_uri(Image.fromarray(heat(answer.image, values)))
    return (
        f'<h4>What mattered</h4><figure class="seen"><img class="pixels" src="{uri}" alt="importance of each part">'
        f"<figcaption><b class=for>Orange</b> speaks for {name}, <b class=against>blue</b> against it: how the score "
        "changes when a patch is blanked.</figcaption></figure>"
    )


def heat(image: NDArray[np.uint8], values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Ink in grey, tinted orange where it counts for the class and blue where it counts against (h,
    w, 3).
    """
    strength = np.clip(np.abs(values) / (np.abs(values).max() or 1), 0, 1)[..., None]
    tint = np.where(values[..., None] >= 0, (255, 122, 26), (64, 132, 255))
    ink = image[..., None] * np.ones(3)
    tinted: NDArray[np.float64] = ink * (1 - 0.8 * strength) + tint * 0.8 * strength
    return np.rint(tinted).astype(np.uint8)


def _nearest(explainer: Explainer, answer: Answer) -> str:
    neighbours = explainer.reader.neighbours
    if neighbours is None or answer.look is None:
        return "<h4>Nearest training images</h4><p>The training data are not at hand.</p>"
    classes = explainer.reader.classes
    found = [
        (neighbours.images[i], classes[int(neighbours.labels[i])])
        for i in answer.look.nearest[:NEAREST]
    ]
    return f"<h4>Nearest training images</h4>{_strip(found)}"


def _alike(explainer: Explainer, answer: Answer) -> str:
    mistakes, classes = explainer.mistakes, explainer.reader.classes
    if mistakes is None:
        return "<h4>Mistakes that look alike</h4><p>The test data are not at hand.</p>"
    found = [
        (
            mistakes.images[i],
            f"{classes[int(mistakes.labels[i])]} read as {classes[int(mistakes.taken_for[i])]}",
        )
        for i in explainer.alike(answer)
    ]
    return f"<h4>Its mistakes that look alike</h4>{_strip(found)}" if found else ""


def _strip(found: list[tuple[NDArray[np.uint8], str]]) -> str:
    figures = "".join(
        f'<figure><img class="pixels" src="{grey_uri(image)}" alt=""><figcaption>{escape(text)}</figcaption></figure>'
        for image, text in found
    )
    return f'<div class="strip">{figures}</div>'


def examples(explainer: Explainer, count: int = 12) -> str:
    """Test images that the model got wrong, to be put on the canvas."""
    mistakes, classes = explainer.mistakes, explainer.reader.classes
    if mistakes is None or not len(mistakes.images):
        return "<p>No mistakes at hand: the test data are missing, or the model made none.</p>"
    buttons = "".join(
        f'<button type="button" data-index="{i}"><img class="pixels" src="{grey_uri(mistakes.images[i])}" alt="">'
        f"<span>{escape(classes[int(mistakes.labels[i])])} as {escape(classes[int(mistakes.taken_for[i])])}"
        "</span></button>"
        for i in range(min(count, len(mistakes.images)))
    )
    return f'<div class="strip examples">{buttons}</div>'
