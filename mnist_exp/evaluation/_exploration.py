"""What can be said of a dataset before any model: ink, strokes, pixels that never vary, twins,
classes that touch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mnist_exp.evaluation._nearest import nearest

if TYPE_CHECKING:
    from mnist_exp.data import Images, Labels

COMPONENTS = 64
TWIN = 0.25  # a distance between two images below this share of the length of one: nearly the same
NEIGHBOURS = 5
QUERIES = 5_000  # training images whose neighbours tell which classes touch
_BLOCK = 2_000

Float64 = NDArray[np.float64]


def mean_ink(images: "Images") -> Float64:
    """Mean grey of each image (n,), 0 to 1."""
    return np.concatenate([block.mean(axis=(1, 2), dtype=np.float64) for block in _blocks(images)])


def stroke_width(images: "Images") -> Float64:
    """Mean width of the strokes of each image (n,), in pixels; 0 where there is no ink.

    A stroke of length L and width w has the area L w and an edge of about 2 L, and the total variation of a picture is
    the length of its edges (coarea formula), so w = 2 area / total variation. Grey pixels count as parts, no threshold.
    """
    return np.concatenate([_stroke_width(block) for block in _blocks(images)])


def _stroke_width(images: NDArray[np.float32]) -> Float64:
    down = np.diff(images, axis=1, append=0)
    right = np.diff(images, axis=2, append=0)
    edge = np.sqrt(down**2 + right**2).sum(axis=(1, 2), dtype=np.float64)
    area = images.sum(axis=(1, 2), dtype=np.float64)
    return np.asarray(2 * area / np.maximum(edge, 1e-9))


def _blocks(images: "Images") -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(images), _BLOCK):
        yield np.divide(images[start : start + _BLOCK], 255, dtype=np.float32)


def inked_share(images: "Images") -> Float64:
    """The share of the images with any ink at each pixel (h, w); where it is 0, a pixel never
    varies.
    """
    return np.asarray(np.count_nonzero(images, axis=0) / len(images))


def class_pictures(
    images: "Images", labels: "Labels", n_classes: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of every class's images (k, h, w), in grey levels."""
    groups = [images[labels == number] for number in range(n_classes)]
    mean, spread = (
        np.stack([getattr(group, name)(axis=0, dtype=np.float32) for group in groups])
        for name in ("mean", "std")
    )
    return mean, spread


def project(
    train: "Images", test: "Images | None"
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Both splits on the training images' first principal components (n, d), the most telling
    first.
    """
    from sklearn.decomposition import PCA

    rows = train.reshape(len(train), -1).astype(np.float32)
    components = min(COMPONENTS, *rows.shape)
    pca = PCA(components, svd_solver="covariance_eigh").fit(rows)
    projected = pca.transform(rows)
    return projected, None if test is None else pca.transform(
        test.reshape(len(test), -1).astype(np.float32)
    )


@dataclass(frozen=True)
class Twins:
    """Test images with the training image most like each, most alike first."""

    test: NDArray[np.intp]
    train: NDArray[np.intp]
    distance: NDArray[np.float64]  # as a share of the test image's own length


def find_twins(
    train: "Images",
    test: "Images",
    train_projected: NDArray[np.float32],
    test_projected: NDArray[np.float32],
) -> Twins:
    """For every test image the training image nearest to it on the principal components, measured
    by all its pixels.

    Projection only shortens distances, so whatever is near in pixels is near there as well.
    """
    found = nearest(test_projected, train_projected, 1)[0][:, 0]
    distance = np.empty(len(test))
    for start in range(0, len(test), _BLOCK):
        part = slice(start, start + _BLOCK)
        own = test[part].astype(np.float32)
        gap = np.square(own - train[found[part]]).sum(axis=(1, 2), dtype=np.float64)
        distance[part] = np.sqrt(
            gap / np.maximum(np.square(own).sum(axis=(1, 2), dtype=np.float64), 1)
        )
    order = np.argsort(distance, kind="stable")
    return Twins(order, found[order], distance[order])


def count_repeats(*splits: "Images") -> int:
    """How many images are, pixel for pixel, the repetition of another one of these splits."""
    seen = {image.tobytes() for images in splits for image in images}
    return sum(map(len, splits)) - len(seen)


@dataclass(frozen=True)
class TouchingClasses:
    """Two classes whose training images are often neighbours, and the closest pairs across the
    border.
    """

    classes: tuple[int, int]
    share: float  # of the neighbours of their images that are of the other one
    pairs: list[tuple[int, int]]  # training images of the first and of the second class


def touching_classes(
    projected: NDArray[np.float32],
    labels: "Labels",
    n_classes: int,
    rng: np.random.Generator,
    n_pairs: int = 4,
) -> tuple[Float64, list[TouchingClasses]]:
    """Which share of an image's nearest training images are of which class (k, k), and all pairs,
    hardest first.

    It looks at training images only: what is hard about the test set is for the end.
    """
    queries = np.sort(rng.choice(len(labels), min(QUERIES, len(labels)), replace=False))
    count = min(NEIGHBOURS + 1, len(labels))  # the nearest to an image is itself
    near, distance = nearest(projected[queries], projected, count)
    own, other = np.repeat(labels[queries], count), labels[near].ravel()
    strangers = (near != queries[:, None]).ravel()
    counts = np.bincount((own * n_classes + other)[strangers], minlength=n_classes**2).reshape(
        n_classes, n_classes
    )
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    found = []
    for a in range(n_classes):
        for b in range(a + 1, n_classes):
            across = np.flatnonzero(((own == a) & (other == b)) | ((own == b) & (other == a)))
            closest = across[np.argsort(distance.ravel()[across], kind="stable")]
            ends = zip(np.repeat(queries, count)[closest], near.ravel()[closest], strict=True)
            pairs = dict.fromkeys(
                (int(q), int(n)) if labels[q] == a else (int(n), int(q)) for q, n in ends
            )
            found.append(
                TouchingClasses((a, b), float(share[a, b] + share[b, a]) / 2, list(pairs)[:n_pairs])
            )
    return share, sorted(found, key=lambda pair: -pair.share)
