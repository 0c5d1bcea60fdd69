"""Kernels from a vector to all probabilities in one compiled call.

Numba takes 100-200 ns to accept an array, so callers pass tables of addresses instead; the owner of
a table keeps the arrays it points to alive and in place.
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
from models.judging import betting
from models.judging import drift as drifts
from models.judging import histograms as judged
from models.judging.drift import MEMORY, Detectors, alarming, detect
from models.judging.histograms import BINS, count
from models.linear import (
    autostep_kernels,
    bank_kernels,
    ensemble_kernels,
    mixture_kernels,
    places,
    scaling,
)
from models.linear import bank as learners
from models.linear import contest as contests
from models.linear import mixture as parts_of
from models.linear.autostep_kernels import KEPT
from models.linear.bank import ADAGRAD, MEMBERS, NEWEST, OLDER
from models.linear.bank_kernels import SLOTS, design, learn, rescale, respond
from models.linear.contest import SHAPE, contend
from models.linear.ensemble_kernels import GROUP_INPUTS, INPUTS
from models.linear.ensemble_kernels import answer as answered
from models.linear.ensemble_kernels import learn as weighed
from models.linear.mixture import NEWEST_OFFLINE, OLDER_OFFLINE, PARTS, STACKS, SWITCHING
from models.linear.mixture_kernels import logit
from models.linear.places import sigmoid
from models.linear.scaling import FIRST
from models.mojo import glm as mojo_glm
from models.mojo import link as mojo_link
from models.mojo import tree_bytes as mojo_tree_bytes
from models.mojo import tree_kernels as mojo_tree_kernels
from models.mojo.glm import score_glm
from models.mojo.tree_bytes import NODE
from models.mojo.tree_kernels import score_trees
from models.pointer_tables import BANK, ENSEMBLE, GIVEN, NO_MODEL, OFFLINE, TREES

# Not cached on disk by themselves: only `blend` knows when they must be compiled again.
_inner = njit(nogil=True, error_model="numpy")
# Without `nogil`: releasing the lock for a microsecond makes a request wait long to get it back.
_holding = njit(cache=True, error_model="numpy")
_Blend = Callable[..., tuple[float, float, float, float, bool]]
_RATES, _STACKS, _FADING = len(SWITCHING), len(STACKS), len(ADAGRAD)
_OLDER_PARTS, _NEWEST_PARTS = parts_of.OLDER.start, parts_of.NEWEST.start
_intrinsic: Callable[[Any], Any] = intrinsic


@_intrinsic
def _pointer(typing: Any, address: Any) -> Any:  # noqa: ARG001 - as numba calls it
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.voidptr(types.int64), generate


@_inner
def _bank(model: Any) -> Any:
    """The arrays for `learn`, and those for `design`."""
    width, room = model.width, model.room
    held = (
        carray(_pointer(model.weights), (room, SLOTS * MEMBERS), np.float64),
        carray(_pointer(model.memory), (room, SLOTS * (_FADING + KEPT)), np.float64),
        carray(_pointer(model.rows), width + 1 + model.hashed, np.int32),
        carray(_pointer(model.places), room, np.int64),
        carray(_pointer(model.taken), 1, np.int64),
        carray(_pointer(model.rates), MEMBERS, np.float64),
    )
    kinds = carray(_pointer(model.kinds), width, np.int64)
    crosses = carray(_pointer(model.crosses), (model.n_crosses, 2), np.int64)
    scale = carray(_pointer(model.scale), (width, 3), np.float64)
    return held, (kinds, crosses, scale, model.hashed)


@_inner
def _ensemble(model: Any) -> Any:
    """The arrays for the ensemble's kernels."""
    rivers = model.rivers
    return (
        carray(_pointer(model.shares), (_RATES, PARTS + rivers), np.float64),
        carray(_pointer(model.trust), _RATES, np.float64),
        carray(_pointer(model.online), (_RATES, MEMBERS + rivers), np.float64),
        carray(_pointer(model.online_trust), _RATES, np.float64),
        carray(_pointer(model.residual), (_RATES, MEMBERS), np.float64),
        carray(_pointer(model.residual_trust), _RATES, np.float64),
        carray(_pointer(model.older), (_RATES, MEMBERS), np.float64),
        carray(_pointer(model.older_trust), _RATES, np.float64),
        carray(_pointer(model.stacks), (INPUTS + rivers + 1, _STACKS), np.float64),
        carray(_pointer(model.group_stacks), (GROUP_INPUTS + 1, _STACKS), np.float64),
    )


@_inner
def _entries(row: Any, spec: Any) -> Any:
    kinds, crosses, scale, hashed = spec
    most = len(row) + 1 + len(crosses)
    place, value = np.empty(most, np.int64), np.empty(most)
    m, norm = design(row, kinds, crosses, scale, hashed, place, value)
    return place, value, m, norm


@_inner
def _all_parts(row: Any, bank: Any, newest: Any, older: Any, newest_slot: int, parts: Any) -> None:
    """Compute the logits of the learners, alone and on the logits of the offline models.

    Args:
        row: The vector.
        bank: BANK.
        newest: Probability of the newest offline model; not finite if it gives none.
        older: Probability of the older offline model; not finite if it gives none.
        newest_slot: Slot of the learners that correct the newest one.
        parts: float64[PARTS + rivers].
    """
    held, spec = _bank(bank)
    place, value, m, _ = _entries(row, spec)
    has_newest, has_older = np.isfinite(newest), np.isfinite(older)
    slots = 1
    if has_newest:
        slots = newest_slot + 1
    if has_older:
        slots = SLOTS
    sums = np.empty(slots * MEMBERS)
    respond(held[0], held[2], place, value, m, sums)
    for c in range(MEMBERS):
        parts[c] = sums[c]
        parts[_NEWEST_PARTS + c] = np.nan
        parts[_OLDER_PARTS + c] = np.nan
    parts[NEWEST_OFFLINE] = parts[OLDER_OFFLINE] = np.nan
    if has_newest:
        parts[NEWEST_OFFLINE] = logit(newest)
        for c in range(MEMBERS):
            parts[_NEWEST_PARTS + c] = sums[newest_slot * MEMBERS + c] + parts[NEWEST_OFFLINE]
    if has_older:
        parts[OLDER_OFFLINE] = logit(older)
        for c in range(MEMBERS):
            parts[_OLDER_PARTS + c] = sums[OLDER * MEMBERS + c] + parts[OLDER_OFFLINE]


@_inner
def _given(row: Any, address: Any, given: Any) -> Any:
    """An offline model's probability (NaN if there is none), and whether it lacks a level."""
    model = carray(_pointer(address), 1, OFFLINE)[0]
    if model.kind == NO_MODEL:
        return np.nan, False
    if model.kind == GIVEN:
        return given, False
    return _offline(row, model)


@_inner
def _offline(row: Any, model: Any) -> Any:
    """The offline model's probability, and whether a level's number is beyond its table."""
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
def _detectors(address: int) -> Any:
    memory = carray(_pointer(address), MEMORY, np.float64)
    return Detectors(memory[0], memory[1], memory[2], memory[3])


def _entries_of(source: str) -> tuple[_Blend, Callable[..., NDArray[np.float64]], Any, Any]:
    """Make the kernels; `source` is part of the key of their compiled code.

    Numba keys compiled code by the function's own file, and would miss a change in a function that
    it calls in another file.
    """

    @_holding
    def blend(  # noqa: PLR0917 - a tuple takes numba longer than its numbers do
        row: Any, bank: int, ensemble: int, newest: int, older: int, given: float,
        older_given: float, newest_slot: int, parts: int,
    ) -> Any:  # fmt: skip
        _ = source
        p, beyond = _given(row, newest, given)
        q, older_beyond = _given(row, older, older_given)
        mixed = carray(_pointer(ensemble), 1, ENSEMBLE)[0]
        said = carray(_pointer(parts), PARTS + mixed.rivers, np.float64)
        _all_parts(row, carray(_pointer(bank), 1, BANK)[0], p, q, newest_slot, said)
        probability, online, residual = answered(said, _ensemble(mixed))
        if not np.isfinite(p):
            p = np.nan
        return probability, online, p, residual, beyond | older_beyond

    @njit(nogil=True, cache=True, error_model="numpy")
    def blend_many(
        rows: Any, bank: int, ensemble: int, newest: Any, older: Any, newest_slot: int
    ) -> Any:
        _ = source
        found, said = np.empty((len(rows), 4)), np.empty(PARTS)
        model = carray(_pointer(bank), 1, BANK)[0]
        held = _ensemble(carray(_pointer(ensemble), 1, ENSEMBLE)[0])
        for i in range(len(rows)):
            _all_parts(rows[i], model, newest[i], older[i], newest_slot, said)
            found[i, 0], found[i, 1], found[i, 3] = answered(said, held)
            found[i, 2] = newest[i] if np.isfinite(newest[i]) else np.nan
        return found

    @_holding
    def teach(row: Any, bank: int, label: int, newest: float, older: float) -> None:
        _ = source
        model = carray(_pointer(bank), 1, BANK)[0]
        held, spec = _bank(model)
        first = carray(_pointer(model.first), (model.width, FIRST), np.float64)
        rescale(row, spec[0], spec[2], first)
        offsets = np.zeros(SLOTS)
        offsets[NEWEST], offsets[OLDER] = newest, older
        learn(held, _entries(row, spec), float(label), offsets)

    @_holding
    def weigh(  # noqa: PLR0913, PLR0917 - a tuple takes numba longer than its numbers do
        parts: int, ensemble: int, label: int, newest_at: int, older_at: int, contest: int,
        drift: int, doubts: int, counts: int, probability: float, event_time: float, limit: float,
    ) -> Any:  # fmt: skip
        _ = source
        mixed = carray(_pointer(ensemble), 1, ENSEMBLE)[0]
        said = carray(_pointer(parts), PARTS + mixed.rivers, np.float64)
        if contest:
            state = carray(_pointer(contest), SHAPE, np.float64)
            contend(said, label, state)
        weighed(said, float(label), _ensemble(mixed), newest_at, older_at)
        if not drift:
            return -1
        if doubts:
            newest = sigmoid(said[NEWEST_OFFLINE])
            if not np.isnan(newest):
                detect(_detectors(doubts), label, newest, event_time, limit)
        count(carray(_pointer(counts), (2, BINS), np.float64), label, probability)
        detectors = _detectors(drift)
        detect(detectors, label, probability, event_time, limit)
        return alarming(detectors, limit)

    return blend, blend_many, teach, weigh


_CALLED = (
    addresses,
    autostep_kernels,
    bank_kernels,
    betting,
    contests,
    drifts,
    judged,
    learners,
    ensemble_kernels,
    logits,
    mixture_kernels,
    mojo_glm,
    mojo_link,
    mojo_tree_bytes,
    mojo_tree_kernels,
    parts_of,
    places,
    scaling,
)
blend, blend_many, teach, weigh = _entries_of("".join(map(inspect.getsource, _CALLED)))
"""`blend`: all probabilities of a vector.

Args:
    row: float64, the vector.
    bank: Address of BANK.
    ensemble: Address of ENSEMBLE.
    newest: Address of OFFLINE for the newest offline model.
    older: Address of OFFLINE for the older one.
    given: The newest model's probability if its kind is `GIVEN`.
    older_given: The older model's probability if its kind is `GIVEN`.
    newest_slot: Slot of the learners that correct the newest one.
    parts: Address of float64[PARTS + rivers], where the logits of all parts are left; those of the
        River classifiers must be there already.

Returns:
    Probabilities of the ensemble, the online group, the newest offline model and the residual
    group; NaN if there is none or the offline model's is not finite. And whether a level's number
    is beyond an offline model's table.

`blend_many`: the same for many vectors, float64[n, 4], without River classifiers, given the offline
probabilities. `teach`: the learners learn from a labelled vector and its offline logits, NaN if
there are none. `weigh`: the ensemble learns from the parts of a request's answer, after the contest
of its offline models has bet on the label (0: no contest); then the detectors of drift see the
newest offline model's answer and the ensemble's (0: none), and the kind of an alarm of the latter
is returned, or -1.
"""
