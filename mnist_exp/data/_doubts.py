"""What is doubtful about somebody's own data: told in a line each, before anything is trained."""

from collections.abc import Iterator

import numpy as np

from mnist_exp.data._dataset import Dataset, Images
from mnist_exp.handwriting import to_mnist

FEW = 10  # images of a class that are too few to say anything of it
_LOOKED_AT = 1000  # images; more of them say no more
_COMPARED = 300
_CLEARER = 0.15  # share of digits that must look right only when turned


def doubts(dataset: Dataset) -> list[str]:
    """Say what is doubtful about a dataset, a line each.

    Parameters
    ----------
    dataset : Dataset
        With or without a test split.

    Returns
    -------
    list of str
        What was found, and the option that mends it.

    Examples
    --------
    >>> from mnist_exp.data import Dataset, Split
    >>> images, labels = np.full((40, 28, 28), 255, np.uint8), np.arange(40) % 2
    >>> for doubt in doubts(Dataset("made", ("a", "b"), Split(images, labels, labels), None, None)):
    ...     print(doubt)
    all training images are equal: every pixel is 255
    """
    images = dataset.train.images[:: 1 + len(dataset.train) // _LOOKED_AT]
    if (images == images[0]).all() and (dataset.train.images == images[0]).all():
        values = np.unique(images[0])
        pixels = f"every pixel is {values[0]}" if len(values) == 1 else "one image, repeated"
        return [f"all training images are equal: {pixels}"]
    return [*_looks(dataset, images), *_counts(dataset), *_leak(dataset)]


def _looks(dataset: Dataset, images: Images) -> Iterator[str]:
    frame = np.ones(images.shape[1:], bool)
    frame[1:-1, 1:-1] = False
    ground = np.median(images[:, frame])
    if ground > 128:
        yield (
            f"the ground is light (the border's median is {ground:.0f} of 255), and digits are "
            "light ink on a dark ground here: dataset.invert=true swaps the two"
        )
    if images.max() < 128:
        yield f"no pixel is above {images.max()} of 255: the images are nearly black"
    if set(dataset.classes) <= set("0123456789"):
        upright, turned = _alike(dataset, invert=bool(ground > 128))
        if turned > upright + _CLEARER:
            yield (
                f"the digits look transposed: {turned:.0%} of them are like the bundled digits "
                f"after a turn about the diagonal, {upright:.0%} as they are: "
                "dataset.transpose=true"
            )


def _alike(dataset: Dataset, invert: bool) -> tuple[float, float]:
    """Share of training digits whose nearest bundled digit has their class, upright and turned."""
    from sklearn.datasets import load_digits

    rows = np.linspace(0, len(dataset.train) - 1, min(_COMPARED, len(dataset.train))).astype(int)
    images = dataset.train.images[rows]
    digits = [to_mnist(255 - image if invert else image) for image in images]
    bundled = load_digits()
    known = np.stack([to_mnist(image) for image in bundled.images[::3]]).astype(np.float32)
    known = known.reshape(len(known), -1)
    lengths = np.square(known).sum(1)
    names = np.array(dataset.classes, int)[dataset.train.labels[rows]]

    def share(pictures: Images) -> float:
        flat = pictures.reshape(len(pictures), -1).astype(np.float32)
        nearest = (lengths - 2 * flat @ known.T).argmin(1)
        return float((bundled.target[::3][nearest] == names).mean())

    stacked = np.stack(digits)
    return share(stacked), share(stacked.swapaxes(1, 2))


def _counts(dataset: Dataset) -> Iterator[str]:
    for part, split in (("training", dataset.train), ("test", dataset.test)):
        if split is None:
            continue
        counts = np.bincount(split.labels, minlength=len(dataset.classes))
        few = [
            f"{name} ({count})"
            for name, count in zip(dataset.classes, counts, strict=True)
            if 0 < count < FEW
        ]
        if few:
            yield f"fewer than {FEW} {part} images of {', '.join(few)}"
        if missing := [dataset.classes[label] for label in np.flatnonzero(counts == 0)]:
            yield f"no {part} image of {', '.join(missing)}"


def _leak(dataset: Dataset) -> Iterator[str]:
    if dataset.test is not None:
        known = set(map(bytes, dataset.train.images))
        twins = sum(bytes(image) in known for image in dataset.test.images)
        if twins:
            yield (
                f"{twins:,} of {len(dataset.test):,} test images are training images: the test "
                "says too much good of a model"
            )
