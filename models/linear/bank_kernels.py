"""Kernels of a bank of linear learners: one design, and a column of weights for each learner.

The design of a vector is a list of (place, value): its standardised numbers at places 0 … n-1, a
constant 1 at place n, then a 1 for each level and for each cross of two levels, at places found by
hashing (Weinberger et al., Feature Hashing for Large Scale Multitask Learning, 2009). What is 0 or
missing is left out.

A place gets a row of weights when it is first learned: `weights[rows[place], slot * members +
member]`, all learners' side by side. Row 0 stands for all places that were never learned. Slot 0
learns the label, slots 1 and 2 learn it on the logit of an offline model. In each slot come first
the members that take AdaGrad steps, then those that take normalised ones, last the one whose steps
find their own length.
"""

from typing import Any

import numba
import numpy as np

from models.linear.autostep_kernels import KEPT, step
from models.linear.places import LEVEL, hashed, sigmoid, transformed
from models.linear.scaling import observe, standardised

SLOTS = 3

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit
def design(
    row: Any, kinds: Any, crosses: Any, scale: Any, size: int, place: Any, value: Any
) -> Any:
    """Fill `place` and `value`; return the number of entries and the sum of their squares.

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
    """Update centre and spread by the row's numbers."""
    for j in range(len(row)):
        if kinds[j] != LEVEL:
            observe(j, transformed(row[j], kinds[j]), scale, first)


@_jit
def respond(weights: Any, rows: Any, place: Any, value: Any, m: int, sums: Any) -> None:
    """Sum of values times weights for each learner; the length of `sums` is their number."""
    columns = len(sums)
    sums[:] = 0.0
    for i in range(m):
        r, v = rows[place[i]], value[i]
        if r != 0:
            for c in range(columns):
                sums[c] += weights[r, c] * v


@_jit
def learn(held: Any, entries: Any, label: float, offsets: Any) -> None:
    """Make one step of each learner in each slot whose offset is a number.

    AdaGrad (Duchi et al., 2011) divides the step at each place by the root of its squared gradients
    so far, so it fades. A normalised step (Nagumo and Noda, 1967) is divided by the squared length
    of the design and never fades. For the last member see `autostep_kernels`.

    Args:
        held: `weights`, float64[room, slots * members]; `memory`, float64[room, slots * (n_adagrad
            + KEPT)], of each slot the sums of squared gradients, then what the last member keeps;
            `rows`, int32[places]; `places`, int64[room], the place of each row; `taken`, int64[1],
            how many rows have one, with room for as many more as there are entries; and the
            members' rates, float64[members].
        entries: The design: `place` and `value` as `design` left them, how many there are, and the
            sum of their squares.
        label: 0 or 1.
        offsets: float64[slots]: the logit added in each slot; NaN: the slot is skipped.
    """
    weights, memory, rows, places, taken, rates = held
    place, value, m, norm = entries
    members, kept = len(rates), memory.shape[1] // SLOTS
    n_adagrad, own = kept - KEPT, members - 1
    last = 0
    for slot in range(SLOTS):
        if not np.isnan(offsets[slot]):
            last = slot + 1
    sums = np.empty(last * members)
    respond(weights, rows, place, value, m, sums)
    for i in range(m):
        if rows[place[i]] == 0:
            taken[0] += 1
            rows[place[i]] = taken[0]
            places[taken[0]] = place[i]
    for slot in range(last):
        if np.isnan(offsets[slot]):
            continue
        begin, squared = slot * members, slot * kept
        p = sigmoid(sums[begin + own] + offsets[slot])
        for c in range(own):
            error = sigmoid(sums[begin + c] + offsets[slot]) - label
            sums[begin + c] = error if c < n_adagrad else rates[c] * error / norm
        for i in range(m):
            r, v = rows[place[i]], value[i]
            for c in range(n_adagrad):
                gradient = sums[begin + c] * v
                total = memory[r, squared + c] + gradient * gradient
                memory[r, squared + c] = total
                weights[r, begin + c] -= rates[c] * gradient / np.sqrt(total + 1e-8)
            for c in range(n_adagrad, own):
                weights[r, begin + c] -= sums[begin + c] * v
        learner = (begin + own, squared + n_adagrad, rates[own])
        step((weights, memory, rows), entries, learner, p - label, p * (1.0 - p))


@_jit
def warm(held: Any, spec: Any, vectors: Any, labels: Any, logits: Any, slot: int) -> None:
    """Teach one slot some labelled vectors; the other slots and the scale stay.

    Args:
        held: See `learn`; with room for one vector's entries.
        spec: `kinds`, `crosses`, `scale` and `size`, see `design`.
        vectors: float64[n, width].
        labels: int64[n].
        logits: float64[n], logits added in the slot; NaN: skip this vector.
        slot: The slot.
    """
    kinds, crosses, scale, size = spec
    most = vectors.shape[1] + 1 + len(crosses)
    place, value = np.empty(most, np.int64), np.empty(most)
    offsets = np.full(SLOTS, np.nan)
    for i in range(len(vectors)):
        m, norm = design(vectors[i], kinds, crosses, scale, size, place, value)
        offsets[slot] = logits[i]
        learn(held, (place, value, m, norm), float(labels[i]), offsets)
