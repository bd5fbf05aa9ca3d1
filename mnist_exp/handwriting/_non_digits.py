"""Letters, signs and scribbles: what is written and is no digit, so that it can be refused.

That a few examples of what is foreign help to recognise other foreign things is "outlier exposure"
(Hendrycks, Mazeika and Dietterich 2019).
"""

from functools import cache
from pathlib import Path

import numpy as np
import scipy
from PIL import Image

from mnist_exp.handwriting._ink import Ink
from mnist_exp.handwriting._normalize import drawn_to_mnist

LETTERS, SCRIBBLES, DRAWINGS = 1_000, 500, 400  # four times as many refuse no more
# None that a hand might write for a digit, as O, l or S.
CHARACTERS = "ACEFGHJKLMNPQRTUVWXYadefhkmnprtuvwxy?&#@%+*=$<"
# They come with matplotlib.
FONTS = "STIXGeneral", "STIXGeneralItalic", "cmr10", "cmss10", "cmtt10"
# px of the paper, of a letter, and from the paper's edge to scribbles.
_SIDE, _HEIGHT, _MARGIN = 112, 64, 12


@cache
def non_digits(seed: int = 0) -> Ink:
    """Draw letters, signs and scribbles of all kinds, and bring them to MNIST's look.

    Parameters
    ----------
    seed : int
        Decides everything about them.

    Returns
    -------
    array of shape (1900, 28, 28), uint8, read-only
        First the letters and signs, then the scribbles, then hearts, houses, faces and arrows.
    """
    rng = np.random.default_rng(seed)
    kinds = (_letter, LETTERS), (_scribble, SCRIBBLES), (_drawing, DRAWINGS)
    pictures = [draw(rng) for draw, count in kinds for _ in range(count)]
    images = np.stack([drawn_to_mnist(np.asarray(picture)) for picture in pictures])
    images.setflags(write=False)  # every caller gets the same array
    return images


def _letter(rng: np.random.Generator) -> Image.Image:
    """A letter of a random font and weight, rotated, slanted, wide or narrow."""
    from matplotlib import get_data_path
    from PIL import ImageDraw, ImageFont

    path = Path(get_data_path()) / "fonts" / "ttf" / f"{rng.choice(FONTS)}.ttf"
    image = Image.new("L", (_SIDE, _SIDE))
    pen, middle = ImageDraw.Draw(image), (_SIDE / 2, _SIDE / 2)
    font, weight = ImageFont.truetype(path, _HEIGHT), int(rng.integers(4))
    pen.text(middle, str(rng.choice(list(CHARACTERS))), 255, font, anchor="mm", stroke_width=weight)
    angle = np.deg2rad(rng.uniform(-12, 12))
    slant, width = rng.uniform(-0.25, 0.25), rng.uniform(0.7, 1.3)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[1 / width, slant], [0, 1]])
    # The centre stays where it is.
    terms = tuple(np.column_stack([matrix, middle - matrix @ middle]).ravel())
    return image.transform(image.size, Image.Transform.AFFINE, terms, Image.Resampling.BILINEAR)


def _scribble(rng: np.random.Generator) -> Image.Image:
    """One long stroke, or up to three that are curved or angular, some of them closed."""
    from PIL import ImageDraw

    image = Image.new("L", (_SIDE, _SIDE))
    pen, width = ImageDraw.Draw(image), int(rng.integers(3, 10))
    kind = rng.choice(["long", "curved", "angular"])
    for _ in range(1 if kind == "long" else int(rng.integers(1, 4))):
        count = int(rng.integers(6, 15) if kind == "long" else rng.integers(4, 7))
        points = rng.uniform(_MARGIN, _SIDE - _MARGIN, (count, 2))
        if kind != "angular":
            curve = scipy.interpolate.make_interp_spline(np.linspace(0, 1, count), points)
            points = curve(np.linspace(0, 1, 80))
        if rng.random() < 0.2:
            points = np.vstack([points, points[:1]])
        pen.line([(float(x), float(y)) for x, y in points], 255, width, joint="curve")
    return image


def _drawing(rng: np.random.Generator) -> Image.Image:
    """A heart, house, face or arrow by an unsteady hand, of any proportions."""
    from PIL import ImageDraw

    image = Image.new("L", (_SIDE, _SIDE))
    pen, width = ImageDraw.Draw(image), int(rng.integers(2, 9))
    t = np.linspace(0, 2 * np.pi, 40)
    ring = np.stack([np.cos(t), np.sin(t)], axis=1)
    heart = np.stack([np.sin(t) ** 3, -np.cos(t) + 0.4 * np.cos(2 * t) + 0.15 * np.cos(3 * t)], 1)
    roof = rng.uniform(-0.4, 0.1)
    walls = np.array([(-1, 1), (-1, roof), (0, -1), (1, roof), (1, 1), (-1, 1)])
    mouth = ring[3:17] * 0.6
    tip = np.array([(0.4, -0.5), (1, 0), (0.4, 0.5)])
    face = [ring, mouth, ring * 0.1 + (0.4, -0.3), ring * 0.1 - (0.4, 0.3)]
    kinds = [heart], [walls], [walls, walls[[1, 3]]], face, [np.array([(-1, 0), (1, 0)]), tip]
    angle, size = rng.normal(0, 0.12), rng.uniform(30, 42, 2) * (rng.uniform(0.7, 1), 1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    for stroke in kinds[rng.integers(len(kinds))]:
        points = (stroke @ turn + rng.normal(0, 0.03, stroke[:1].shape)) * size + _SIDE / 2
        pen.line([(float(x), float(y)) for x, y in points], 255, width, joint="curve")
    return image
