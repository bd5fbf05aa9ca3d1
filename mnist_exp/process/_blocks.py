"""Work on images in blocks that fit a core's cache, on threads.

numpy's loops release the interpreter, so the threads work side by side.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Float32 = NDArray[np.float32]
BLOCK_PIXELS = 128 * 28 * 28


class Scratch:
    """Arrays that one thread uses again from block to block.

    Fresh ones would be page-faulted in every time, which costs more than the arithmetic on them
    (measured: 20 us instead of 5 us for each 28x28 image resampled).
    """

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[Any]] = {}

    def __call__(
        self, name: str, shape: tuple[int, ...], dtype: DTypeLike = np.float32
    ) -> NDArray[Any]:
        """Return the array of that name: zeros at first, then what was last left in it."""
        array, size = self._arrays.get(name), int(np.prod(shape))
        if array is None or array.size < size:
            array = self._arrays[name] = np.zeros(size, dtype)
        return array[:size].reshape(shape)


def block_size(height: int, width: int) -> int:
    """Return how many images make one block: by their size alone, since results depend on it."""
    return max(1, BLOCK_PIXELS // (height * width))


def run_blocks(work: Callable[[slice, Scratch], None], n: int, size: int, n_jobs: int) -> None:
    """Share out `n` items, `size` at a time, among `n_jobs` threads.

    Parameters
    ----------
    work
        Called as `work(block, scratch)`; writes what it makes of the items `block` where the
        caller wants it.
    n, size
        How many items there are, and how many one call takes.
    n_jobs
        Number of threads.

    Examples
    --------
    >>> squares = np.zeros(5)
    >>> def work(block, scratch):
    ...     squares[block] = np.arange(5)[block] ** 2
    >>> run_blocks(work, 5, 2, n_jobs=2)
    >>> squares.tolist()
    [0.0, 1.0, 4.0, 9.0, 16.0]
    """
    blocks = iter([slice(start, min(start + size, n)) for start in range(0, n, size)])

    def drain() -> None:
        scratch = Scratch()
        for block in blocks:
            work(block, scratch)

    if n_jobs == 1 or n <= size:
        drain()
        return
    with ThreadPoolExecutor(n_jobs) as pool:
        try:
            list(pool.map(lambda _: drain(), range(n_jobs)))
        finally:
            list(blocks)  # after an error or Ctrl-C the other threads find nothing left to do


def bilinear(images: NDArray[Any], rows: Float32, cols: Float32, scratch: Scratch) -> Float32:
    """Return images (n, h, w) at the places `rows`, `cols` (n, h, w), 0 outside.

    The places are overwritten.
    """
    n, height, width = images.shape
    # One pixel before and two after, so that any place has four neighbours.
    frame = (n, height + 3, width + 3)
    framed = scratch("frame", frame)
    framed[:, 1:-2, 1:-2] = images
    whole_rows, whole_cols = (
        scratch(name, images.shape, np.int32) for name in ("whole_rows", "whole_cols")
    )
    for places, whole, size in ((rows, whole_rows, height), (cols, whole_cols, width)):
        np.clip(places, -1, size, out=places)
        places += 1
        np.copyto(whole, places, casting="unsafe")
        np.subtract(places, whole, out=places, dtype=np.float32, casting="unsafe")
    whole_rows *= frame[2]
    whole_rows += whole_cols
    index = scratch("index", images.shape, np.intp)
    np.add(whole_rows, np.arange(0, framed.size, frame[1] * frame[2])[:, None, None], out=index)
    neighbours = [
        scratch(name, images.shape) for name in ("top", "top_right", "bottom", "bottom_right")
    ]
    for neighbour, step in zip(neighbours, (0, 1, frame[2] - 1, 1), strict=True):
        index += step
        # None is out of range, but the mode "raise" would copy.
        np.take(framed, index, out=neighbour, mode="clip")
    top, top_right, bottom, bottom_right = neighbours
    blend(top, top_right, cols)
    blend(bottom, bottom_right, cols)
    blend(top, bottom, rows)
    return top


def blend(first: Float32, second: Float32, share: Float32) -> None:
    """Bring `first` a share of the way to `second`; overwrites both."""
    second -= first
    second *= share
    first += second
