"""How well a run reads digits that people draw, and how well it refuses what is no digit.

python scripts/benchmark_drawing.py RUN [--count 1000]

The first test digits that the model reads right are drawn anew on a canvas, at random place and
size, with pens of several widths, on paper, in rows; letters, signs and scribbles follow. Prints a
share for each.
"""

import io
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

from _measure import arguments_of
from mnist_exp.config import load_recorded
from mnist_exp.recognition import Answer, Reader
from mnist_exp.runs import open_run

Grey = NDArray[np.uint8]
SIDE, BICUBIC = 280, Image.Resampling.BICUBIC
SLOPE = np.linspace(-50, 50, SIDE)[:, None]  # of the light on paper
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


def trimmed(ink: Grey) -> Grey:
    """Ink without its margins: from the first to the last row and column that hold some."""
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def enlarged(digit: Grey, side: float) -> Grey:
    """A digit's ink alone, scaled so that its longest side is `side` px."""
    image = Image.fromarray(trimmed(digit))
    size = [max(1, round(length * side / max(image.size))) for length in image.size]
    return np.asarray(image.resize(size, BICUBIC))


def outlined(digit: Grey, side: float, width: float = 1.0) -> Grey:
    """The enlarged digit with sharp edges, its strokes `width` times as wide."""
    drawn = np.pad(enlarged(digit, side), 30) > 127
    inside = ndimage.distance_transform_edt(drawn)
    edge = inside - ndimage.distance_transform_edt(~drawn) + (width - 1) * 2 * inside[drawn].mean()
    return np.asarray(255 * np.clip(edge + 0.5, 0, 1), np.uint8)


def penned(digit: Grey, side: float, width: float) -> Grey:
    """The digit's centre line drawn with a round pen of `width` px."""
    ink = ndimage.gaussian_filter(np.pad(enlarged(digit, side), 2).astype(float), 1) > 110
    distance = ndimage.distance_transform_edt(~thinned(np.pad(ink, int(width) + 2)))
    return np.asarray(255 * np.clip(width / 2 - distance + 0.5, 0, 1), np.uint8)


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


def placed(ink: Grey, rng: np.random.Generator) -> Grey:
    """Ink at a random place of the canvas, white on black."""
    ink = trimmed(ink)
    if max(ink.shape) > SIDE - 8:
        ink = enlarged(ink, SIDE - 8)
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    y, x = (int(rng.integers(2, SIDE - length - 1)) for length in ink.shape)
    canvas[y : y + ink.shape[0], x : x + ink.shape[1]] = ink
    return canvas


def photographed(canvas: Grey, rng: np.random.Generator) -> Image.Image:
    """Dark ink on paper: light from one side, blur, noise, JPEG, a camera held in some way."""
    ink = ndimage.gaussian_filter(canvas / 255, 1.2)
    light = rng.uniform(150, 225) + SLOPE * rng.choice([-1, 1]) * rng.uniform(0, 1)
    photo = light * (1 - rng.uniform(0.5, 0.85) * ink) + rng.normal(0, 5, ink.shape)
    orientation, degrees = CAMERAS[rng.integers(len(CAMERAS))]
    image = Image.fromarray(photo.clip(0, 255).astype(np.uint8)).convert("RGB").rotate(degrees)
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    image.save(file, "JPEG", quality=60, exif=exif)
    return Image.open(file)


def in_row(digits: list[Grey], rng: np.random.Generator) -> Grey:
    """Digits side by side, of similar size, not quite on one line."""
    side = rng.uniform(60, 110)
    boxes = [trimmed(outlined(digit, side * rng.uniform(0.85, 1.15))) for digit in digits]
    gaps = rng.uniform(0.12, 0.5, len(boxes)) * side
    canvas = np.zeros((220, int(sum(box.shape[1] for box in boxes) + gaps.sum()) + 40), np.uint8)
    x = 20.0
    for box, gap in zip(boxes, gaps, strict=True):
        height, width = box.shape
        y = int(np.clip(110 - height / 2 + rng.uniform(-12, 12), 0, 220 - height))
        canvas[y : y + height, int(x) : int(x) + width] = box
        x += width + gap
    return canvas


def drawn(draw: Callable[[ImageDraw.ImageDraw], object]) -> Grey:
    """What a function draws on a canvas of twice the size, white on black."""
    image = Image.new("L", (2 * SIDE, 2 * SIDE))
    draw(ImageDraw.Draw(image))
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX))


def not_digits(rng: np.random.Generator) -> Iterator[tuple[str, Grey]]:
    """Letters that resemble no digit, signs, scribbles, shapes, noise and nothing."""
    from matplotlib import get_data_path

    for name, letter in product(("DejaVuSans.ttf", "DejaVuSerif.ttf"), LETTERS + SIGNS):
        path = Path(get_data_path()) / "fonts" / "ttf" / name
        font = ImageFont.truetype(str(path), 2 * int(rng.integers(110, 190)))
        ink = drawn(lambda pen: pen.text((SIDE, SIDE), letter, 255, font, anchor="mm"))  # noqa: B023
        yield letter, np.asarray(Image.fromarray(ink).rotate(rng.uniform(-8, 8), BICUBIC))
    for _ in range(20):
        knots = rng.uniform(100, 460, (int(rng.integers(7, 16)), 2))
        curve = make_interp_spline(np.linspace(0, 1, len(knots)), knots)(np.linspace(0, 1, 200))
        yield "scribble", drawn(lambda pen: pen.line([*map(tuple, curve)], 255, 24, "curve"))  # noqa: B023
    for name, shape, corner in SHAPES:
        yield name, drawn(lambda pen: getattr(pen, shape)(((80, 200), corner), 255))  # noqa: B023
    yield from (("noise", rng.integers(0, 256, (SIDE, SIDE)).astype(np.uint8)) for _ in range(3))
    yield from (("blank", np.full((SIDE, SIDE), value, np.uint8)) for value in (0, 255, 128))


def canvas_of(digit: Grey, rng: np.random.Generator, width: float = 1.0) -> Grey:
    """A digit outlined at a random place and size, white on black."""
    return placed(outlined(digit, rng.uniform(60, 220), width), rng)


def pen_of(digit: Grey, rng: np.random.Generator, smallest: float, width: float) -> Grey:
    """A digit drawn with a pen at a random place and size, black on white."""
    return 255 - placed(penned(digit, rng.uniform(smallest, 220), width), rng)


WAYS: dict[str, Callable[[Grey, np.random.Generator], Any]] = {
    "enlarged, white on black": canvas_of,
    "enlarged, black on white": lambda digit, rng: 255 - canvas_of(digit, rng),
    "half as wide": lambda digit, rng: 255 - canvas_of(digit, rng, 0.5),
    "1.7 times as wide": lambda digit, rng: 255 - canvas_of(digit, rng, 1.7),
    "pen of 20 px": lambda digit, rng: pen_of(digit, rng, 60, 20),
    "pen of 6 px": lambda digit, rng: pen_of(digit, rng, 60, 6),
    "pen of 32 px": lambda digit, rng: pen_of(digit, rng, 100, 32),
    "photo": lambda digit, rng: photographed(canvas_of(digit, rng), rng),
}


def answer_to(reader: Reader, picture: Any) -> Answer:
    """What the reader says of an array or a picture."""
    return reader.read(picture if isinstance(picture, Image.Image) else Image.fromarray(picture))


def share_right(answers: list[Answer], labels: list[str]) -> str:
    """The percentage of answers that are the label."""
    right = [answer.label == label for answer, label in zip(answers, labels, strict=True)]
    return f"read right {100 * np.mean(right):5.1f} %"


def main() -> None:
    """Print the share read right, and the share refused, of each kind."""
    parser = arguments_of(__doc__)
    parser.add_argument("run")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--outputs", type=Path, default=Path("outputs"))
    arguments = parser.parse_args()
    run = open_run(arguments.run, arguments.outputs)
    reader = Reader(run)
    threadpool_limits(1)
    test: Any = load_recorded(run.config_path).test
    right = np.flatnonzero(reader.ask(test.images)[0] == test.labels)[: arguments.count]
    for name, draw in WAYS.items():
        rng = np.random.default_rng(0)
        answers = [answer_to(reader, draw(test.images[i], rng)) for i in right]
        refused = np.mean([answer.label is None for answer in answers])
        share = share_right(answers, [str(label) for label in test.labels[right]])
        print(f"{name:26}  {share}   refused {100 * refused:4.1f} %", flush=True)
    rng = np.random.default_rng(1)
    for length in (2, 3, 4, 5):
        count = max(1, arguments.count // 10)
        rows = [rng.choice(right, length, replace=False) for _ in range(count)]
        answers = [answer_to(reader, 255 - in_row(list(test.images[row]), rng)) for row in rows]
        numbers = ["".join(map(str, test.labels[row])) for row in rows]
        print(f"{length} digits in a row          {share_right(answers, numbers)}", flush=True)
    labels = [(name, answer_to(reader, 255 - ink).label) for name, ink in not_digits(rng)]
    taken = [f"{name} as {label}" for name, label in labels if label is not None]
    share = f"refused {100 - 100 * len(taken) / len(labels):5.1f} %"
    print(f"{len(labels)} that are no digits       {share}")
    print("taken for digits:", ", ".join(taken))


if __name__ == "__main__":
    main()
