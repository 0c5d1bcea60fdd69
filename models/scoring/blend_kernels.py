"""From a vector to all probabilities in one compiled call.

Numba takes 100-200 ns to accept an array, so a caller passes tables of addresses instead; whoever
makes a table keeps alive, and in place, what it points to.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic
from numba.np.numpy_support import carray
from numpy.typing import NDArray

from models import logits
from models import pointer_tables as addresses
from models.linear import online_kernels
from models.linear.online_kernels import design, dot
from models.logits import LEAST
from models.mojo import glm as mojo_glm
from models.mojo import link as mojo_link
from models.mojo import tree_bytes as mojo_tree_bytes
from models.mojo import tree_kernels as mojo_tree_kernels
from models.mojo.glm import score_glm
from models.mojo.tree_bytes import NODE
from models.mojo.tree_kernels import score_trees
from models.pointer_tables import GIVEN, LINEAR, NO_MODEL, OFFLINE, TREES

# Not kept on disk by themselves: only `blend` knows when they must be compiled anew.
_inner = njit(nogil=True, error_model="numpy")
# A request that lets go of the interpreter's lock for a microsecond waits long to have it back.
_holding = njit(cache=True, error_model="numpy")
_Blend = Callable[..., tuple[float, float, float, float, bool]]
_intrinsic: Callable[[Any], Any] = intrinsic


@_intrinsic
def _pointer(typing: Any, address: Any) -> Any:  # noqa: ARG001 - as numba calls it
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.voidptr(types.int64), generate


@_inner
def _logit(probability: Any) -> Any:
    p = min(max(probability, LEAST), 1.0 - LEAST)
    return np.log(p / (1.0 - p))


@_inner
def _sigmoid(logit: Any) -> Any:
    if logit >= 0.0:
        return 1.0 / (1.0 + np.exp(-logit))
    e = np.exp(logit)
    return e / (1.0 + e)


@_inner
def _linear(row: Any, address: Any) -> Any:
    """The online model's logit and the residual model's correction."""
    model = carray(_pointer(address), 1, LINEAR)[0]
    width, n_crosses = model.width, model.n_crosses
    kinds = carray(_pointer(model.kinds), width, np.int64)
    crosses = carray(_pointer(model.crosses), (n_crosses, 2), np.int64)
    scale = carray(_pointer(model.scale), (width, 3), np.float64)
    n_weights = width + 1 + model.hashed
    online = carray(_pointer(model.online), (n_weights, 2), np.float64)
    residual = carray(_pointer(model.residual), (n_weights, 2), np.float64)
    most = 2 * width + 1 + n_crosses
    place, value = np.empty(most, np.int64), np.empty(most)
    m = design(row, kinds, crosses, scale, model.hashed, place, value)
    return dot(online, place, value, m), dot(residual, place, value, m)


@_inner
def _offline(row: Any, model: Any) -> Any:
    """The offline model's probability, and whether a level had a number beyond those it knows."""
    width = model.width
    places = carray(_pointer(model.places), width, np.int64)
    levels = carray(_pointer(model.levels), (width, 2), np.int64)
    codes = carray(_pointer(model.codes), model.n_codes, np.float64)
    own = np.empty(width)
    beyond = False
    for j in range(width):
        value = row[places[j]]
        begin = levels[j, 0]
        if begin >= 0 and not np.isnan(value):
            at = begin + np.int64(value)
            if at < levels[j, 1]:
                value = codes[at]
            else:
                value = np.nan
                beyond = True
        own[j] = value
    if model.kind == TREES:
        nodes = carray(_pointer(model.a), model.n_a, NODE)
        roots = carray(_pointer(model.b), model.n_b, np.int32)
        bits = carray(_pointer(model.c), model.n_c, np.uint32)
        p = score_trees(
            own, nodes, roots, bits,
            model.init, model.divisor, model.link, model.weight_0, model.weight_1,
        )  # fmt: skip
    else:
        factors = carray(_pointer(model.a), (model.n_a, 3), np.int64)
        means = carray(_pointer(model.b), model.n_b, np.float64)
        beta = carray(_pointer(model.c), model.n_c, np.float64)
        p = score_glm(own, factors, means, beta, model.skipped, model.link)
    return p, beyond


@_inner
def _blended(online: Any, offline: Any, residual: Any, weights: Any) -> Any:
    return _sigmoid(
        weights[0] * _logit(online)
        + weights[1] * _logit(offline)
        + weights[2] * _logit(residual)
        + weights[3]
    )


def _blends_of(source: str) -> tuple[_Blend, Callable[..., NDArray[np.float64]]]:
    """The kernels; `source` is part of what their compiled code is kept under.

    Numba keeps compiled code by the file of the function alone: a change in what it calls, in
    another file, would go unseen.
    """

    @_holding
    def blend(
        row: Any, linear: int, offline: int, given: float, online_weight: float,
        offline_weight: float, residual_weight: float, constant: float,
    ) -> Any:  # fmt: skip
        _ = source
        online_logit, correction = _linear(row, linear)
        online = _sigmoid(online_logit)
        model = carray(_pointer(offline), 1, OFFLINE)[0]
        if model.kind == NO_MODEL:
            return online, online, np.nan, np.nan, False
        p, beyond = (given, False) if model.kind == GIVEN else _offline(row, model)
        if not np.isfinite(p):
            return online, online, np.nan, np.nan, beyond
        residual = _sigmoid(_logit(p) + correction)
        weights = online_weight, offline_weight, residual_weight, constant
        return _blended(online, p, residual, weights), online, p, residual, beyond

    @njit(nogil=True, cache=True, error_model="numpy")
    def blend_many(rows: Any, linear: int, offline: Any, weights: Any) -> Any:
        _ = source
        found = np.empty((len(rows), 4))
        for i in range(len(rows)):
            online_logit, correction = _linear(rows[i], linear)
            online = _sigmoid(online_logit)
            if not np.isfinite(offline[i]):
                found[i, 0], found[i, 1], found[i, 2], found[i, 3] = online, online, np.nan, np.nan
                continue
            residual = _sigmoid(_logit(offline[i]) + correction)
            found[i, 0] = _blended(online, offline[i], residual, weights)
            found[i, 1], found[i, 2], found[i, 3] = online, offline[i], residual
        return found

    return blend, blend_many


_CALLED = (
    addresses,
    logits,
    mojo_glm,
    mojo_link,
    mojo_tree_bytes,
    mojo_tree_kernels,
    online_kernels,
)
blend, blend_many = _blends_of("".join(inspect.getsource(module) for module in _CALLED))
"""`blend`: all probabilities of a vector.

Args:
    row: float64, the vector.
    linear: Address of LINEAR.
    offline: Address of OFFLINE.
    given: The offline probability, where the kind is `GIVEN`.
    online_weight: The ensemble's, of each model's logit.
    offline_weight: Likewise.
    residual_weight: Likewise.
    constant: Likewise.

Returns:
    Those of the ensemble, online, offline and residual model, NaN where there is none or the
    offline model's is not finite; and whether a level had a number beyond those that the offline
    model's table knows.

`blend_many`: those of many vectors, float64[n, 4]; the offline probabilities are given, the weights
are a tuple.
"""
