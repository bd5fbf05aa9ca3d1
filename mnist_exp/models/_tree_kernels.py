"""Compiled loops that grow a decision tree on columns of at most 256 values as scikit-learn does.

Random numbers, the order of nodes, the handling of constant columns and the arithmetic of the
criteria are those of scikit-learn 1.9 (sklearn/tree/_splitter.pyx, _tree.pyx, _criterion.pyx), so
that the tree is the same bit for bit. The search for a split differs: it counts how many samples of
each class have each value, where scikit-learn sorts floating-point values. Weights are whole
numbers, hence every sum is exact and the order of its terms does not matter.

numba compiles these functions. It is an optional dependency: only `_fast_forest` imports this.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

EPSILON = float(np.finfo(np.float64).eps)
RAND_R_MAX = 2147483647  # of sklearn.utils._random
CONSTANT = -2  # in place of a value: the column has one value only
FEW = 24  # samples up to which sorting is faster than counting
SPARSE = (
    32  # a node with fewer than this part of all samples is read row by row: fewer cache misses
)


def compiled(function: Any) -> Any:
    """Compile with numba, and keep the result where a folder for it can be written."""
    try:
        return njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # "no locator available": the package and the user's cache are read-only
        return njit(nogil=True, error_model="numpy")(function)


class Rules(NamedTuple):
    """What decides how a tree grows; the names are scikit-learn's."""

    n_classes: int
    max_features: int
    max_depth: int
    min_samples_split: int
    min_samples_leaf: int
    min_impurity_decrease: float
    entropy: bool  # else gini
    random_splits: bool  # one random threshold for each column (extra trees), else the best one


class Matrix(NamedTuple):
    """The training data: n samples of d columns, as numbers of levels."""

    columns: NDArray[np.uint8]  # (d * n,): column after column
    rows: NDArray[np.uint8]  # (n * d,): row after row
    levels: NDArray[np.float32]  # (d, 256), or (1, 256) for all columns
    n: int
    d: int


class Samples(NamedTuple):
    """The samples of a tree, those of a node side by side, and room to partition them."""

    index: NDArray[np.uint32]  # rows of the matrix
    label: NDArray[np.uint8]
    weight: NDArray[np.uint32]
    spare_index: NDArray[np.uint32]
    spare_label: NDArray[np.uint8]
    spare_weight: NDArray[np.uint32]


class Node(NamedTuple):
    """The samples of one node; the classes that occur in it are numbered 0 to k - 1."""

    index: NDArray[np.uint32]
    label: NDArray[np.uint8]
    weight: NDArray[np.uint32]
    total: NDArray[np.int64]  # weight of each class
    k: int
    shift: int  # 2 ** shift is k or more
    squares: int  # the sum of total ** 2
    n: int  # the sum of total


class Drawing(NamedTuple):
    """From which columns are drawn, and the random numbers."""

    features: NDArray[np.int64]
    constant_features: NDArray[np.int64]
    state: NDArray[np.uint64]


class Scratch(NamedTuple):
    """Arrays that the searches of one tree share."""

    histogram: NDArray[np.uint32]  # weight by value and class; zero between two searches
    n_by_value: NDArray[np.uint32]  # samples by value; zero between two searches
    position: NDArray[np.uint32]  # of the samples with ink, within the node
    value: NDArray[np.uint8]  # of those samples
    distinct: NDArray[np.uint8]  # the values that occur, the highest first
    left: NDArray[np.int64]  # weight by class
    right: NDArray[np.int64]
    sums: NDArray[np.float64]  # (4, 256): squared weights left and right, weight, samples right
    by_class: NDArray[np.int64]  # (256, classes): weight right of each value
    proxy: NDArray[np.float64]  # how good the split below each of `distinct` is
    keys: NDArray[np.uint32]
    number: NDArray[np.uint8]  # of a class among those that occur in a node
    few: NDArray[np.int64]  # weight of those


@compiled
def _random_integer(state: NDArray[np.uint64]) -> int:
    """Return the next of `our_rand_r`; `state[0]` is a uint32 kept in a uint64."""
    s = state[0]
    if s == np.uint64(0):
        s = np.uint64(1)
    s ^= (s << np.uint64(13)) & np.uint64(0xFFFFFFFF)
    s ^= s >> np.uint64(17)
    s ^= (s << np.uint64(5)) & np.uint64(0xFFFFFFFF)
    state[0] = s
    return np.int64(s & np.uint64(0x7FFFFFFF))


@compiled
def _impurity(counts: NDArray[np.int64], k: int, weight: float, entropy: bool) -> float:
    """Return gini or entropy (in bits) of the weights of k classes."""
    if entropy:
        bits = 0.0
        for c in range(k):
            if counts[c] > 0:
                share = np.float64(counts[c]) / weight
                bits -= share * (math.log(share) / math.log(2.0))
        return bits
    squares = np.int64(0)
    for c in range(k):
        squares += counts[c] * counts[c]
    return 1.0 - np.float64(squares) / (weight * weight)


@compiled
def _gini_proxy(squares_left: int, left: float, squares_right: int, right: float) -> float:
    """Return minus the weighted gini of the two sides, each given by its squared class weights."""
    gini_left = 1.0 - np.float64(squares_left) / (left * left)
    gini_right = 1.0 - np.float64(squares_right) / (right * right)
    return -right * gini_right - left * gini_left


@compiled
def _entropy_proxy(
    total: NDArray[np.int64],
    right: NDArray[np.int64],
    left: NDArray[np.int64],
    k: int,
    weight: float,
    weight_right: float,
) -> float:
    """Return minus the weighted entropy of the two sides; `left` is room for counts."""
    for c in range(k):
        left[c] = total[c] - right[c]
    bits_right = _impurity(right, k, weight_right, True)
    weight_left = weight - weight_right
    return -weight_right * bits_right - weight_left * _impurity(left, k, weight_left, True)


@compiled
def _by_counting(
    pixels: NDArray[np.uint8], base: int, step: int, node: Node, rules: Rules, scratch: Scratch
) -> tuple[float, int, int]:
    """Return the best split of many samples: its proxy, and the values below and above it.

    Both values are -1 if none is allowed, and -2 if the column is constant. Zeros, most of what
    there is in pixels, are not counted: values are gone through from the highest down, and what
    comes last needs no counting. One long function, because numba hands tuples of arrays over
    slowly: in three parts it takes a sixth longer.
    """
    histogram, n_by_value = scratch.histogram, scratch.n_by_value
    position, value, distinct = scratch.position, scratch.value, scratch.distinct
    right, sums, proxy, total = scratch.right, scratch.sums, scratch.proxy, node.total
    by_class = scratch.by_class
    k, shift, m = node.k, np.uint64(node.shift), node.index.size
    counted = rules.min_samples_leaf > 1
    inked = np.uint64(0)
    for i in range(m):
        v = pixels[np.uint64(node.index[i]) * step + base]
        position[inked], value[inked] = i, v
        inked += np.uint64(v != 0)
    for q in range(np.int64(inked)):
        i, v = position[q], np.uint64(value[q])
        histogram[(v << shift) | np.uint64(node.label[i])] += node.weight[i]
        n_by_value[v] = n_by_value[v] + np.uint32(1) if counted else np.uint32(1)
    n_distinct = np.uint64(0)
    for v in range(255, 0, -1):
        distinct[n_distinct] = v
        n_distinct += np.uint64(n_by_value[v] > 0)
    d = np.int64(n_distinct)
    if np.int64(inked) < m:
        distinct[d] = 0
        d += 1
    right[:k] = 0
    squares_left, squares_right, n_right = node.squares, np.int64(0), np.int64(0)
    samples_right = np.int64(0)
    for q in range(d):
        row = np.uint64(distinct[q]) << shift
        for c in range(k):
            h = np.int64(histogram[row | np.uint64(c)])
            histogram[row | np.uint64(c)] = 0
            before = right[c]
            squares_right += h * (2 * before + h)
            squares_left -= h * (2 * (total[c] - before) - h)
            n_right += h
            right[c] = before + h
        samples_right += np.int64(n_by_value[distinct[q]])
        n_by_value[distinct[q]] = 0
        sums[0, q], sums[1, q], sums[2, q] = squares_left, squares_right, n_right
        sums[3, q] = samples_right
        if rules.entropy:
            for c in range(k):
                by_class[q, c] = right[c]
    if rules.entropy:
        for q in range(d - 1):
            proxy[q] = _entropy_proxy(total, by_class[q], right, k, node.n, sums[2, q])
    else:
        for q in range(d - 1):  # a loop of its own, which the compiler turns into vectors
            n_left = np.float64(node.n) - sums[2, q]
            proxy[q] = _gini_proxy(sums[0, q], n_left, sums[1, q], sums[2, q])
    if counted:
        for q in range(d - 1):
            if min(sums[3, q], m - sums[3, q]) < rules.min_samples_leaf:
                proxy[q] = -np.inf
    best, at = -np.inf, -1
    for q in range(d - 1):
        if proxy[q] >= best:  # of equals the lowest, as when going up
            best, at = proxy[q], q
    if at < 0:
        return best, CONSTANT, CONSTANT
    return best, np.int64(distinct[at + 1]), np.int64(distinct[at])


@compiled
def _by_sorting(
    pixels: NDArray[np.uint8], base: int, step: int, node: Node, rules: Rules, scratch: Scratch
) -> tuple[float, int, int]:
    """Return the best split of at most `FEW` samples by gini, as `_by_counting` does."""
    keys, left, total = scratch.keys, scratch.left, node.total
    m, k = node.index.size, node.k
    for i in range(m):
        value = np.uint32(pixels[np.uint64(node.index[i]) * step + base])
        key = value << np.uint32(8) | np.uint32(i)
        j = i - 1
        while j >= 0 and keys[j] > key:
            keys[j + 1] = keys[j]
            j -= 1
        keys[j + 1] = key
    best, below, above = -np.inf, -1, -1
    last = np.int64(keys[0] >> np.uint32(8))
    if keys[m - 1] >> np.uint32(8) == keys[0] >> np.uint32(8):
        return best, CONSTANT, CONSTANT
    left[:k] = 0
    squares_left, squares_right, n_left = np.int64(0), node.squares, np.int64(0)
    for i in range(m):
        v, at = np.int64(keys[i] >> np.uint32(8)), keys[i] & np.uint32(0xFF)
        allowed = i >= rules.min_samples_leaf and m - i >= rules.min_samples_leaf
        if v != last and allowed:
            n_right = np.float64(node.n - n_left)
            proxy = _gini_proxy(squares_left, np.float64(n_left), squares_right, n_right)
            if proxy > best:
                best, below, above = proxy, last, v
        last = v
        c, h = np.uint64(node.label[at]), np.int64(node.weight[at])
        before = left[c]
        squares_left += h * (2 * before + h)
        squares_right -= h * (2 * (total[c] - before) - h)
        n_left += h
        left[c] = before + h
    return best, below, above


@compiled
def _is_constant(pixels: NDArray[np.uint8], base: int, step: int, node: Node) -> bool:
    """Say whether the samples have one value only."""
    first = pixels[np.uint64(node.index[0]) * step + base]
    for i in range(1, node.index.size):
        if pixels[np.uint64(node.index[i]) * step + base] != first:
            return False
    return True


@compiled
def _random_threshold(
    low: int, high: int, level: NDArray[np.float32], state: NDArray[np.uint64]
) -> tuple[int, float]:
    """Return a threshold between two values, and the highest value below it."""
    lowest, highest = np.float64(level[low]), np.float64(level[high])
    drawn = np.float64(_random_integer(state))
    threshold = ((highest - lowest) * drawn / np.float64(RAND_R_MAX)) + lowest
    if threshold == highest:
        threshold = lowest
    cut = low
    while cut < high and np.float64(level[cut + 1]) <= threshold:
        cut += np.uint8(1)
    return cut, threshold


@compiled
def _at_random(
    pixels: NDArray[np.uint8],
    base: int,
    step: int,
    node: Node,
    level: NDArray[np.float32],
    state: NDArray[np.uint64],
    rules: Rules,
    scratch: Scratch,
) -> tuple[float, int, float]:
    """Return a random split: its proxy, the highest value on its left (or -2) and its threshold."""
    m, k, left, right, total = node.index.size, node.k, scratch.left, scratch.right, node.total
    low, high = np.uint8(255), np.uint8(0)
    for i in range(m):
        v = pixels[np.uint64(node.index[i]) * step + base]
        scratch.value[i] = v
        low, high = min(low, v), max(high, v)
    if low == high:
        return -np.inf, CONSTANT, 0.0
    cut, threshold = _random_threshold(low, high, level, state)
    right[:k] = 0
    samples, n_right = 0, np.int64(0)
    for i in range(m):
        goes = scratch.value[i] > cut
        right[node.label[i]] += np.int64(node.weight[i]) * goes
        n_right += np.int64(node.weight[i]) * goes
        samples += goes
    if samples < rules.min_samples_leaf or m - samples < rules.min_samples_leaf:
        return -np.inf, np.int64(cut), threshold
    if rules.entropy:
        proxy = _entropy_proxy(total, right, left, k, node.n, n_right)
        return proxy, np.int64(cut), threshold
    squares_left, squares_right = np.int64(0), np.int64(0)
    for c in range(k):
        squares_left += (total[c] - right[c]) ** 2
        squares_right += right[c] ** 2
    n_left = np.float64(node.n - n_right)
    proxy = _gini_proxy(squares_left, n_left, squares_right, np.float64(n_right))
    return proxy, np.int64(cut), threshold


@compiled
def _layout(matrix: Matrix, m: int) -> tuple[bool, NDArray[np.uint8], int]:
    """Return whether a node of m samples is read by columns, from where, and in which steps."""
    by_column = m > matrix.n // SPARSE
    pixels = matrix.columns if by_column else matrix.rows
    return by_column, pixels, np.uint64(1 if by_column else matrix.d)


@compiled
def _choose_split(
    matrix: Matrix, node: Node, known: int, drawing: Drawing, rules: Rules, scratch: Scratch
) -> tuple[int, int, float, int]:
    """Return a split's column (or -1), highest value on its left and threshold, and how many
    columns are known to be constant.

    Columns are drawn without replacement. `features` holds, in this order, constant columns that
    were drawn, other known constants, newly found ones, columns not yet drawn, and drawn ones.
    """  # noqa: D205
    features, constant_features, state = drawing.features, drawing.constant_features, drawing.state
    m, constants = node.index.size, known
    by_column, pixels, step = _layout(matrix, m)
    best, best_feature, best_cut, best_threshold = -np.inf, -1, -1, 0.0
    undrawn, visited, found, drawn = matrix.d, 0, 0, 0
    while undrawn > constants and (visited < rules.max_features or visited <= found + drawn):
        visited += 1
        pick = drawn + _random_integer(state) % (undrawn - found - drawn)
        if pick < known:
            features[drawn], features[pick] = features[pick], features[drawn]
            drawn += 1
            continue
        pick += found
        f = features[pick]
        base = np.uint64(f * matrix.n if by_column else f)
        level = matrix.levels[f % matrix.levels.shape[0]]
        proxy, below, above, threshold = -np.inf, -1, -1, 0.0
        if rules.random_splits:
            proxy, below, threshold = _at_random(
                pixels, base, step, node, level, state, rules, scratch
            )
        elif best == 0.0:  # nothing can be better, but whether it is constant still matters
            if _is_constant(pixels, base, step, node):
                below = CONSTANT
        elif m <= FEW and not rules.entropy:
            proxy, below, above = _by_sorting(pixels, base, step, node, rules, scratch)
        else:
            proxy, below, above = _by_counting(pixels, base, step, node, rules, scratch)
        if proxy > best:
            if not rules.random_splits:
                threshold = np.float64(level[below]) / 2.0 + np.float64(level[above]) / 2.0
            best, best_feature, best_cut, best_threshold = proxy, f, below, threshold
        if below == CONSTANT:
            features[pick], features[constants] = features[constants], features[pick]
            found += 1
            constants += 1
        else:
            undrawn -= 1
            features[undrawn], features[pick] = features[pick], features[undrawn]
    for i in range(known):
        features[i] = constant_features[i]
    for i in range(known, constants):
        constant_features[i] = features[i]
    return best_feature, best_cut, best_threshold, constants


@compiled
def _partition(
    matrix: Matrix,
    samples: Samples,
    start: int,
    end: int,
    feature: int,
    cut: int,
    total_left: NDArray[np.int64],
) -> int:
    """Bring the samples of the left side to the front, and return where the right side starts.

    `total_left` gets the weight of each class on the left. Both sides keep the order in which their
    rows lie in memory.
    """
    index, label, weight = samples.index, samples.label, samples.weight
    by_column, pixels, step = _layout(matrix, end - start)
    base = np.uint64(feature * matrix.n if by_column else feature)
    middle, right = start, 0
    total_left[:] = 0
    for i in range(start, end):
        at, c, w = index[i], label[i], weight[i]
        goes = pixels[np.uint64(at) * step + base] <= np.uint8(cut)
        index[middle], label[middle], weight[middle] = at, c, w
        samples.spare_index[right], samples.spare_label[right] = at, c
        samples.spare_weight[right] = w
        total_left[c] += np.int64(w) * goes
        middle += goes
        right += 1 - goes
    for i in range(right):
        index[middle + i], label[middle + i] = samples.spare_index[i], samples.spare_label[i]
        weight[middle + i] = samples.spare_weight[i]
    return middle


@compiled
def _samples(labels: NDArray[np.uint8], weights: NDArray[np.uint32]) -> Samples:
    """Return the samples that have any weight."""
    index = np.flatnonzero(weights).astype(np.uint32)
    label, weight = labels[index], weights[index]
    spare = np.empty_like(index), np.empty_like(label), np.empty_like(weight)
    return Samples(index, label, weight, *spare)


@compiled
def _node(
    samples: Samples, start: int, end: int, total: NDArray[np.int64], scratch: Scratch
) -> Node:
    """Return the samples of a node, with the classes that occur numbered anew."""
    number, few = scratch.number, scratch.few
    k, shift = 0, 0
    n, squares = np.int64(0), np.int64(0)
    for c in range(total.size):
        if total[c] > 0:
            number[c], few[k] = k, total[c]
            k += 1
        n += total[c]
        squares += total[c] * total[c]
    while (1 << shift) < k:
        shift += 1
    label = samples.spare_label[: end - start]
    for i in range(end - start):
        label[i] = number[samples.label[start + i]]
    index, weight = samples.index[start:end], samples.weight[start:end]
    return Node(index, label, weight, few, k, shift, squares, n)


@compiled
def grow(
    columns: NDArray[np.uint8],
    rows: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    weights: NDArray[np.uint32],
    levels: NDArray[np.float32],
    seed: int,
    rules: Rules,
    nodes: NDArray[np.void],
    shares: NDArray[np.float64],
) -> tuple[int, int]:
    """Grow one tree, depth first; returns how many nodes it has, and its depth.

    Parameters
    ----------
    columns, rows
        The values of n samples in d columns, as numbers of levels: (d, n) and again as (n, d).
    labels
        Class numbers (n,).
    weights
        How often each sample counts (n,); one with weight 0 is left out.
    levels
        The values themselves, rising: (d, 256), or (1, 256) for all columns.
    seed
        Of the tree's random numbers, as its splitter draws it.
    rules
        The parameters of the tree.
    nodes, shares
        Filled in: scikit-learn's records of nodes, of which there are less than twice as many as
        samples, and the shares of the classes in each (m, k).
    """
    d, n_all = columns.shape
    k = rules.n_classes
    matrix = Matrix(columns.reshape(-1), rows.reshape(-1), levels, n_all, d)
    samples = _samples(labels, weights)
    n = samples.index.size
    drawing = Drawing(np.arange(d), np.empty(d, np.int64), np.empty(1, np.uint64))
    drawing.state[0] = seed
    scratch = Scratch(
        np.zeros(256 * 2 * k, np.uint32),
        np.zeros(256, np.uint32),
        np.empty(n + 1, np.uint32),
        np.empty(n + 1, np.uint8),
        np.empty(257, np.uint8),
        np.empty(k, np.int64),
        np.empty(k, np.int64),
        np.empty((4, 256), np.float64),
        np.empty((256, k), np.int64),
        np.empty(256, np.float64),
        np.empty(FEW, np.uint32),
        np.empty(k, np.uint8),
        np.empty(k, np.int64),
    )
    total, total_left = np.empty(k, np.int64), np.empty(k, np.int64)
    total_weight = np.float64(np.sum(samples.weight))
    stack = np.empty((n + 2, 6), np.int64)  # start, end, depth, parent, is_left, constants
    stack_impurity = np.empty(n + 2, np.float64)
    stack[0, :] = (0, n, 0, -1, 0, 0)
    top, node_id, deepest = 1, 0, 0
    while top > 0:
        top -= 1
        start, end, depth, parent, is_left, known = stack[top]
        m = end - start
        total[:] = 0
        for i in range(start, end):
            total[samples.label[i]] += np.int64(samples.weight[i])
        here = np.float64(total.sum())
        node_impurity = stack_impurity[top]
        if node_id == 0:
            node_impurity = _impurity(total, k, here, rules.entropy)
        leaf = depth >= rules.max_depth or m < rules.min_samples_split
        leaf = leaf or m < 2 * rules.min_samples_leaf or node_impurity <= EPSILON
        column, cut, split_at, constants = -1, -1, 0.0, known
        if not leaf:
            inside = _node(samples, start, end, total, scratch)
            column, cut, split_at, constants = _choose_split(
                matrix, inside, known, drawing, rules, scratch
            )
            leaf = column < 0
        middle, impurity_left, impurity_right = start, 0.0, 0.0
        if not leaf:
            middle = _partition(matrix, samples, start, end, column, cut, total_left)
            w_left = np.float64(total_left.sum())
            w_right = here - w_left
            impurity_left = _impurity(total_left, k, w_left, rules.entropy)
            for c in range(k):
                scratch.right[c] = total[c] - total_left[c]
            impurity_right = _impurity(scratch.right, k, w_right, rules.entropy)
            gain = (here / total_weight) * (
                node_impurity - (w_right / here * impurity_right) - (w_left / here * impurity_left)
            )
            leaf = gain + EPSILON < rules.min_impurity_decrease
        if is_left:
            nodes[parent].left_child = node_id
        elif parent >= 0:
            nodes[parent].right_child = node_id
        node = nodes[node_id]
        node.left_child = node.right_child = -1
        node.feature, node.threshold, node.missing_go_to_left = -2, -2.0, 0
        node.impurity, node.n_node_samples, node.weighted_n_node_samples = node_impurity, m, here
        for c in range(k):
            shares[node_id, c] = np.float64(total[c]) / here
        if not leaf:
            node.feature, node.threshold = column, split_at
            node.missing_go_to_left = middle - start > end - middle
            stack[top, :] = (middle, end, depth + 1, node_id, 0, constants)
            stack[top + 1, :] = (start, middle, depth + 1, node_id, 1, constants)
            stack_impurity[top], stack_impurity[top + 1] = impurity_right, impurity_left
            top += 2
        deepest = max(deepest, depth)
        node_id += 1
    return node_id, deepest
