"""Nearest neighbours by brute force: exact, and as fast as the machine multiplies matrices."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_QUERIES, _ROWS = 500, 5_000  # distances of one block: 10 MB


def nearest(
    queries: NDArray[Any], rows: NDArray[Any], count: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The rows nearest to each query.

    Parameters
    ----------
    queries : array (m, d)
        Of any number type: blocks are taken as float32 one by one, so that images need no copy.
    rows : array (n, d)
        Among which to search, likewise.
    count : int
        How many to find for each query.

    Returns
    -------
    index : array of int (m, count)
        The nearest comes first.
    distance : array of float32 (m, count)
        Squared Euclidean distances.

    Examples
    --------
    >>> index, distance = nearest(np.array([[0, 0]]), np.array([[3, 4], [0, 1], [9, 9]]), 2)
    >>> index.tolist(), distance.tolist()
    ([[1, 0]], [[1.0, 25.0]])
    """
    starts = range(0, len(queries), _QUERIES)
    blocks = [_of_block(queries[start : start + _QUERIES], rows, count) for start in starts]
    index, distance = (np.concatenate(part) for part in zip(*blocks, strict=True))
    return index, distance


def _of_block(
    queries: NDArray[Any], rows: NDArray[Any], count: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    wanted = queries.astype(np.float32)
    length = np.einsum("ij,ij->i", wanted, wanted)[:, None]
    index = np.empty((len(wanted), 0), np.intp)
    distance = np.empty((len(wanted), 0), np.float32)
    for start in range(0, len(rows), _ROWS):
        block = rows[start : start + _ROWS].astype(np.float32)
        squared = np.einsum("ij,ij->i", block, block) - 2 * wanted @ block.T + length
        keep = np.argpartition(squared, min(count, len(block)) - 1, axis=1)[:, :count]
        index = np.hstack([index, keep + start])
        distance = np.hstack([distance, np.take_along_axis(squared, keep, axis=1)])
    order = np.argsort(distance, axis=1, kind="stable")[:, :count]
    nearest_distance = np.maximum(np.take_along_axis(distance, order, axis=1), 0)
    return np.take_along_axis(index, order, axis=1), nearest_distance
