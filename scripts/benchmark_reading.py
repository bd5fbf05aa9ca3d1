"""How well a run reads what people bring: photos, notebooks, rows, files of any make.

python scripts/benchmark_reading.py RUN [--part train] [--kinds ruled box] [--count 60]

Digits that the model reads right (of the test images, or of the training images where a threshold
is chosen) are drawn anew in each kind of picture. Prints a table: how many of a hundred are read
right, refused, and read wrong. What is no digit is right when it is refused. The same seed draws
the same pictures, whatever the kinds and the count.
"""

import io
import zlib
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from scipy.interpolate import make_interp_spline
from threadpoolctl import threadpool_limits

from _measure import arguments_of, timed
from mnist_exp.config import load_recorded
from mnist_exp.recognition import Reader
from mnist_exp.runs import open_run

Grey = NDArray[np.uint8]
Mask = NDArray[np.float64]  # ink 0..1
Rng = np.random.Generator
SIDE, BICUBIC = 280, Image.Resampling.BICUBIC  # px of the canvas
SHEET = 600  # px of a photo
Y, X = np.indices((SHEET, SHEET), np.float32)
PAPER, WOOD = (236, 234, 226), (92, 62, 40)
LETTERS = "AEFHKMNPRTWXYVJQGUaehkmnrtwxfdpy"
SIGNS = "?&#@%+*=$€"
SHAPES = (
    ("dot", "ellipse", (104, 224)),
    ("dot", "ellipse", (180, 300)),
    ("bar", "rectangle", (480, 240)),
    ("bar", "rectangle", (400, 280)),
    ("bar", "rectangle", (280, 224)),
)
# How a camera may be held: the orientation in the file, and the turn that it undoes.
CAMERAS = ((1, 0), (3, 180), (6, 90), (8, -90))


class Pool:
    """Digits to draw from, and one random generator for a picture."""

    def __init__(self, images: Grey, labels: NDArray[np.int64], rng: Rng) -> None:
        self.images, self.labels, self.rng = images, labels, rng

    def one(self) -> tuple[Grey, str]:
        """A digit (28, 28) and its class."""
        i = self.rng.integers(len(self.labels))
        return self.images[i], str(self.labels[i])

    def of(self, label: str) -> Grey:
        """A digit of a class."""
        position = int(self.rng.choice(np.flatnonzero(self.labels == int(label))))
        return np.asarray(self.images[position])

    def number(self, length: int) -> str:
        """A random number of so many digits."""
        return "".join(map(str, self.rng.integers(10, size=length)))

    def between(self, low: float, high: float) -> float:
        """A uniform random value."""
        return float(self.rng.uniform(low, high))


def trimmed(ink: NDArray[Any]) -> NDArray[Any]:
    """Ink without its margins: from the first to the last row and column that hold some."""
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def enlarged(digit: Grey, side: float) -> Grey:
    """A digit's ink alone, scaled so that its longest side is `side` px."""
    image = Image.fromarray(trimmed(digit))
    size = [max(1, round(length * side / max(image.size))) for length in image.size]
    return np.asarray(image.resize(size, BICUBIC))


def outlined(digit: Grey, side: float, width: float = 1.0) -> Mask:
    """The enlarged digit with sharp edges, its strokes `width` times as wide."""
    drawn = np.pad(enlarged(digit, side), 30) > 127
    inside = ndimage.distance_transform_edt(drawn)
    edge = inside - ndimage.distance_transform_edt(~drawn) + (width - 1) * 2 * inside[drawn].mean()
    return trimmed(np.clip(edge + 0.5, 0, 1))


def penned(digit: Grey, side: float, width: float) -> Mask:
    """The digit's centre line drawn with a round pen of `width` px."""
    ink = ndimage.gaussian_filter(np.pad(enlarged(digit, side), 2).astype(float), 1) > 110
    distance = ndimage.distance_transform_edt(~thinned(np.pad(ink, int(width) + 2)))
    return trimmed(np.clip(width / 2 - distance + 0.5, 0, 1))


def thinned(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The centre lines of strokes (Zhang and Suen 1984)."""
    ink = np.pad(mask.astype(np.uint8), 1)
    shifts = ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))
    while True:
        before = ink.copy()
        for corners in (((0, 2, 4), (2, 4, 6)), ((0, 2, 6), (0, 4, 6))):
            near = [np.roll(ink, shift, (0, 1)) for shift in shifts]
            count = np.sum(near, axis=0)
            rises = sum((near[i] == 0) & (near[(i + 1) % 8] == 1) for i in range(8))
            edges = [np.prod([near[i] for i in corner], axis=0) == 0 for corner in corners]
            ink[(count >= 2) & (count <= 6) & (rises == 1) & edges[0] & edges[1]] = 0
        if np.array_equal(ink, before):
            return np.asarray(ink[1:-1, 1:-1], bool)


def leaning(ink: Mask, slant: float, width: float = 1.0) -> Mask:
    """Ink sheared to the right by `slant` of its height, and `width` times as wide."""
    height, across = ink.shape
    size = (round((across + abs(slant) * height) * width) + 2, height)
    start = max(slant, 0) * height
    terms = (1 / width, slant, -start, 0, 1, 0)
    image = Image.fromarray(np.asarray(255 * ink, np.uint8))
    return trimmed(np.asarray(image.transform(size, Image.Transform.AFFINE, terms, BICUBIC)) / 255)


def put(canvas: Mask, ink: Mask, y: float, x: float) -> Mask:
    """Add ink to a canvas with its corner at (y, x)."""
    place = canvas[int(y) : int(y) + ink.shape[0], int(x) : int(x) + ink.shape[1]]
    np.maximum(place, ink[: place.shape[0], : place.shape[1]], out=place)
    return canvas


def placed(ink: Mask, rng: Rng, side: int = SIDE, margin: int = 2) -> Mask:
    """Ink at a random place of a square, reduced where it is too large."""
    scale = (side - 2 * margin - 2) / max(ink.shape)
    if scale < 1:
        ink = np.clip(ndimage.zoom(ink, scale, order=1), 0, 1)
    y, x = (int(rng.integers(margin, side - margin - length + 1)) for length in ink.shape)
    return put(np.zeros((side, side)), ink, y, x)


def grey_picture(ink: Mask, dark: bool = False) -> Image.Image:
    """Ink as the canvas sends it: black on white, or white on black."""
    return Image.fromarray(np.asarray(255 * (ink if dark else 1 - ink), np.uint8))


def photo(
    ink: Mask,
    rng: Rng,
    paper: Any = PAPER,
    light: Any = 1.0,
    colour: tuple[int, int, int] | None = None,
) -> Image.Image:
    """Ink on paper as a camera takes it: light, blur, noise, JPEG."""
    colour = colour or ((40, 46, 92), (30, 30, 30), (60, 60, 66), (24, 50, 130))[rng.integers(4)]
    share = ink[..., None]
    scene = np.asarray(paper, np.float32) * (1 - share) + np.asarray(colour, np.float32) * share
    scene = scene * np.broadcast_to(np.asarray(light, np.float32), ink.shape)[..., None]
    blur = rng.uniform(0.6, 1.4)
    scene = ndimage.gaussian_filter(scene, (blur, blur, 0))
    scene += rng.normal(0, rng.uniform(1, 4), ink.shape)[..., None]
    file = io.BytesIO()
    Image.fromarray(scene.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=80)
    return Image.open(file)


def photographed(canvas: Mask, rng: Rng) -> Image.Image:
    """Dark ink on paper: light from one side, a camera held in some way."""
    ink = ndimage.gaussian_filter(canvas, 1.2)
    slope = np.linspace(-50, 50, len(ink))[:, None]
    light = rng.uniform(150, 225) + slope * rng.choice([-1, 1]) * rng.uniform(0, 1)
    values = light * (1 - rng.uniform(0.5, 0.85) * ink) + rng.normal(0, 5, ink.shape)
    orientation, degrees = CAMERAS[rng.integers(len(CAMERAS))]
    image = Image.fromarray(values.clip(0, 255).astype(np.uint8)).convert("RGB").rotate(degrees)
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    image.save(file, "JPEG", quality=60, exif=exif)
    return Image.open(file)


# Plain paper


def canvas(dark: bool, width: float = 1.0) -> "Kind":
    """A digit outlined at any place and size."""

    def draw(pool: Pool) -> tuple[Image.Image, str]:
        digit, text = pool.one()
        ink = outlined(digit, pool.between(60, 220), width)
        return grey_picture(placed(ink, pool.rng), dark), text

    return draw


def pen(smallest: float, width: float) -> "Kind":
    """A digit drawn with a pen, at any place and size."""

    def draw(pool: Pool) -> tuple[Image.Image, str]:
        digit, text = pool.one()
        return grey_picture(
            placed(penned(digit, pool.between(smallest, 220), width), pool.rng)
        ), text

    return draw


def plain_photo(pool: Pool) -> tuple[Image.Image, str]:
    """A photo of plain paper."""
    digit, text = pool.one()
    ink = placed(outlined(digit, pool.between(60, 220)), pool.rng)
    return photographed(ink, pool.rng), text


# Photos of notebooks, tables and boards


def on_sheet(pool: Pool, low: float = 120, high: float = 280, margin: int = 40) -> tuple[Mask, str]:
    """A digit on a sheet of a photo's size."""
    digit, text = pool.one()
    height = pool.between(low, high)
    width = pool.between(0.6, 1.2)
    return placed(outlined(digit, height, width), pool.rng, SHEET, margin), text


def lines_of(pool: Pool, spacing: float, squared: bool = False, margin: bool = False) -> Any:
    """Ruled or squared paper, as the camera is held: turned by up to two degrees."""
    paper = np.broadcast_to(np.asarray(PAPER, np.float32), (SHEET, SHEET, 3)).copy()
    colours = ((190, 205, 232), (150, 176, 222), (185, 185, 190), (160, 200, 190))
    colour = colours[pool.rng.integers(len(colours))]
    turn, start = np.deg2rad(pool.between(-2, 2)), pool.between(0, spacing)
    width = pool.between(1, 3)
    down, across = Y + turn * X, X - turn * Y
    for place in (down, across) if squared else (down,):
        paper[(place - start) % spacing < width] = colour
    if margin:
        paper[abs(across - pool.between(60, 150)) < 1.5] = (226, 120, 120)
    return paper


def ruled(pool: Pool) -> tuple[Image.Image, str]:
    """Ruled paper."""
    ink, text = on_sheet(pool)
    return photo(ink, pool.rng, lines_of(pool, pool.between(70, 150))), text


def squared(pool: Pool) -> tuple[Image.Image, str]:
    """Squared paper."""
    ink, text = on_sheet(pool)
    return photo(ink, pool.rng, lines_of(pool, pool.between(35, 80), squared=True)), text


def margin_line(pool: Pool) -> tuple[Image.Image, str]:
    """Ruled paper with a red margin line."""
    ink, text = on_sheet(pool)
    return photo(ink, pool.rng, lines_of(pool, pool.between(70, 150), margin=True)), text


def side_of(pool: Pool, share: float) -> NDArray[np.float32]:
    """How far pixels lie beyond a line, which leaves `share` of the picture on this side."""
    angle = pool.between(0, 2 * np.pi)
    across = np.cos(angle) * (X - SHEET / 2) + np.sin(angle) * (Y - SHEET / 2)
    return np.asarray(across - np.quantile(across, share), np.float32)


def shadow(pool: Pool) -> tuple[Image.Image, str]:
    """A hard shadow at any place, also across the digit."""
    ink, text = on_sheet(pool)
    light = np.where(side_of(pool, pool.between(0.2, 0.8)) > 0, pool.between(0.45, 0.75), 1)
    return photo(ink, pool.rng, light=ndimage.gaussian_filter(light, pool.between(2, 8))), text


def glare(pool: Pool) -> tuple[Image.Image, str]:
    """A spot of light on grey paper."""
    ink, text = on_sheet(pool)
    y, x = pool.rng.uniform(0, SHEET, 2)
    spot = np.exp(-((Y - y) ** 2 + (X - x) ** 2) / (2 * pool.between(60, 160) ** 2))
    return photo(ink, pool.rng, (170, 168, 160), 0.9 + pool.between(0.4, 1.2) * spot), text


def textured(colour: tuple[int, int, int], pool: Pool, strength: float) -> NDArray[np.float32]:
    """A surface whose lightness varies."""
    grain = ndimage.gaussian_filter(pool.rng.normal(0, 1, (SHEET, SHEET)), (1, 4))
    scaled = 1 + strength * grain / grain.std()
    return np.asarray(np.asarray(colour) * scaled[..., None], np.float32)


def kraft(pool: Pool) -> tuple[Image.Image, str]:
    """Brown wrapping paper."""
    ink, text = on_sheet(pool)
    return photo(ink, pool.rng, textured((176, 140, 100), pool, pool.between(0.02, 0.05))), text


def board(pool: Pool) -> tuple[Image.Image, str]:
    """Chalk on a board."""
    ink, text = on_sheet(pool)
    ink = ink * (1 - 0.3 * pool.rng.random(ink.shape))
    wiped = ndimage.gaussian_filter(pool.rng.normal(0, 1, ink.shape), 40)
    paper = textured((46, 70, 58), pool, 0.03) + 6 * (wiped / wiped.std())[..., None]
    return photo(ink, pool.rng, paper, colour=(228, 228, 220)), text


def table(pool: Pool) -> Any:
    """Wood or a dark, light or coloured table."""
    colours = (WOOD, (60, 50, 46), (150, 110, 72), (110, 120, 130), (40, 40, 44))
    return textured(colours[pool.rng.integers(len(colours))], pool, pool.between(0, 0.06))


def table_at_side(pool: Pool) -> tuple[Image.Image, str]:
    """A table along one side of the sheet."""
    ink, text = on_sheet(pool, 120, 200)
    beyond = side_of(pool, pool.between(0.75, 0.9)) > 0
    ink = moved_off(ink, beyond, pool)
    return photo(ink, pool.rng, np.where(beyond[..., None], table(pool), PAPER)), text


def torn_edge(pool: Pool) -> tuple[Image.Image, str]:
    """A page torn out: a rugged edge with a table beyond it."""
    ink, text = on_sheet(pool, 120, 200)
    rough = ndimage.gaussian_filter1d(pool.rng.normal(0, 1, SHEET), pool.between(3, 10))
    edge = pool.between(0.78, 0.9) * SHEET + 9 * rough / rough.std()
    beyond = np.rot90(edge[:, None] < X, int(pool.rng.integers(4)))
    ink = moved_off(ink, beyond, pool)
    return photo(ink, pool.rng, np.where(beyond[..., None], table(pool), PAPER)), text


def moved_off(ink: Mask, beyond: NDArray[np.bool_], pool: Pool) -> Mask:
    """The ink at a place where, with a margin, it does not lie beyond the paper's edge."""
    digit = trimmed(ink)
    near = ndimage.binary_dilation(beyond, iterations=25)
    for _ in range(200):
        ink = placed(digit, pool.rng, SHEET, 30)
        if not near[ink > 0].any():
            return ink
    return np.asarray(ink * ~near)


def rectangle(pool: Pool, half: float, ratio: float) -> NDArray[np.bool_]:
    """A turned rectangle near the middle of the picture."""
    angle, (y, x) = np.deg2rad(pool.between(-8, 8)), pool.rng.uniform(285, 315, 2)
    across = np.cos(angle) * (X - x) + np.sin(angle) * (Y - y)
    down = np.cos(angle) * (Y - y) - np.sin(angle) * (X - x)
    return np.asarray((abs(across) < half) & (abs(down) < half * ratio))


def sticky_note(pool: Pool) -> tuple[Image.Image, str]:
    """A coloured note on a sheet or on a table."""
    note = rectangle(pool, pool.between(140, 200), 1)
    colours = ((250, 232, 120), (250, 180, 200), (170, 230, 170), (160, 210, 245))
    around = PAPER if pool.rng.random() < 0.5 else table(pool)
    digit, text = pool.one()
    ink = moved_off(outlined(digit, pool.between(90, 150)), ~note, pool)
    paper = np.where(note[..., None], colours[pool.rng.integers(4)], around)
    return photo(ink, pool.rng, paper), text


def dark_table(pool: Pool) -> tuple[Image.Image, str]:
    """A whole sheet on a table."""
    sheet = rectangle(pool, pool.between(180, 260), pool.between(0.8, 1.1))
    digit, text = pool.one()
    ink = moved_off(outlined(digit, pool.between(110, 180)), ~sheet, pool)
    return photo(ink, pool.rng, np.where(sheet[..., None], PAPER, table(pool))), text


# Frames


def framed(pool: Pool, shape: str) -> tuple[Image.Image, str]:
    """A digit in a box or circle, or underlined, by hand or printed."""
    digit, text = pool.one()
    ink = outlined(digit, pool.between(110, 180))
    height, width = ink.shape
    y, x = pool.rng.uniform(190, 410, 2)
    sheet = put(np.zeros((SHEET, SHEET)), ink, y - height / 2, x - width / 2)
    thick, turn = pool.between(2, 9), np.deg2rad(pool.between(-3, 3))
    down, across = (Y - y) + turn * (X - x), (X - x) - turn * (Y - y)
    if shape == "box":
        half_y = height / 2 + pool.between(15, 45)
        half_x = max(width / 2 + pool.between(15, 45), half_y * pool.between(0.6, 1))
        far = np.maximum(abs(down) - half_y, abs(across) - half_x)
    elif shape == "circle":
        radius = np.hypot(height, width) / 2 + pool.between(10, 40)
        far = np.hypot(down, across * pool.between(0.9, 1.1)) - radius
    else:
        start = height / 2 + thick + pool.between(8, 30)
        far = np.maximum(abs(down - start), abs(across) - width * pool.between(0.6, 1.2) - 20)
    line = np.clip(thick / 2 - abs(far) + 0.5, 0, 1)
    if shape == "underline":
        line = np.clip(thick / 2 - far + 0.5, 0, 1)
    return photo(np.maximum(sheet, line), pool.rng), text


def screenshot(pool: Pool) -> tuple[Image.Image, str]:
    """A drawing program's window on a desktop, or the window alone."""
    digit, text = pool.one()
    width, height = int(pool.between(420, 560)), int(pool.between(360, 480))
    themes = (((230, 230, 235), (60, 60, 60)), ((50, 52, 58), (230, 230, 230)))
    bar, letters = themes[pool.rng.integers(2)]
    window = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(window)
    top = int(pool.between(26, 40))
    draw.rectangle((0, 0, width, top), bar)
    draw.text((12, top // 2 - 6), "Untitled - Paint", letters)
    for i in range(3):
        draw.ellipse(
            (width - 24 - 24 * i, top // 2 - 6, width - 12 - 24 * i, top // 2 + 6), letters
        )
    if pool.rng.random() < 0.5:  # a tool bar
        draw.rectangle((0, top, width, top + 34), (240, 240, 240))
        for i in range(6):
            draw.rectangle((10 + 30 * i, top + 7, 30 + 30 * i, top + 27), outline=(120, 120, 120))
        top += 34
    draw.rectangle((0, 0, width - 1, height - 1), outline=(120, 120, 120))
    ink = outlined(digit, pool.between(100, min(height - top - 40, 240)))
    y = pool.between(top + 12, height - 12 - ink.shape[0])
    x = pool.between(12, width - 12 - ink.shape[1])
    mask = Image.fromarray(np.asarray(255 * ink, np.uint8))
    window.paste((0, 0, 0), (int(x), int(y)), mask)
    if pool.rng.random() < 0.3:
        return window, text
    desktop = Image.new(
        "RGB", (640, 560), ((20, 80, 120), (48, 10, 36), (90, 120, 90))[pool.rng.integers(3)]
    )
    desktop.paste(window, (int(pool.between(10, 620 - width)), int(pool.between(10, 540 - height))))
    return desktop, text


# Files of any make


def own_28(pool: Pool) -> tuple[Image.Image, str]:
    """28x28 pixels that are not quite as MNIST made them."""
    digit, text = pool.one()
    image: Any
    make = pool.rng.integers(7)
    if make == 0:  # small in a corner
        small = enlarged(digit, pool.between(11, 15))
        image = np.zeros((28, 28), np.uint8)
        y, x = (int(pool.rng.integers(0, 27 - length)) for length in small.shape)
        image[y : y + small.shape[0], x : x + small.shape[1]] = small
    elif make == 1:  # fills the frame
        image = np.asarray(Image.fromarray(trimmed(digit)).resize((28, 28), BICUBIC))
    elif make == 2:  # fills the height
        tall = enlarged(digit, 27)
        image = np.zeros((28, 28), np.uint8)
        y, x = ((28 - length) // 2 for length in tall.shape)
        image[y : y + tall.shape[0], x : x + tall.shape[1]] = tall
    elif make == 3:  # grey ground
        image = pool.between(20, 70) + 0.7 * digit + pool.rng.normal(0, 3, digit.shape)
    elif make == 4:  # a colour map
        return coloured(digit, pool), text
    elif make == 5:  # faint
        image = digit * pool.between(0.3, 0.6)
    else:  # black on white
        image = 255 - digit
    return Image.fromarray(np.asarray(np.clip(image, 0, 255), np.uint8)), text


def coloured(digit: Grey, pool: Pool) -> Image.Image:
    """As matplotlib's imsave writes an array."""
    from matplotlib import colormaps

    name = pool.rng.choice(["viridis", "plasma", "magma", "inferno", "cividis"])
    return Image.fromarray(np.asarray(255 * colormaps[name](digit / 255), np.uint8))


def eight(pool: Pool) -> tuple[Image.Image, str]:
    """8x8 pixels in 17 shades, as scikit-learn's digits."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    i = pool.rng.integers(len(digits.target))
    return Image.fromarray(np.asarray(digits.images[i] * 15.9, np.uint8)), str(digits.target[i])


def twenty(pool: Pool) -> tuple[Image.Image, str]:
    """The digit cut out: its ink touches the picture's edges."""
    digit, text = pool.one()
    if pool.rng.random() < 0.5:
        return Image.fromarray(digit[4:24, 4:24]), text
    return photo(outlined(digit, pool.between(100, 250)), pool.rng), text


def savefig(pool: Pool) -> tuple[Image.Image, str]:
    """As matplotlib's savefig writes it: a dark image with white margins."""
    digit, text = pool.one()
    colours = coloured(digit, pool) if pool.rng.random() < 0.4 else Image.fromarray(digit)
    side = int(pool.between(90, 300))
    image = colours.convert("RGB").resize((side, side), Image.Resampling.NEAREST)
    left, top = (int(pool.between(0.1, 0.35) * side) for _ in range(2))
    figure = Image.new("RGB", (side + 2 * left, side + 2 * top), "white")
    figure.paste(image, (left, top))
    return figure, text


def deep(pool: Pool) -> tuple[Image.Image, str]:
    """12 or 16 bits, or floating point."""
    digit, text = pool.one()
    ink = placed(outlined(digit, pool.between(60, 220)), pool.rng)
    light = 1 - 0.9 * ink if pool.rng.random() < 0.5 else 0.05 + 0.9 * ink
    scale, kind = ((1, "float32"), (255, "float32"), (4095, "uint16"), (65535, "uint16"))[
        pool.rng.integers(4)
    ]
    return Image.fromarray((light * scale).astype(kind)), text


def marker(pool: Pool) -> tuple[Image.Image, str]:
    """A yellow or light marker on white."""
    ink, text = on_sheet(pool)
    colours = ((250, 230, 60), (170, 240, 90), (255, 190, 200), (150, 220, 250))
    return photo(ink, pool.rng, (246, 246, 244), colour=colours[pool.rng.integers(4)]), text


# Rows


def row_of(inks: list[Mask], gaps: Any, jitter: float, pool: Pool, height: int) -> Mask:
    """Ink side by side, not quite on one line."""
    canvas = np.zeros((height, int(sum(ink.shape[1] for ink in inks) + np.sum(gaps)) + 40))
    x = 20.0
    for ink, gap in zip(inks, gaps, strict=True):
        y = np.clip((height - len(ink)) / 2 + pool.between(-jitter, jitter), 0, height - len(ink))
        put(canvas, ink, y, x)
        x += ink.shape[1] + gap
    return canvas


def row(pool: Pool) -> tuple[Image.Image, str]:
    """Two to five digits with gaps."""
    text = pool.number(int(pool.rng.integers(2, 6)))
    side = pool.between(60, 110)
    inks = [outlined(pool.of(digit), side * pool.between(0.85, 1.15)) for digit in text]
    gaps = pool.rng.uniform(0.12, 0.5, len(inks)) * side
    return grey_picture(row_of(inks, gaps, 12, pool, 220)), text


def full_row(pool: Pool) -> tuple[Image.Image, str]:
    """Four narrow digits that fill the canvas."""
    text = pool.number(4)
    height, thick = pool.between(130, 200), pool.between(7, 18)
    inks = []
    for digit in text:
        ink = penned(pool.of(digit), height, thick)
        inks.append(leaning(ink, 0, min(1.0, pool.between(45, 56) / ink.shape[1])))
    free = SIDE - sum(ink.shape[1] for ink in inks) - 12
    ink = row_of(inks, np.full(4, max(4, free / 4)), 10, pool, SIDE)
    return grey_picture(ink), text


def touching(pool: Pool) -> tuple[Image.Image, str]:
    """Two digits whose ink just meets."""
    text = pool.number(2)
    side = pool.between(90, 140)
    left, right = (outlined(pool.of(digit), side * pool.between(0.92, 1.08)) for digit in text)
    height = max(len(left), len(right)) + 40
    a = put(np.zeros((height, left.shape[1])), left, (height - len(left)) / 2, 0) > 0.5
    b = put(np.zeros((height, right.shape[1])), right, (height - len(right)) / 2, 0) > 0.5
    gaps = [
        a.shape[1] - 1 - np.flatnonzero(a[y])[-1] + np.flatnonzero(b[y])[0]
        for y in range(height)
        if a[y].any() and b[y].any()
    ]
    gap = -(min(gaps, default=0) + pool.between(2, 6))
    ink = row_of([left, right], [gap, 0], 0, pool, height)
    return grey_picture(np.pad(ink, ((20, 20), (0, 30)))), text


def slanted(ink: Mask, pool: Pool) -> Mask:
    """Ink as other hands lean: back or forward, down to a fifth as wide as high."""
    ink = leaning(ink, pool.between(-0.4, 0.4))
    ratio = ink.shape[1] / len(ink)
    narrow = pool.between(max(0.2, 0.4 * ratio), ratio) / ratio if ratio > 0.2 else 1.0
    return leaning(ink, 0, narrow)


def hand(pool: Pool) -> tuple[Image.Image, str]:
    """Narrow and leaning digits, with pens from 1 px."""
    digit, text = pool.one()
    thick = pool.rng.choice([1.2, 2, 5, 10, 18])
    ink = slanted(penned(digit, pool.between(100, 220), thick), pool)
    return grey_picture(placed(ink, pool.rng)), text


def stroke(points: Any, size: float, width: float) -> Mask:
    """A polyline of unit coordinates (x, y) with a round pen."""
    side = int(size + 2 * width) + 2
    image = Image.new("L", (2 * side, 2 * side))
    draw = ImageDraw.Draw(image)
    scaled = [tuple(2 * (value * size + width) for value in point) for point in points]
    draw.line(scaled, 255, round(2 * width), joint="curve")
    for x, y in (scaled[0], scaled[-1]):
        draw.ellipse((x - width, y - width, x + width, y + width), 255)
    return trimmed(np.asarray(image.resize((side, side), Image.Resampling.BOX)) / 255)


def marks(pool: Pool) -> tuple[Image.Image, str]:
    """Decimals, times, a minus, fractions, percent, sums: read with their marks, or refused."""
    mark = str(pool.rng.choice(list("...,,::-//%+=$€)")))
    first, last = (pool.number(int(pool.rng.integers(1, 3))) for _ in range(2))
    forms = {"-": f"-{first}", "%": f"{first}%", "$": f"${first}", ")": f"({first})"}
    text = forms.get(mark, f"{first}{mark}{last}")
    side = pool.between(80, 120)
    thick = side * pool.between(0.06, 0.13)
    rows = []
    for character in text:
        ink, top = (
            (outlined(pool.of(character), side), 0.0)
            if character.isdigit()
            else mark_as_drawn(character, side, thick, pool)
        )
        rows.append((ink, side / 2 + top + pool.between(-4, 4)))
    canvas, x = np.zeros((int(2.2 * side), int(1.6 * side * len(text)) + 100)), 40.0
    for ink, top in rows:
        put(canvas, ink, top, x)
        x += ink.shape[1] + side * pool.between(0.1, 0.3)
    drawn = canvas[:, : int(x) + 40]
    return (grey_picture(drawn) if pool.rng.random() < 0.7 else photo(drawn, pool.rng)), text


def mark_as_drawn(character: str, side: float, thick: float, pool: Pool) -> tuple[Mask, float]:
    """A mark's ink, and how far below the digits' upper edge it begins."""
    if character in ".:":
        dot = stroke([(0, 0), (pool.between(0.001, 0.02), 0)], side, thick * pool.between(0.8, 1.7))
        if character == ".":
            return dot, side - len(dot)
        high = pool.between(0.3, 0.5) * side
        pair = put(np.zeros((int(high) + len(dot), dot.shape[1])), dot, 0, 0)
        return put(pair, dot, high, 0), (side - len(pair)) * pool.between(0.5, 1)
    if character == ",":
        bend, long = pool.between(0, 0.1), pool.between(0.18, 0.3)
        points = [(0.08, 0), (0.08 + bend / 2, long / 2), (0, long)]
        return stroke(points, side, thick), side * pool.between(0.85, 0.95)
    if character in "-=":
        tilt, long = pool.between(-0.04, 0.04), pool.between(0.3, 0.6)
        bar = stroke([(0, 0.05), (long, 0.05 + tilt)], side, thick)
        if character == "-":
            return bar, side * pool.between(0.4, 0.6)
        pair = put(np.zeros((int(0.3 * side) + len(bar), bar.shape[1])), bar, 0, 0)
        return put(pair, bar, 0.3 * side, 0), side * 0.3
    if character == "/":
        long = pool.between(1.12, 1.35)
        ink = stroke([(long * pool.between(0.25, 0.5), 0), (0, long)], side, thick)
        return ink, (side - len(ink)) / 2
    if character == "%":
        turn = np.linspace(0, 2 * np.pi, 30)
        ring = pool.between(0.1, 0.15) * (1 + np.stack([np.cos(turn), np.sin(turn)], 1))
        slash = stroke([(0.75, 0), (0.15, 1)], side, thick)
        sign = np.zeros((len(slash) + 4, int(0.9 * side + 3 * thick)))
        ring_ink = stroke(ring, side, thick * 0.8)
        put(sign, slash, 0, 0.15 * side)
        put(sign, ring_ink, 0, 0)
        return put(sign, ring_ink, len(slash) - len(ring_ink), 0.62 * side), 0.0
    if character == "+":
        across, down = (stroke(p, side, thick) for p in ([(0, 0), (0.6, 0)], [(0, 0), (0, 0.6)]))
        sign = put(np.zeros((len(down), across.shape[1])), down, 0, 0.3 * side)
        return put(sign, across, 0.3 * side, 0), 0.25 * side
    if character in "()":
        turn = np.linspace(-1, 1, 20)
        curve = np.stack([0.25 * turn**2, 0.6 * (1 + turn)], 1)
        curve[:, 0] = curve[:, 0] if character == "(" else 0.25 - curve[:, 0]
        return stroke(curve, side, thick), -0.1 * side
    font = ImageFont.load_default(1.3 * side)
    image = Image.new("L", (int(2 * side), int(2 * side)))
    ImageDraw.Draw(image).text((side, side), character, 255, font, anchor="mm")
    ink = trimmed(np.asarray(image) / 255)
    return ink, (side - len(ink)) / 2


def lines(pool: Pool) -> tuple[Image.Image, str]:
    """Two or three lines of one to four digits."""
    side = pool.between(60, 90)
    texts = [pool.number(int(pool.rng.integers(1, 5))) for _ in range(pool.rng.integers(2, 4))]
    rows = []
    for text in texts:
        inks = [outlined(pool.of(digit), side * pool.between(0.9, 1.1)) for digit in text]
        gaps = pool.rng.uniform(0.15, 0.4, len(inks)) * side
        rows.append(row_of(inks, gaps, 5, pool, int(side * pool.between(1.35, 1.7))))
    width = max(row.shape[1] for row in rows) + 60
    starts = pool.rng.integers(0, 60, len(rows))
    sheets = [
        put(np.zeros((len(row), width)), row, 0, x) for row, x in zip(rows, starts, strict=True)
    ]
    return grey_picture(np.pad(np.vstack(sheets), 20)), "\n".join(texts)


# What is no digit


def drawing(draw: Callable[[ImageDraw.ImageDraw], object]) -> Grey:
    """What a function draws on a canvas of twice the size, white on black."""
    image = Image.new("L", (2 * SIDE, 2 * SIDE))
    draw(ImageDraw.Draw(image))
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX))


def not_digits(rng: Rng) -> Iterator[tuple[str, Grey]]:
    """Letters that resemble no digit, signs, scribbles, shapes, noise and nothing: 115."""
    from matplotlib import get_data_path

    for name, letter in product(("DejaVuSans.ttf", "DejaVuSerif.ttf"), LETTERS + SIGNS):
        path = Path(get_data_path()) / "fonts" / "ttf" / name
        font = ImageFont.truetype(str(path), 2 * int(rng.integers(110, 190)))
        ink = drawing(lambda pen: pen.text((SIDE, SIDE), letter, 255, font, anchor="mm"))  # noqa: B023
        yield letter, np.asarray(Image.fromarray(ink).rotate(rng.uniform(-8, 8), BICUBIC))
    for _ in range(20):
        knots = rng.uniform(100, 460, (int(rng.integers(7, 16)), 2))
        curve = make_interp_spline(np.linspace(0, 1, len(knots)), knots)(np.linspace(0, 1, 200))
        yield "scribble", drawing(lambda pen: pen.line([*map(tuple, curve)], 255, 24, "curve"))  # noqa: B023
    for name, shape, corner in SHAPES:
        yield name, drawing(lambda pen: getattr(pen, shape)(((80, 200), corner), 255))  # noqa: B023
    yield from (("noise", rng.integers(0, 256, (SIDE, SIDE)).astype(np.uint8)) for _ in range(3))
    yield from (("blank", np.full((SIDE, SIDE), value, np.uint8)) for value in (0, 255, 128))


def common(pool: Pool) -> tuple[Image.Image, str]:
    """Hearts, houses, smileys, arrows, mirrored digits."""
    shape = pool.rng.choice(["heart", "house", "smiley", "arrow", "mirrored"])
    size, width = pool.between(120, 200), pool.between(4, 12)
    if shape == "mirrored":
        ink = outlined(pool.of(str(pool.rng.choice([2, 3, 5, 7]))), size)[:, ::-1]
        return grey_picture(placed(ink, pool.rng)), ""
    t = np.linspace(0, 2 * np.pi, 60)
    ring = np.stack([0.5 + 0.5 * np.cos(t), 0.5 + 0.5 * np.sin(t)], 1)
    strokes: list[Any]
    if shape == "heart":
        heart_y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
        strokes = [np.stack([0.5 + np.sin(t) ** 3 / 2, 0.4 - heart_y / 34], 1)]
    elif shape == "house":
        strokes = [[(0.1, 1), (0.1, 0.45), (0.5, 0), (0.9, 0.45), (0.9, 1), (0.1, 1)]]
        strokes += [[(0.1, 0.45), (0.9, 0.45)]]
    elif shape == "smiley":
        smile = np.linspace(0.15, 0.85, 20)[:, None] * np.pi
        mouth = np.hstack([0.5 + 0.28 * np.cos(smile), 0.5 + 0.28 * np.sin(smile)])
        strokes = [ring, mouth, ring * 0.06 + (0.3, 0.3), ring * 0.06 + (0.65, 0.3)]
    else:
        strokes = [[(0, 0.5), (1, 0.5)], [(0.7, 0.25), (1, 0.5), (0.7, 0.75)]]
    canvas = np.zeros((int(size + 3 * width), int(size + 3 * width)))
    shake = pool.rng.normal(0, 0.012, 2)
    for line in strokes:
        points = np.asarray(line) + shake
        corner = size * np.maximum(points.min(0), 0)
        put(canvas, stroke(points, size, width), corner[1], corner[0])
    return grey_picture(placed(trimmed(canvas), pool.rng)), ""


def empty(pool: Pool) -> tuple[Image.Image, str]:
    """Pages on which nothing is written."""
    make = pool.rng.integers(5)
    nothing = np.zeros((SHEET, SHEET))
    if make == 0:
        return photo(nothing, pool.rng), ""
    if make == 1:
        return photo(nothing, pool.rng, lines_of(pool, pool.between(70, 150))), ""
    if make == 2:
        return photo(nothing, pool.rng, lines_of(pool, pool.between(35, 80), squared=True)), ""
    if make == 3:
        light = np.where(side_of(pool, pool.between(0.2, 0.8)) > 0, 0.6, 1)
        return photo(nothing, pool.rng, light=ndimage.gaussian_filter(light, 4)), ""
    beyond = side_of(pool, 0.8) > 0
    return photo(nothing, pool.rng, np.where(beyond[..., None], table(pool), PAPER)), ""


Kind = Callable[[Pool], tuple[Image.Image, str]]
KINDS: dict[str, Kind] = {
    "plain-dark": canvas(dark=True),
    "plain-white": canvas(dark=False),
    "thin-strokes": canvas(dark=False, width=0.5),
    "wide-strokes": canvas(dark=False, width=1.7),
    "pen-6": pen(60, 6),
    "pen-20": pen(60, 20),
    "pen-32": pen(100, 32),
    "plain-photo": plain_photo,
    "ruled": ruled,
    "squared": squared,
    "margin-line": margin_line,
    "shadow": shadow,
    "glare": glare,
    "kraft": kraft,
    "board": board,
    "table-at-side": table_at_side,
    "torn-edge": torn_edge,
    "sticky-note": sticky_note,
    "dark-table": dark_table,
    "box": lambda pool: framed(pool, "box"),
    "circle": lambda pool: framed(pool, "circle"),
    "underline": lambda pool: framed(pool, "underline"),
    "screenshot": screenshot,
    "own-28x28": own_28,
    "8x8": eight,
    "20x20": twenty,
    "savefig": savefig,
    "16-bit": deep,
    "marker": marker,
    "row": row,
    "full-row": full_row,
    "touching": touching,
    "hands": hand,
    "marks": marks,
    "lines": lines,
    "drawings": common,
    "empty": empty,
}


def pictures(
    kind: str, images: Grey, labels: NDArray[np.int64], count: int, seed: int = 0
) -> Iterator[tuple[Image.Image, str]]:
    """Draw so many pictures of a kind, each with what it says: "" where it says nothing."""
    for i in range(count):
        rng = np.random.default_rng([seed, zlib.crc32(kind.encode()), i])
        yield KINDS[kind](Pool(images, labels, rng))


def counted(reader: Reader, drawn: Iterator[tuple[Image.Image, str]]) -> tuple[str, list[str]]:
    """A row of the table, and what was read wrong."""
    right = refused = 0
    wrong, seconds = [], []
    for picture, text in drawn:
        answers: list[Any] = []
        seconds.append(timed(lambda: answers.append(reader.read(picture))))  # noqa: B023
        label = answers[0].label
        right += (label or "") == text
        refused += label is None and text != ""
        if label not in (None, text):
            wrong.append(f"{text or 'nothing'} as {label}".replace("\n", " "))
    share = 100 / len(seconds)
    cells = [f"{share * value:.1f}" for value in (right, refused, len(wrong))]
    return " | ".join([*cells, f"{1000 * np.median(seconds):.0f}"]), wrong


def main() -> None:
    """Print the table."""
    parser = arguments_of(__doc__)
    parser.add_argument("run")
    parser.add_argument("--part", choices=["train", "test"], default="test")
    parser.add_argument("--kinds", nargs="+", choices=[*KINDS, "letters"], metavar="KIND")
    parser.add_argument("--count", type=int, default=200, help="pictures of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--wrong", action="store_true", help="also print what was read wrong")
    parser.add_argument("--outputs", type=Path, default=Path("outputs"))
    arguments = parser.parse_args()
    run = open_run(arguments.run, arguments.outputs)
    reader = Reader(run)
    threadpool_limits(1)
    split: Any = getattr(load_recorded(run.config_path), arguments.part)
    images, labels = split.images[:10_000], split.labels[:10_000]
    is_right = reader.ask(images)[0] == labels
    images, labels = images[is_right], labels[is_right]
    reader.read(Image.fromarray(images[0]))  # builds the index
    print("| kind | right % | refused % | wrong % | ms |\n|---|---|---|---|---|")
    for kind in arguments.kinds or [*KINDS, "letters"]:
        if kind == "letters":
            signs = not_digits(np.random.default_rng(arguments.seed + 1))
            drawn: Iterator[tuple[Image.Image, str]] = (
                (Image.fromarray(255 - ink), "") for _, ink in signs
            )
        else:
            drawn = pictures(kind, images, labels, arguments.count, arguments.seed)
        cells, wrong = counted(reader, drawn)
        print(f"| {kind} | {cells} |", flush=True)
        if arguments.wrong and wrong:
            print("  " + ", ".join(wrong))


if __name__ == "__main__":
    main()
