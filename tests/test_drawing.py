"""Photos, scans and strokes become what MNIST would have made of them."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage
from sklearn.neighbors import KNeighborsClassifier

from mnist_exp.data import digits as digits_source
from mnist_exp.data import load, mnist
from mnist_exp.errors import UserError
from mnist_exp.handwriting import (
    image_to_mnist,
    ink_box,
    looks_like_mnist,
    photo_to_ink,
    read_image,
    split_lines,
    to_mnist,
)

PHOTOS = 200


@pytest.fixture(scope="module")
def redrawable(request):
    """Images to learn from and 300 to redraw: of MNIST where it is at hand, else bundled ones."""
    try:
        return load(mnist(request.getfixturevalue("mnist_dir")), train_size=5000, test_size=300)
    except pytest.skip.Exception:
        return load(digits_source(), test_size=300)


@pytest.fixture(scope="module")
def share_read(redrawable):
    """The share of test images, redrawn in any way, that a nearest-neighbour reader gets right."""
    train, labels = redrawable.train, redrawable.test.labels
    model = KNeighborsClassifier(3).fit(train.images.reshape(len(train), -1), train.labels)
    return lambda images: model.score(np.reshape(images, (len(images), -1)), labels[: len(images)])


def place(digit, side, scale, rng):
    """A digit's ink enlarged at a random place of a square canvas, white on black."""
    ink = Image.fromarray(digit[ink_box(digit)])
    ink = ink.resize([round(length * scale) for length in ink.size], Image.Resampling.BICUBIC)
    canvas = Image.new("L", (side, side))
    canvas.paste(ink, [int(rng.integers(0, side - length + 1)) for length in ink.size])
    return canvas


def photograph(canvas, rng):
    """A photo of it: dark ink on grey paper, light from one side, blur, noise, JPEG."""
    ink = ndimage.gaussian_filter(np.asarray(canvas) / 255, 1.5)
    light = 190 + np.linspace(-50, 50, len(ink))[:, None] * rng.choice([-1, 1])
    photo = light * (1 - 0.7 * ink) + rng.normal(0, 6, ink.shape)
    file = io.BytesIO()
    Image.fromarray(photo.clip(0, 255).astype(np.uint8)).convert("RGB").save(file, "JPEG")
    return Image.open(file)


def test_a_redrawn_digit_is_read_as_well_as_the_original(redrawable, share_read):
    rng, images = np.random.default_rng(0), redrawable.test.images
    redrawn = [to_mnist(np.asarray(place(image, 280, rng.uniform(2, 10), rng))) for image in images]
    assert share_read(redrawn) >= share_read(images) - 0.01
    assert np.abs(np.subtract(redrawn, images, dtype=float)).mean() < 6


def test_a_photographed_digit_is_read_nearly_as_well(redrawable, share_read):
    rng, images = np.random.default_rng(0), redrawable.test.images[:PHOTOS]
    photos = [photograph(place(image, 240, rng.uniform(4, 9), rng), rng) for image in images]
    lost = 0.04 if redrawable.name == "mnist" else 0.05  # the bundled digits have 8x8 pixels
    assert share_read([image_to_mnist(photo) for photo in photos]) >= share_read(images) - lost


def test_size_place_peak_and_centre_are_those_of_mnist():
    ink = np.zeros((300, 200))
    ink[200:260, 150:190] = np.linspace(0.1, 0.7, 40)
    image = to_mnist(ink)
    assert image[ink_box(image)].shape == (20, 13)
    assert image.max() == 255
    assert np.abs(np.subtract(ndimage.center_of_mass(image), 14)).max() <= 0.5


def test_mnist_is_left_as_it_is(mnist_dir, redrawable):
    images = redrawable.test.images
    for image in images[:20]:
        np.testing.assert_array_equal(image_to_mnist(Image.fromarray(image)), image)
    redone = np.array([to_mnist(image) for image in images])
    assert np.abs(np.subtract(redone, images, dtype=float)).mean() < 0.1


def inverted(image):
    return Image.eval(image, lambda value: 255 - value)


FORMATS = {
    "dark on white": inverted,
    "colour": lambda image: Image.merge(
        "RGB", [inverted(image), inverted(image), Image.new("L", image.size, 255)]
    ),
    "transparent": lambda image: Image.merge("LA", [Image.new("L", image.size), image]),
    "16 bits": lambda image: Image.fromarray(np.asarray(image, np.uint16) * 257),
    "palette": lambda image: inverted(image).convert("P"),
    "inks for printing": lambda image: inverted(image).convert("CMYK"),
}


@pytest.mark.parametrize("side", [140, 900])
@pytest.mark.parametrize("change", FORMATS)
def test_the_format_does_not_matter(digits, tmp_path, change, side):
    canvas = place(digits.test.images[0], side, 5, np.random.default_rng(0))
    suffix = "jpg" if change == "inks for printing" else "png"
    FORMATS[change](canvas).save(tmp_path / f"digit.{suffix}")
    image = image_to_mnist(read_image(tmp_path / f"digit.{suffix}"))
    assert np.abs(np.subtract(image, to_mnist(np.asarray(canvas)), dtype=float)).mean() < 8


def test_a_turned_photo_is_turned_back(digits, tmp_path):
    canvas = place(digits.test.images[0], 140, 5, np.random.default_rng(0))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways: to be turned clockwise for display
    canvas.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "photo.jpg", exif=exif, quality=95)
    image = image_to_mnist(read_image(tmp_path / "photo.jpg"))
    assert np.abs(np.subtract(image, to_mnist(np.asarray(canvas)), dtype=float)).mean() < 6


@pytest.mark.parametrize("side", [1, 2, 28, 50, 700])
def test_blank_paper_has_no_ink(side):
    rng = np.random.default_rng(0)
    paper = Image.fromarray((200 + rng.normal(0, 3, (side, side))).astype(np.uint8))
    assert not photo_to_ink(paper).any()
    assert not to_mnist(photo_to_ink(Image.new("RGB", (side, 2 * side), "white"))).any()


def test_a_broken_or_absurdly_large_picture_is_named(tmp_path):
    Image.new("L", (40, 40), 255).save(tmp_path / "bad.png")
    (tmp_path / "bad.png").write_bytes((tmp_path / "bad.png").read_bytes()[:-30])
    Image.new("1", (15_000, 15_000)).save(tmp_path / "bomb.png")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "letter.ppm").write_text("P")
    for name, reason in {
        "bad.png": "not a readable",
        "empty.jpg": "not a readable",
        "letter.ppm": "not a readable",
        "bomb.png": "15000x15000 pixels are more than",
    }.items():
        with pytest.raises(UserError, match=f"{name}: .*{reason}"):
            read_image(tmp_path / name)


def test_a_large_jpeg_is_reduced_while_decoding_and_pillows_limit_stays(tmp_path):
    Image.new("L", (16_000, 12_000)).save(tmp_path / "poster.jpg")  # 192 megapixels
    assert read_image(tmp_path / "poster.jpg").size == (2000, 1500)
    assert Image.MAX_IMAGE_PIXELS is not None
    with pytest.raises(Image.DecompressionBombError):
        Image.open(tmp_path / "poster.jpg")


def test_a_thousand_equal_dots_are_as_many_parts():
    dots = np.kron(np.eye(2, dtype=np.uint8)[0], np.full(4, 255, np.uint8))
    ink = np.tile(np.kron(dots[:, None] > 0, dots[None]), (20, 50)).astype(np.uint8)
    assert sum(map(len, split_lines(ink))) == 1000


@pytest.mark.parametrize("ink", ["black", "white"])
def test_ink_on_nothing_is_seen_whatever_its_colour(ink):
    alpha = Image.new("L", (200, 200))
    ImageDraw.Draw(alpha).line((60, 40, 140, 40, 90, 160), 255, 14)
    picture = Image.new("RGBA", alpha.size, ink)
    picture.putalpha(alpha)
    inked = photo_to_ink(picture) > 127
    assert np.mean(inked == (np.asarray(alpha) > 127)) > 0.98
    assert inked.any()


@pytest.mark.parametrize("top", [1.0, 4095, 65535])
def test_the_lightest_value_may_be_that_of_any_depth(digits, top):
    canvas = 1 - np.asarray(place(digits.test.images[0], 140, 5, np.random.default_rng(0))) / 255
    deep = Image.fromarray((canvas * top).astype(np.float32 if top == 1 else np.uint16))
    plain = Image.fromarray((canvas * 255).astype(np.uint8))
    difference = np.subtract(image_to_mnist(deep), image_to_mnist(plain), dtype=float)
    assert np.abs(difference).mean() < 1


def test_a_lab_picture_is_read(digits):
    canvas = inverted(place(digits.test.images[0], 140, 5, np.random.default_rng(0)))
    lab = Image.merge("LAB", [canvas, *[Image.new("L", canvas.size, 128)] * 2])
    np.testing.assert_array_equal(photo_to_ink(lab), photo_to_ink(canvas))


def test_only_what_mnist_could_have_made_looks_like_it(digits):
    image = digits.test.images[0]
    assert looks_like_mnist(image)
    others = [np.roll(image, 4, 1), image // 2, np.maximum(image, 30), 0 * image, image[::2, ::2]]
    assert not any(map(looks_like_mnist, others))
