"""Photos, scans and strokes become what MNIST would have made of them."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage
from sklearn.neighbors import KNeighborsClassifier

from mnist_exp.data import load, mnist
from mnist_exp.errors import UserError
from mnist_exp.handwriting import image_to_mnist, photo_to_ink, read_image, to_mnist


@pytest.fixture(scope="module")
def real(mnist_dir):
    """Real MNIST: 5,000 images to learn from, 300 to redraw."""
    return load(mnist(mnist_dir), train_size=5000, test_size=300)


@pytest.fixture(scope="module")
def reader(real):
    """The share of the test images, redrawn in any way, that a nearest-neighbour reader gets
    right.
    """
    model = KNeighborsClassifier(3).fit(real.train.images.reshape(5000, -1), real.train.labels)
    return lambda images: model.score(np.reshape(images, (len(images), -1)), real.test.labels)


def place(digit, side, scale, rng):
    """A digit's ink enlarged at a random place of a square canvas, white on black."""
    rows, columns = np.flatnonzero(digit.any(1)), np.flatnonzero(digit.any(0))
    ink = Image.fromarray(digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
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


def test_a_redrawn_digit_is_read_as_well_as_the_original(real, reader):
    rng = np.random.default_rng(0)
    redrawn = [
        to_mnist(np.asarray(place(image, 280, rng.uniform(2, 10), rng)))
        for image in real.test.images
    ]
    assert reader(redrawn) >= reader(real.test.images) - 0.01
    assert np.abs(np.subtract(redrawn, real.test.images, dtype=float)).mean() < 6


def test_a_photographed_digit_is_read_nearly_as_well(real, reader):
    rng = np.random.default_rng(0)
    photos = [
        photograph(place(image, 240, rng.uniform(4, 9), rng), rng) for image in real.test.images
    ]
    assert reader([image_to_mnist(photo) for photo in photos]) >= reader(real.test.images) - 0.04


def test_size_place_peak_and_centre_are_those_of_mnist():
    ink = np.zeros((300, 200))
    ink[200:260, 150:190] = np.linspace(0.1, 0.7, 40)
    image = to_mnist(ink)
    rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
    assert (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1) == (20, 13)
    assert image.max() == 255
    assert np.abs(np.subtract(ndimage.center_of_mass(image), 14)).max() <= 0.5


def test_mnist_is_left_as_it_is(real):
    for image in real.test.images[:20]:
        np.testing.assert_array_equal(image_to_mnist(Image.fromarray(image)), image)
    redone = np.array([to_mnist(image) for image in real.test.images])
    assert np.abs(np.subtract(redone, real.test.images, dtype=float)).mean() < 0.1


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
    for name, reason in {
        "bad.png": "not a readable",
        "empty.jpg": "not a readable",
        "bomb.png": "15000x15000 pixels are more than",
    }.items():
        with pytest.raises(UserError, match=f"{name}: .*{reason}"):
            read_image(tmp_path / name)


@pytest.mark.parametrize("ink", ["black", "white"])
def test_ink_on_nothing_is_seen_whatever_its_colour(ink):
    alpha = Image.new("L", (200, 200))
    ImageDraw.Draw(alpha).line((60, 40, 140, 40, 90, 160), 255, 14)
    picture = Image.new("RGBA", alpha.size, ink)
    picture.putalpha(alpha)
    found = photo_to_ink(picture) > 127
    assert np.mean(found == (np.asarray(alpha) > 127)) > 0.98
    assert found.any()
