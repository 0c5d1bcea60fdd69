"""Compiled arithmetic of a bank of linear learners: one design, a column of weights for each.

The design of a vector is a list of (place, value): its standardised numbers at places 0 … n-1, a
constant 1 at place n, then a 1 for each level and for each cross of two levels, at places found by
hashing (Weinberger et al., Feature Hashing for Large Scale Multitask Learning, 2009). What is 0 or
missing is left out.

Weights lie by place, all learners' side by side: `weights[place, slot * members + member]`. Slot 0
learns the label, slots 1 and 2 learn it on the logit of an offline model. In each slot the members
that take AdaGrad steps come first.
"""

from typing import Any

import numba
import numpy as np

from models.linear.online_kernels import LEVEL, hashed, sigmoid, transformed
from models.linear.scaling import observe, standardised

SLOTS = 3

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit
def design(
    row: Any, kinds: Any, crosses: Any, scale: Any, size: int, place: Any, value: Any
) -> Any:
    """Fill `place` and `value`; return how many entries there are, and the sum of their squares.

    `size`, the number of hashed places, is a power of two.
    """
    n = len(row)
    place[0], value[0] = n, 1.0
    m, norm = 1, 1.0
    for j in range(n):
        if kinds[j] != LEVEL:
            z = standardised(j, transformed(row[j], kinds[j]), scale)
            if z != 0.0:
                place[m], value[m] = j, z
                m += 1
                norm += z * z
        elif not np.isnan(row[j]):
            place[m] = n + 1 + hashed(j, np.int64(row[j]), -1, size)
            value[m] = 1.0
            m += 1
            norm += 1.0
    for k in range(len(crosses)):
        a, b = row[crosses[k, 0]], row[crosses[k, 1]]
        if not np.isnan(a) and not np.isnan(b):
            place[m] = n + 1 + hashed(n + k, np.int64(a), np.int64(b), size)
            value[m] = 1.0
            m += 1
            norm += 1.0
    return m, norm


@_jit
def rescale(row: Any, kinds: Any, scale: Any, first: Any) -> None:
    """Take the row's numbers into centre and spread."""
    for j in range(len(row)):
        if kinds[j] != LEVEL:
            observe(j, transformed(row[j], kinds[j]), scale, first)


@_jit
def respond(weights: Any, place: Any, value: Any, m: int, sums: Any) -> None:
    """Each learner's sum of values times weights; `sums` says for how many learners."""
    columns = len(sums)
    sums[:] = 0.0
    for i in range(m):
        p, v = place[i], value[i]
        for c in range(columns):
            sums[c] += weights[p, c] * v


@_jit
def learn(
    weights: Any, squares: Any, entries: Any, label: float, offsets: Any, rates: Any, sums: Any
) -> None:
    """One step of each learner of each slot whose offset is a number.

    AdaGrad (Duchi et al., 2011) divides the step at each place by the root of its squared gradients
    so far, so it fades. A normalised step (Nagumo and Noda, 1967) is divided by the squared length
    of the design and never fades.

    Args:
        weights: float64[places, slots * members].
        squares: float64[places, slots * n_adagrad], sums of squared gradients.
        entries: The design: `place` and `value` as `design` left them, how many there are, and the
            sum of their squares.
        label: 0 or 1.
        offsets: float64[slots]: the logit on which each slot learns, NaN where it rests.
        rates: float64[members].
        sums: float64[slots * members], working memory.
    """
    place, value, m, norm = entries
    members, n_adagrad = len(rates), squares.shape[1] // SLOTS
    respond(weights, place, value, m, sums)
    for slot in range(SLOTS):
        if np.isnan(offsets[slot]):
            continue
        begin, squared = slot * members, slot * n_adagrad
        for c in range(members):
            error = sigmoid(sums[begin + c] + offsets[slot]) - label
            sums[begin + c] = error if c < n_adagrad else rates[c] * error / norm
        for i in range(m):
            p, v = place[i], value[i]
            for c in range(n_adagrad):
                gradient = sums[begin + c] * v
                total = squares[p, squared + c] + gradient * gradient
                squares[p, squared + c] = total
                weights[p, begin + c] -= rates[c] * gradient / np.sqrt(total + 1e-8)
            for c in range(n_adagrad, members):
                weights[p, begin + c] -= sums[begin + c] * v
