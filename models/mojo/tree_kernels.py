"""Kernels that walk the trees of a MOJO, for one row or many rows together.

A node's left child is the next node and its right child comes later, so every walk ends. Numba
checks signed indices from both ends and compiles `if` to a jump, hence the unsigned arithmetic.
"""

import numpy as np

from models.mojo.link import compiled, inverse_of_trees

CHUNK = 1024
"""Number of rows split together: their columns fit a second-level cache."""

_LEAST_ROWS_A_NODE = 2
_u = np.uint64


@compiled
def score_trees(row, nodes, roots, bits, init, divisor, link, weight_0, weight_1):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, PLR0917
    """Score one row.

    Four trees are walked side by side and without branches: each step waits for memory, and a
    branch on it is unpredictable. This takes less than half the time of one tree after the other.

    Args:
        row: float64[n_columns]; categories as codes, NaN for a missing value.
        nodes: NODE[n].
        roots: int32[n_trees]: each tree's first node.
        bits: uint32[m]: the pool of sets.
        init: Value added to the sum of the leaves.
        divisor: Value that divides the result.
        link: A code of `models.mojo.link`.
        weight_0: Prior share over model share of class 0; 1 if classes were not balanced.
        weight_1: Prior share over model share of class 1, likewise.

    Returns:
        P(second level), or the value of a regression.
    """
    total = 0.0  # leaves are added in H2O's order, on which the rounding depends
    fours = roots.size - roots.size % 4
    for tree in range(0, fours, 4):
        a, b = _u(roots[tree]), _u(roots[tree + 1])
        c, d = _u(roots[tree + 2]), _u(roots[tree + 3])
        moved = True
        while moved:
            next_a, next_b = _step(row, nodes, bits, a), _step(row, nodes, bits, b)
            next_c, next_d = _step(row, nodes, bits, c), _step(row, nodes, bits, d)
            moved = (next_a != a) | (next_b != b) | (next_c != c) | (next_d != d)
            a, b, c, d = next_a, next_b, next_c, next_d
        total += nodes[a].value
        total += nodes[b].value
        total += nodes[c].value
        total += nodes[d].value
    for tree in range(fours, roots.size):
        at, below = _u(roots[tree]), _step(row, nodes, bits, _u(roots[tree]))
        while below != at:
            at, below = below, _step(row, nodes, bits, below)
        total += nodes[at].value
    return _prediction(total, init, divisor, link, weight_0, weight_1)


@compiled
def score_trees_many(rows, nodes, roots, bits, init, divisor, link, weight_0, weight_1):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, PLR0917
    """Score rows, float64[n, n_columns]; equal to `score_trees` to the last bit.

    All rows go through a tree together: each node splits the list of rows that reached it, and no
    step waits for the one before it. This takes about a third of the time of one row after the
    other, unless trees are so large that few rows reach a node.

    Args:
        rows: float64[n, n_columns].
        nodes: See `score_trees`.
        roots: See `score_trees`.
        bits: See `score_trees`.
        init: See `score_trees`.
        divisor: See `score_trees`.
        link: See `score_trees`.
        weight_0: See `score_trees`.
        weight_1: See `score_trees`.

    Returns:
        float64[n].
    """
    n = rows.shape[0]
    out = np.zeros(n)
    columns = np.empty((rows.shape[1], min(n, CHUNK)))
    places = np.empty((2, min(n, CHUNK)), np.uint32)
    waiting = np.empty((nodes.size // 2 + 2, 3), np.uint64)
    for begin in range(0, n, CHUNK):
        end = min(n, begin + CHUNK)
        if (end - begin) * roots.size < _LEAST_ROWS_A_NODE * nodes.size:
            for i in range(begin, end):
                out[i] = score_trees(
                    rows[i], nodes, roots, bits, init, divisor, link, weight_0, weight_1
                )
            continue
        for column in range(rows.shape[1]):
            for i in range(begin, end):
                columns[column, i - begin] = rows[i, column]
        total = out[begin:end]
        for tree in range(roots.size):  # in H2O's order
            _add_tree(total, columns, nodes, _u(roots[tree]), bits, places, waiting)
        for i in range(begin, end):
            out[i] = _prediction(out[i], init, divisor, link, weight_0, weight_1)
    return out


@compiled
def _prediction(total, init, divisor, link, weight_0, weight_1):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    prediction = inverse_of_trees(link, (total + init) / divisor)
    if weight_0 == weight_1:
        return prediction
    positive = prediction * weight_1
    return positive / ((1.0 - prediction) * weight_0 + positive)


@compiled
def _step(row, nodes, bits, at):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    node = nodes[at]
    value = row[_u(node.column)]
    at_bits = _u(node.bits)
    positive = max(-1.0, value)  # also turns NaN into -1
    code = np.int64(min(2000000000.0, positive)) - np.int64(bits[at_bits])
    known = _u(_u(code) < _u(bits[at_bits + _u(1)]))
    k = _u(code) & (_u(0) - known)
    bit = _u(bits[at_bits + _u(2) + (k >> _u(5))]) >> (k & _u(31))
    compared = _u(value >= node.value) | (_u(node.na_right) & _u(value != value))  # noqa: PLR0124
    right = (bit & known) | (compared & (known ^ _u(1)))
    return at + _u(node.split) + ((_u(0) - right) & _u(np.int64(node.stride)))


@compiled
def _in_set(value, bits, at_bits, low, span, na_right):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    code = _u(np.int64(min(2000000000.0, max(-1.0, value))) - low)  # NaN becomes -1
    known = _u(code < span)
    k = code & (_u(0) - known)
    bit = _u(bits[at_bits + _u(2) + (k >> _u(5))]) >> (k & _u(31))
    return (bit & known & _u(1)) | (na_right & (known ^ _u(1)))


@compiled
def _add_tree(total, columns, nodes, root, bits, places, waiting):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Add each row's leaf to its total; `waiting` holds nodes with the range of their rows."""
    order = places[0]
    for i in range(total.size):
        order[i] = i
    waiting[0, 0], waiting[0, 1], waiting[0, 2] = root, 0, total.size
    depth = 1
    while depth > 0:
        depth -= 1
        at, begin, end = waiting[depth, 0], waiting[depth, 1], waiting[depth, 2]
        node = nodes[at]
        if node.split == 0:
            for k in range(begin, end):
                total[_u(order[k])] += node.value
            continue
        left, right = at + _u(1), at + _u(1) + _u(node.stride)
        column = columns[_u(node.column)]
        by_set = bits[_u(node.bits) + _u(1)] > 0
        if not by_set and nodes[left].split == 0 and nodes[right].split == 0:
            _add_leaves(
                total,
                order[begin:end],
                column,
                node,
                np.float64(nodes[left].value),
                np.float64(nodes[right].value),
            )
            continue
        if by_set:
            n_right = _split_levels(order[begin:end], places[1], column, node, bits)
        else:
            n_right = _split_numbers(order[begin:end], places[1], column, node)
        middle = end - n_right
        for k in range(n_right):
            order[middle + k] = places[1, k]
        waiting[depth, 0], waiting[depth, 1], waiting[depth, 2] = right, middle, end
        depth += middle < end
        waiting[depth, 0], waiting[depth, 1], waiting[depth, 2] = left, begin, middle
        depth += begin < middle


@compiled
def _split_numbers(order, right, column, node):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Keep rows that go left in front, copy the others to `right`, and return their number.

    Each list is written at every row, so that there is no branch to predict; each meaning of NaN
    has a loop of its own, so that none is tested per row.
    """
    threshold = np.float64(node.value)
    n = _u(0)
    if node.na_right == 0:
        for k in range(_u(order.size)):
            i = order[k]
            order[k - n] = right[n] = i
            n += _u(column[_u(i)] >= threshold)
    elif threshold == threshold:  # noqa: PLR0124
        for k in range(_u(order.size)):
            i = order[k]
            order[k - n] = right[n] = i
            n += _u(not column[_u(i)] < threshold)
    else:
        for k in range(_u(order.size)):
            i = order[k]
            order[k - n] = right[n] = i
            n += _u(np.isnan(column[_u(i)]))
    return n


@compiled
def _split_levels(order, right, column, node, bits):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    at_bits, na_right = _u(node.bits), _u(node.na_right)
    low, span = np.int64(bits[at_bits]), _u(bits[at_bits + _u(1)])
    n = _u(0)
    for k in range(_u(order.size)):
        i = order[k]
        order[k - n] = right[n] = i
        n += _in_set(column[_u(i)], bits, at_bits, low, span, na_right)
    return n


@compiled
def _add_leaves(total, order, column, node, left, right):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Add both leaves of a path's last split directly."""
    threshold, na_right = np.float64(node.value), node.na_right != 0
    for k in range(_u(order.size)):
        i = _u(order[k])
        value = column[i]
        goes_right = (value >= threshold) | (na_right & (value != value))  # noqa: PLR0124
        total[i] += right if goes_right else left
