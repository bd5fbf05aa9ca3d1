"""What can be said of a dataset before any model: ink, strokes, empty pixels, twins, neighbours."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mnist_exp.evaluation._metrics import confusion_matrix
from mnist_exp.evaluation._neighbours import nearest

COMPONENTS = 64
TWIN = 0.25  # a distance between two images below this share of the length of one: nearly the same
NEIGHBOURS = 5
QUERIES = 5_000  # training images whose neighbours tell which classes touch
_BLOCK = 250  # images whose float32 copies fit the second-level cache

Float64 = NDArray[np.float64]


def mean_ink(images: NDArray[np.uint8]) -> Float64:
    """Mean grey of each image.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, h, w)
        White ink on black.

    Returns
    -------
    ndarray, shape (n,)
        0 for a black image, 1 for a white one.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.zeros((2, 2, 2), np.uint8)
    >>> images[1, 0] = 255
    >>> mean_ink(images).tolist()
    [0.0, 0.5]
    """
    return np.concatenate([block.mean(axis=(1, 2), dtype=np.float64) for block in _blocks(images)])


def stroke_width(images: NDArray[np.uint8]) -> Float64:
    """Mean width of the strokes of each image.

    A stroke of length L and width w has the area L w and an edge of about 2 L. The total variation
    of a picture is the length of its edges (coarea formula), so w = 2 area / total variation. Grey
    pixels count as parts; there is no threshold.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, h, w)
        White ink on black.

    Returns
    -------
    ndarray, shape (n,)
        In pixels; 0 where there is no ink.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.zeros((1, 28, 28), np.uint8)
    >>> image[0, 4:24, 10:13] = 255  # a bar, three pixels wide; its ends are edges as well
    >>> stroke_width(image).round(1).tolist()
    [2.6]
    """
    return np.concatenate([_stroke_width(block) for block in _blocks(images)])


def _stroke_width(images: NDArray[np.float32]) -> Float64:
    down, right = np.diff(images, axis=1, append=0), np.diff(images, axis=2, append=0)
    edge = np.sqrt(down**2 + right**2).sum(axis=(1, 2), dtype=np.float64)
    area = images.sum(axis=(1, 2), dtype=np.float64)
    return np.asarray(2 * area / np.maximum(edge, 1e-9))


def _blocks(images: NDArray[np.uint8]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(images), _BLOCK):
        yield np.divide(images[start : start + _BLOCK], 255, dtype=np.float32)


def inked_share(images: NDArray[np.uint8]) -> Float64:
    """The share of the images that have any ink at each pixel.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, h, w)
        White ink on black.

    Returns
    -------
    ndarray, shape (h, w)
        From 0 to 1; a pixel where it is 0 never varies.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.zeros((4, 2, 2), np.uint8)
    >>> images[1, 0, 1] = 9
    >>> inked_share(images).tolist()
    [[0.0, 0.25], [0.0, 0.0]]
    """
    return np.asarray(np.count_nonzero(images, axis=0) / len(images))


def class_pictures(
    images: NDArray[np.uint8], labels: NDArray[np.int64], n_classes: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of the images of every class.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, h, w)
        Images of all classes.
    labels : ndarray of int64, shape (n,)
        Their class numbers; every class has an image.
    n_classes : int
        How many classes there are.

    Returns
    -------
    mean, spread : ndarray of float32, shape (n_classes, h, w)
        In grey levels.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.array([[[0]], [[10]], [[7]]], np.uint8)
    >>> mean, spread = class_pictures(images, np.array([0, 0, 1]), 2)
    >>> mean.ravel().tolist(), spread.ravel().tolist()
    ([5.0, 7.0], [5.0, 0.0])
    """
    groups = [images[labels == number] for number in range(n_classes)]
    mean = np.stack([group.mean(axis=0, dtype=np.float32) for group in groups])
    return mean, np.stack([group.std(axis=0, dtype=np.float32) for group in groups])


def project(
    train: NDArray[np.uint8], test: NDArray[np.uint8] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Both splits on the first principal components of the training images.

    Parameters
    ----------
    train : ndarray of uint8, shape (n, h, w)
        The images that the components are of.
    test : ndarray of uint8, shape (m, h, w), or None
        More images, if there are any.

    Returns
    -------
    train : ndarray of float32, shape (n, d)
        The most telling component first; d is `COMPONENTS`, or less for few or small images.
    test : ndarray of float32, shape (m, d), or None
        On the same components.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.zeros((3, 2, 2), np.uint8)
    >>> images[:, 0, 0] = [0, 3, 6]  # images that differ in one pixel
    >>> projected, _ = project(images, None)
    >>> projected.shape, abs(projected[:, 0]).round(4).tolist()
    ((3, 3), [3.0, 0.0, 3.0])
    """
    from sklearn.decomposition import PCA

    rows = train.reshape(len(train), -1).astype(np.float32)
    pca = PCA(min(COMPONENTS, *rows.shape), svd_solver="covariance_eigh").fit(rows)
    others = None if test is None else test.reshape(len(test), -1).astype(np.float32)
    return pca.transform(rows), None if others is None else pca.transform(others)


@dataclass(frozen=True)
class Twins:
    """Test images with the training image most like each, most alike first; all of shape (m,)."""

    test: NDArray[np.intp]
    train: NDArray[np.intp]
    distance: NDArray[np.float64]  # as a share of the test image's own length


def find_twins(
    train: NDArray[np.uint8],
    test: NDArray[np.uint8],
    train_projected: NDArray[np.float32],
    test_projected: NDArray[np.float32],
) -> Twins:
    """For every test image the training image that is most like it.

    It is the nearest on the principal components; the distance is that of all pixels. Projection
    only shortens distances, so whatever is near in pixels is near there as well.

    Parameters
    ----------
    train, test : ndarray of uint8, shape (n, h, w) and (m, h, w)
        The images.
    train_projected, test_projected : ndarray of float32, shape (n, d) and (m, d)
        The same images, as `project` returns them.

    Returns
    -------
    Twins
        Positions and distances, most alike first.

    Examples
    --------
    >>> import numpy as np
    >>> train = np.array([[[0, 9]], [[8, 0]]], np.uint8)
    >>> test = np.array([[[4, 0]], [[0, 9]]], np.uint8)
    >>> twins = find_twins(train, test, *project(train, test))
    >>> twins.test.tolist(), twins.train.tolist(), twins.distance.tolist()
    ([1, 0], [0, 1], [0.0, 1.0])
    """
    closest = nearest(test_projected, train_projected, 1)[0][:, 0]
    distance = np.empty(len(test))
    for start in range(0, len(test), _BLOCK):
        part = slice(start, start + _BLOCK)
        images = test[part].astype(np.float32)
        gap = np.square(images - train[closest[part]]).sum(axis=(1, 2), dtype=np.float64)
        length = np.square(images).sum(axis=(1, 2), dtype=np.float64)
        distance[part] = np.sqrt(gap / np.maximum(length, 1))
    order = np.argsort(distance, kind="stable")
    return Twins(order, closest[order], distance[order])


def count_repeats(*splits: NDArray[np.uint8]) -> int:
    """How many images repeat another one, pixel for pixel.

    Parameters
    ----------
    *splits : ndarray of uint8, shape (n, h, w)
        Images that are compared within each split and across all of them.

    Returns
    -------
    int
        How many could be left out, so that every image is there once.

    Examples
    --------
    >>> import numpy as np
    >>> train, test = np.zeros((2, 3, 3), np.uint8), np.zeros((1, 3, 3), np.uint8)
    >>> count_repeats(train), count_repeats(train, test)
    (1, 2)
    """
    distinct = {image.tobytes() for images in splits for image in images}
    return sum(map(len, splits)) - len(distinct)


@dataclass(frozen=True)
class TouchingClasses:
    """Two classes whose training images are often neighbours."""

    classes: tuple[int, int]
    share: float  # of the neighbours of their images that are of the other one
    pairs: list[tuple[int, int]]  # the closest images of the first and of the second class


def touching_classes(
    projected: NDArray[np.float32],
    labels: NDArray[np.int64],
    n_classes: int,
    rng: np.random.Generator,
    n_pairs: int = 4,
) -> tuple[Float64, list[TouchingClasses]]:
    """Which classes the nearest training images of a training image are of.

    It looks at training images only: what is hard about the test set is for the end.

    Parameters
    ----------
    projected : ndarray of float32, shape (n, d)
        Training images, as `project` returns them.
    labels : ndarray of int64, shape (n,)
        Their class numbers.
    n_classes : int
        How many classes there are.
    rng : numpy.random.Generator
        Draws the images whose neighbours are looked at, at most `QUERIES`.
    n_pairs : int
        How many of the closest pairs of images to return for each pair of classes.

    Returns
    -------
    share : ndarray, shape (n_classes, n_classes)
        Row a, column b: the share of class b among the `NEIGHBOURS` nearest to images of class a.
    pairs : list of TouchingClasses
        All pairs of classes, hardest first.

    Examples
    --------
    >>> import numpy as np
    >>> points = np.arange(18, dtype=np.float32)[:, None]
    >>> points[12:] += 100  # the third class lies far from the others
    >>> labels = np.repeat([0, 1, 2], 6)
    >>> share, pairs = touching_classes(points, labels, 3, np.random.default_rng(0), n_pairs=1)
    >>> pairs[0].classes, pairs[0].pairs
    ((0, 1), [(5, 6)])
    """
    queries = np.sort(rng.choice(len(labels), min(QUERIES, len(labels)), replace=False))
    count = min(NEIGHBOURS + 1, len(labels))  # the nearest to an image is itself
    near, distance = (part.ravel() for part in nearest(projected[queries], projected, count))
    image = np.repeat(queries, count)
    of, to = labels[image], labels[near]
    counts = confusion_matrix(of[near != image], to[near != image], n_classes)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    touching = []
    for a, b in combinations(range(n_classes), 2):
        across = np.flatnonzero(((of == a) & (to == b)) | ((of == b) & (to == a)))
        closest = across[np.argsort(distance[across], kind="stable")]
        ends = zip(image[closest].tolist(), near[closest].tolist(), strict=True)
        pairs = dict.fromkeys((i, j) if labels[i] == a else (j, i) for i, j in ends)
        both = float(share[a, b] + share[b, a])
        touching.append(TouchingClasses((a, b), both / 2, list(pairs)[:n_pairs]))
    return share, sorted(touching, key=lambda pair: -pair.share)
