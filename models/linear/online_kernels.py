"""Compiled arithmetic of the linear models: one design, several weight vectors.

The design of a feature vector is a list of (place, value): the standardised numbers at places
0 … n-1, a constant 1 at place n, then a 1 for each level and for each cross of two levels, at
places found by hashing (Weinberger et al., Feature Hashing for Large Scale Multitask Learning,
2009).
"""

from typing import Any, Literal

import numba
import numpy as np

Kind = Literal["identity", "log1p", "logit", "level"]
IDENTITY, LOG1P, LOGIT, LEVEL = 0, 1, 2, 3
KINDS: dict[Kind, int] = {"identity": IDENTITY, "log1p": LOG1P, "logit": LOGIT, "level": LEVEL}
HASHED_PLACES = 2**18
"""For levels and crosses, in each learner's weights."""
COUNT, MEAN, VARIANCE = 0, 1, 2
CLIP = 5.0
BEYOND = 1e100
"""A number further from 0 counts as this, so that the squares summed up of all stay finite."""

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit
def design(
    row: Any, kinds: Any, crosses: Any, scale: Any, size: int, place: Any, value: Any
) -> Any:
    """Fill `place` and `value`; return how many entries the design has.

    `size`, the number of hashed places, is a power of two. Missing numbers stand at their mean,
    missing levels add no entry.
    """
    n = len(row)
    for j in range(n):
        z = 0.0
        if kinds[j] != LEVEL:
            x = transformed(row[j], kinds[j])
            if not np.isnan(x) and scale[j, VARIANCE] > 0.0:
                z = (x - scale[j, MEAN]) / scale[j, VARIANCE] ** 0.5
                z = min(max(z, -CLIP), CLIP)
        place[j] = j
        value[j] = z
    place[n] = n
    value[n] = 1.0
    m = n + 1
    for j in range(n):
        if kinds[j] == LEVEL and not np.isnan(row[j]):
            place[m] = n + 1 + hashed(j, np.int64(row[j]), -1, size)
            value[m] = 1.0
            m += 1
    for k in range(len(crosses)):
        a, b = row[crosses[k, 0]], row[crosses[k, 1]]
        if not np.isnan(a) and not np.isnan(b):
            place[m] = n + 1 + hashed(n + k, np.int64(a), np.int64(b), size)
            value[m] = 1.0
            m += 1
    return m


@_jit
def rescale(row: Any, kinds: Any, scale: Any) -> None:
    """Take the row's numbers into the running mean and variance (Welford, 1962)."""
    for j in range(len(row)):
        if kinds[j] == LEVEL:
            continue
        x = transformed(row[j], kinds[j])
        if np.isnan(x):
            continue
        scale[j, COUNT] += 1.0
        old = scale[j, MEAN]
        scale[j, MEAN] += (x - old) / scale[j, COUNT]
        change = (x - old) * (x - scale[j, MEAN]) - scale[j, VARIANCE]
        scale[j, VARIANCE] += change / scale[j, COUNT]


@_jit
def dot(weights: Any, place: Any, value: Any, m: int) -> Any:
    """Sum of the design's values times their weights, in order."""
    total = 0.0
    for i in range(m):
        total += weights[place[i], 0] * value[i]
    return total


@_jit
def adagrad(weights: Any, place: Any, value: Any, m: int, error: float, rate: float) -> None:
    """One AdaGrad step (Duchi et al., 2011) on a log-loss gradient of `error * value`."""
    for i in range(m):
        gradient = error * value[i]
        weights[place[i], 1] += gradient * gradient
        weights[place[i], 0] -= rate / (weights[place[i], 1] + 1e-8) ** 0.5 * gradient


@_jit
def predict(row: Any, spec: Any, scale: Any, online: Any, residual: Any, room: Any) -> Any:
    """The online model's logit and the residual model's correction."""
    kinds, crosses, size = spec
    place, value = room
    m = design(row, kinds, crosses, scale, size, place, value)
    return dot(online, place, value, m), dot(residual, place, value, m)


@_jit
def learn(
    row: Any,
    label: float,
    offset: float,
    spec: Any,
    scale: Any,
    weights: Any,
    rates: Any,
    room: Any,
) -> None:
    """Teach both models; `offset` is the offline logit, NaN when there was no offline model."""
    kinds, crosses, size = spec
    place, value = room
    online, residual = weights
    rescale(row, kinds, scale)
    m = design(row, kinds, crosses, scale, size, place, value)
    error = sigmoid(dot(online, place, value, m)) - label
    adagrad(online, place, value, m, error, rates[0])
    if not np.isnan(offset):
        error = sigmoid(offset + dot(residual, place, value, m)) - label
        adagrad(residual, place, value, m, error, rates[1])


@_jit
def sigmoid(logit: float) -> Any:
    """1 / (1 + exp(-logit)) without overflow."""
    if logit >= 0.0:
        return 1.0 / (1.0 + np.exp(-logit))
    e = np.exp(logit)
    return e / (1.0 + e)


@_jit
def transformed(x: float, kind: int) -> Any:
    """A number as its column wants it seen; NaN stays NaN."""
    if np.isnan(x):
        return x
    x = min(max(x, -BEYOND), BEYOND)
    if kind == LOG1P:
        return np.log1p(max(x, 0.0))
    if kind == LOGIT:
        p = min(max(x, 1e-6), 1.0 - 1e-6)
        return np.log(p / (1.0 - p))
    return x


@_jit
def hashed(which: int, a: Any, b: Any, size: int) -> Any:
    """A place for level `a` of column `which`, or for the pair (a, b) of cross `which`."""
    h = np.uint64(which) * np.uint64(0x9E3779B97F4A7C15)
    h = (h ^ np.uint64(a + 1)) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(29)) ^ np.uint64(b + 1)) * np.uint64(0x94D049BB133111EB)
    return np.int64((h ^ (h >> np.uint64(31))) & np.uint64(size - 1))
