"""What is not writing goes before anything is measured: tables, light, rules, frames, windows."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from mnist_exp.handwriting import find_ink, ink_box, photo_to_ink, read_image

SIDE = 400
PAPER, PEN, WOOD = (236, 234, 226), (40, 46, 92), (92, 62, 40)
Y, X = np.indices((SIDE, SIDE))
DOWN, ACROSS = Y - 200, X - 190  # from the middle of the digit


@pytest.fixture(scope="module")
def written(digits):
    """A 5, which has open bows and a flag, 130 px high near the middle of a sheet."""
    image = digits.test.images[np.flatnonzero(digits.test.labels == 5)[0]]
    ink = Image.fromarray(image[ink_box(image)]).resize((100, 130), Image.Resampling.BICUBIC)
    canvas = Image.new("L", (SIDE, SIDE))
    canvas.paste(ink, (140, 135))
    return np.asarray(canvas) > 127


def photo(ink, paper=PAPER, light=1.0, pen=PEN):
    """A colour photo of it: blur, noise, JPEG."""
    scene = np.where(ink[..., None], pen, np.broadcast_to(paper, (SIDE, SIDE, 3)))
    scene = ndimage.gaussian_filter(scene * np.broadcast_to(light, ink.shape)[..., None], (1, 1, 0))
    scene += np.random.default_rng(0).normal(0, 3, ink.shape)[..., None]
    file = io.BytesIO()
    Image.fromarray(scene.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=80)
    return Image.open(file)


def on(area, colour=WOOD, paper=PAPER):
    """Paper, and another colour in an area of it."""
    return np.where(area[..., None], colour, paper)


RAGGED = ndimage.gaussian_filter1d(np.random.default_rng(0).normal(0, 30, SIDE), 5)[:, None]
PAPERS = {
    "a table at one side": on(X + 0.2 * Y > 370),
    "a torn edge": on(X > 330 + RAGGED),
    "a dark table around": on((abs(DOWN) > 150) | (abs(ACROSS) > 150)),
    "a note on a table": on((abs(DOWN) > 90) | (abs(ACROSS) > 90), WOOD, (250, 232, 120)),
    "ruled paper": on(Y % 40 < 2, (150, 176, 222)),
    "squared paper, turned": on(
        ((Y + 0.03 * X) % 25 < 2) | ((X - 0.03 * Y) % 25 < 2), (160, 200, 190)
    ),
    "a margin line": on(abs(X - 0.02 * Y - 160) < 1.5, (226, 120, 120)),
    "a chalk board": (46, 70, 58),
}


def overlap(ink, written):
    """The share of pixels that both have of those that one has."""
    return (ink & written).sum() / (ink | written).sum()


@pytest.mark.parametrize("paper", PAPERS)
def test_only_the_digit_is_ink_whatever_it_is_written_on(written, paper):
    pen = (228, 228, 220) if paper == "a chalk board" else PEN
    assert overlap(photo_to_ink(photo(written, PAPERS[paper], pen=pen)) > 127, written) > 0.8


LIGHTS = {
    "a hard shadow across it": np.where(Y + 0.3 * X > 250, 0.55, 1),
    "a spot of light": 0.7 + 0.6 * np.exp(-(ACROSS**2 + (DOWN - 60) ** 2) / 5000),
}


@pytest.mark.parametrize("light", LIGHTS)
def test_light_and_shadow_are_no_ink(written, light):
    picture = photo(written, light=ndimage.gaussian_filter(LIGHTS[light], 3))
    assert overlap(photo_to_ink(picture) > 127, written) > 0.8


FRAMES = {
    "box": abs(np.maximum(abs(DOWN) - 95, abs(ACROSS) - 80)) < 3,
    "circle": abs(np.hypot(DOWN, ACROSS) - 110) < 3,
    "open circle": (abs(np.hypot(DOWN, ACROSS) - 110) < 3) & ((DOWN < 90) | (ACROSS < 0)),
    "underline": (abs(DOWN - 90) < 4) & (abs(ACROSS) < 80),
}


@pytest.mark.parametrize("frame", FRAMES)
def test_what_goes_around_a_digit_or_below_it_is_dropped(written, frame):
    ink = photo_to_ink(photo(written | FRAMES[frame])) > 127
    assert overlap(ink, written) > 0.8


def test_a_nought_around_a_dot_and_a_stroke_above_another_stay():
    ring = abs(np.hypot(DOWN, ACROSS) - 80) < 8
    dotted = ring | (np.hypot(DOWN, ACROSS) < 12)
    flagged = ((abs(DOWN + 70) < 5) & (abs(ACROSS) < 50)) | ((abs(ACROSS) < 6) & (abs(DOWN) < 60))
    for ink in (dotted, flagged):
        assert overlap(photo_to_ink(photo(ink)) > 127, ink) > 0.8


def drawn(written, ground="white", pen="black"):
    """The digit on a canvas of one colour."""
    picture = Image.new("RGB", (SIDE, SIDE), ground)
    picture.paste(Image.new("RGB", picture.size, pen), mask=Image.fromarray(written))
    return picture


def test_of_a_screenshot_the_canvas_remains(written):
    desktop = Image.new("RGB", (SIDE + 120, SIDE + 120), (20, 80, 120))
    desktop.paste(drawn(written), (60, 80))
    pen = ImageDraw.Draw(desktop)
    pen.rectangle((60, 50, 459, 79), (230, 230, 235))
    pen.text((70, 58), "Untitled - Paint", (60, 60, 60))
    ink = photo_to_ink(desktop) > 127
    assert ink.any()
    (height, width), (high, wide) = (part[ink_box(part)].shape for part in (ink, written))
    assert height / width == pytest.approx(high / wide, abs=0.1)


def test_a_dark_picture_with_white_margins_is_cropped_to_what_is_dark(written):
    figure = Image.new("RGB", (SIDE + 200, SIDE + 140), "white")
    figure.paste(drawn(written, "black", "white"), (100, 70))
    ink = photo_to_ink(figure) > 127
    assert ink[ink_box(ink)].shape[0] / len(ink) == pytest.approx(130 / SIDE, abs=0.03)


@pytest.mark.parametrize(
    ("ground", "pen"), [((68, 1, 84), (253, 231, 36)), ((0, 0, 127), (127, 0, 0))]
)
def test_colour_maps_are_read_by_colour(written, ground, pen):
    assert overlap(photo_to_ink(drawn(written, ground, pen)) > 127, written) > 0.95


def test_a_yellow_marker_on_white_is_ink(written):
    picture = photo(written, (246, 246, 244), pen=(252, 246, 90))
    assert overlap(photo_to_ink(picture) > 127, written) > 0.8


def test_a_digit_that_is_cut_out_is_ink_from_edge_to_edge(written):
    rows, columns = ink_box(written)
    box = rows, slice(columns.start - 20, columns.stop + 20)
    cut = Image.fromarray(np.asarray(photo(written))[box])
    assert overlap(photo_to_ink(cut) > 127, written[box]) > 0.8
    tiny = (
        Image.fromarray(written[ink_box(written)]).convert("L").resize((8, 8), Image.Resampling.BOX)
    )
    assert photo_to_ink(tiny).astype(float).mean() > 60


@pytest.mark.parametrize("paper", ["a table at one side", "ruled paper"])
def test_nothing_written_is_no_ink(paper):
    assert not photo_to_ink(photo(np.zeros((SIDE, SIDE), bool), PAPERS[paper])).any()


def test_lines_as_dark_as_the_digit_are_named(written):
    page = find_ink(photo(written | (Y % 40 < 3)))
    assert page.obstacle == "lines through the digit: write on plain paper"
    assert find_ink(photo(written)).obstacle is None


def test_a_file_of_no_known_kind_says_what_to_save_it_as():
    with pytest.raises(Exception, match=r"photo\.heic: .*: save it as JPEG or PNG"):
        read_image(io.BytesIO(b"\0\0\0\x18ftypheic"), "photo.heic")


@pytest.mark.parametrize("side", [84, 300])
@pytest.mark.parametrize("inverted", [False, True])
def test_enlarged_pixels_are_never_called_blank(digits, side, inverted):
    for image in digits.test.images[:40]:
        picture = Image.fromarray(255 - image if inverted else image)
        ink = find_ink(picture.resize((side, side), Image.Resampling.BICUBIC)).ink
        small = np.asarray(Image.fromarray(ink).resize((28, 28), Image.Resampling.BOX))
        assert np.corrcoef(small.ravel(), image.ravel())[0, 1] > 0.8
