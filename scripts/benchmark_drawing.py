"""How well a run reads digits that people draw: MNIST's test digits redrawn in many ways, and what
is no digit.

python scripts/benchmark_drawing.py RUN [--count 1000]: the first test digits that the model reads
right are drawn anew on a canvas, at random place and size, with pens of several widths, on paper,
in rows; letters, signs and scribbles follow. Prints a share for each.
"""

import argparse
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from scipy.interpolate import make_interp_spline
from threadpoolctl import threadpool_limits

from mnist_exp.config import load_recorded
from mnist_exp.recognition import Answer, Reader
from mnist_exp.runs import open_run

Grey = NDArray[np.uint8]
SIDE = 280
LETTERS = "AEFHKMNPRTWXYVJQGUaehkmnrtwxfdpy"
SIGNS = "?&#@%+*=$€"


def enlarged(digit: Grey, side: float) -> Grey:
    """A digit's ink alone, scaled so that its longest side is `side` px."""
    rows, columns = np.flatnonzero(digit.any(1)), np.flatnonzero(digit.any(0))
    image = Image.fromarray(digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    size = [max(1, round(length * side / max(image.size))) for length in image.size]
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))


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
        removed = 0
        for first, second in (((0, 2, 4), (2, 4, 6)), ((0, 2, 6), (0, 4, 6))):
            near = [np.roll(ink, shift, (0, 1)) for shift in shifts]
            count = np.sum(near, axis=0)
            rises = sum((near[i] == 0) & (near[(i + 1) % 8] == 1) for i in range(8))
            edges = [np.prod([near[i] for i in corner], axis=0) == 0 for corner in (first, second)]
            gone = (ink == 1) & (count >= 2) & (count <= 6) & (rises == 1) & edges[0] & edges[1]
            ink[gone] = 0
            removed += int(gone.sum())
        if not removed:
            return np.asarray(ink[1:-1, 1:-1], bool)


def placed(ink: Grey, rng: np.random.Generator) -> Grey:
    """Ink at a random place of the canvas, white on black."""
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if max(ink.shape) > SIDE - 8:
        ink = enlarged(ink, SIDE - 8)
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    y, x = (int(rng.integers(2, SIDE - length - 1)) for length in ink.shape)
    canvas[y : y + ink.shape[0], x : x + ink.shape[1]] = ink
    return canvas


def photographed(canvas: Grey, rng: np.random.Generator) -> Image.Image:
    """Dark ink on paper: light from one side, blur, noise, JPEG, a camera held sideways or upside
    down.
    """
    ink = ndimage.gaussian_filter(canvas / 255, 1.2)
    light = rng.uniform(150, 225) + np.linspace(-50, 50, SIDE)[:, None] * rng.choice(
        [-1, 1]
    ) * rng.uniform(0, 1)
    photo = light * (1 - rng.uniform(0.5, 0.85) * ink) + rng.normal(0, 5, ink.shape)
    orientation, turn = [(1, None), (3, 3), (6, 2), (8, 4)][rng.integers(4)]
    image = Image.fromarray(photo.clip(0, 255).astype(np.uint8)).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = orientation
    back = {None: image, 3: image.rotate(180), 2: image.rotate(90), 4: image.rotate(-90)}[turn]
    file = io.BytesIO()
    back.save(file, "JPEG", quality=60, exif=exif)
    return Image.open(file)


def in_row(digits: list[Grey], rng: np.random.Generator) -> Grey:
    """Digits side by side, of similar size, not quite on one line."""
    side = rng.uniform(60, 110)
    inks = [outlined(digit, side * rng.uniform(0.85, 1.15)) for digit in digits]
    boxes = [ink[np.ix_(np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0)))] for ink in inks]
    gaps = rng.uniform(0.12, 0.5, len(boxes)) * side
    canvas = np.zeros((220, int(sum(box.shape[1] for box in boxes) + gaps.sum()) + 40), np.uint8)
    x = 20.0
    for box, gap in zip(boxes, gaps, strict=True):
        y = int(np.clip(110 - box.shape[0] / 2 + rng.uniform(-12, 12), 0, 220 - box.shape[0]))
        canvas[y : y + box.shape[0], int(x) : int(x) + box.shape[1]] = box
        x += box.shape[1] + gap
    return canvas


def line(points: NDArray[Any], width: int) -> Grey:
    """A pen's way through points."""
    image = Image.new("L", (2 * SIDE, 2 * SIDE))
    draw = ImageDraw.Draw(image)
    draw.line([tuple(2 * point) for point in points], 255, 2 * width, joint="curve")
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX))


def no_digits(rng: np.random.Generator) -> Iterator[tuple[str, Grey]]:
    """Letters that resemble no digit, signs, scribbles, shapes, noise and nothing."""
    from matplotlib import get_data_path

    for font in ("DejaVuSans.ttf", "DejaVuSerif.ttf"):
        for letter in LETTERS + SIGNS:
            image = Image.new("L", (SIDE, SIDE))
            face = ImageFont.truetype(
                str(Path(get_data_path()) / "fonts" / "ttf" / font), int(rng.integers(110, 190))
            )
            ImageDraw.Draw(image).text((140, 140), letter, 255, font=face, anchor="mm")
            yield letter, np.asarray(image.rotate(rng.uniform(-8, 8), Image.Resampling.BICUBIC))
    for _ in range(20):
        knots = rng.uniform(50, 230, (int(rng.integers(7, 16)), 2))
        yield (
            "scribble",
            line(
                make_interp_spline(np.linspace(0, 1, len(knots)), knots)(np.linspace(0, 1, 200)), 12
            ),
        )
    for shape in ((100, 100, 112, 112), (100, 100, 150, 150)):
        image = Image.new("L", (SIDE, SIDE))
        ImageDraw.Draw(image).ellipse(shape, fill=255)
        yield "dot", np.asarray(image)
    for width, height in ((200, 20), (160, 40), (100, 12)):
        image = Image.new("L", (SIDE, SIDE))
        ImageDraw.Draw(image).rectangle((40, 100, 40 + width, 100 + height), fill=255)
        yield "bar", np.asarray(image)
    for _ in range(3):
        yield "noise", rng.integers(0, 256, (SIDE, SIDE)).astype(np.uint8)
    for value in (0, 255, 128):
        yield "blank", np.full((SIDE, SIDE), value, np.uint8)


WAYS: dict[str, Callable[[Grey, np.random.Generator], Any]] = {
    "enlarged, white on black": lambda digit, rng: placed(
        outlined(digit, rng.uniform(60, 220)), rng
    ),
    "enlarged, black on white": lambda digit, rng: (
        255 - placed(outlined(digit, rng.uniform(60, 220)), rng)
    ),
    "half as wide": lambda digit, rng: (
        255 - placed(outlined(digit, rng.uniform(60, 220), 0.5), rng)
    ),
    "1.7 times as wide": lambda digit, rng: (
        255 - placed(outlined(digit, rng.uniform(60, 220), 1.7), rng)
    ),
    "pen of 20 px": lambda digit, rng: 255 - placed(penned(digit, rng.uniform(60, 220), 20), rng),
    "pen of 6 px": lambda digit, rng: 255 - placed(penned(digit, rng.uniform(60, 220), 6), rng),
    "pen of 32 px": lambda digit, rng: 255 - placed(penned(digit, rng.uniform(100, 220), 32), rng),
    "photo": lambda digit, rng: photographed(
        placed(outlined(digit, rng.uniform(60, 220)), rng), rng
    ),
}


def asked(reader: Reader, picture: Any) -> Answer:
    """What the reader says of an array or a picture."""
    return reader.read(picture if isinstance(picture, Image.Image) else Image.fromarray(picture))


def main() -> None:
    """Print the share read right, and the share refused, of each kind."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--outputs", type=Path, default=Path("outputs"))
    arguments = parser.parse_args()
    run = open_run(arguments.run, arguments.outputs)
    reader = Reader(run)
    threadpool_limits(1)
    test = load_recorded(run.config_path).test
    if test is None:
        raise SystemExit("the run has no test data")
    right = np.flatnonzero(reader.ask(test.images)[0] == test.labels)[: arguments.count]
    for name, draw in WAYS.items():
        rng = np.random.default_rng(0)
        answers = [asked(reader, draw(test.images[i], rng)) for i in right]
        correct = np.mean(
            [answer.label == str(test.labels[i]) for answer, i in zip(answers, right, strict=True)]
        )
        refused = np.mean([answer.label is None for answer in answers])
        print(
            f"{name:26}  read right {100 * correct:5.1f} %   refused {100 * refused:4.1f} %",
            flush=True,
        )
    rng = np.random.default_rng(1)
    for length in (2, 3, 4, 5):
        rows = [
            rng.choice(right, length, replace=False) for _ in range(max(1, arguments.count // 10))
        ]
        said = [
            asked(reader, 255 - in_row([test.images[i] for i in row], rng)).label for row in rows
        ]
        numbers = ["".join(str(test.labels[i]) for i in row) for row in rows]
        correct = np.mean([label == number for label, number in zip(said, numbers, strict=True)])
        print(f"{length} digits in a row          read right {100 * correct:5.1f} %", flush=True)
    found = [(name, asked(reader, 255 - picture)) for name, picture in no_digits(rng)]
    taken = [f"{name} as {answer.label}" for name, answer in found if answer.label is not None]
    print(
        f"{len(found)} that are no digits       refused {100 - 100 * len(taken) / len(found):5.1f} %"
    )
    print("taken for digits:", ", ".join(taken))


if __name__ == "__main__":
    main()
