"""Places of a vector's columns among a linear learner's weights, and transforms of numbers."""

from typing import Any, Literal

import numba
import numpy as np

Kind = Literal["identity", "log1p", "logit", "level"]
IDENTITY, LOG1P, LOGIT, LEVEL = 0, 1, 2, 3
KINDS: dict[Kind, int] = {"identity": IDENTITY, "log1p": LOG1P, "logit": LOGIT, "level": LEVEL}
HASHED_PLACES = 2**18
"""Number of hashed places for levels and crosses, in each learner's weights."""
BEYOND = 1e100
"""Bound on numbers, so that sums of their squares stay finite."""

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit
def sigmoid(logit: float) -> Any:
    """1 / (1 + exp(-logit)) without overflow."""
    if logit >= 0.0:
        return 1.0 / (1.0 + np.exp(-logit))
    e = np.exp(logit)
    return e / (1.0 + e)


@_jit
def transformed(x: float, kind: int) -> Any:
    """A number transformed as its column declares; NaN stays NaN."""
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
