"""Kernels of the ensemble: from the logits of its parts to one probability, and learning.

`held` is what `models.linear.ensemble.Ensemble` holds: shares and trust of the mixture of all
parts, of the online group's, the residual group's and the older residual group's, then the weights
of the stacks over all inputs and of those over the groups. Parts beyond PARTS are River
classifiers; they belong to the online group, and are inputs of the stacks.
"""

import math
from typing import Any

import numba
import numpy as np

from models.linear.bank import NEWEST as NEWEST_SLOT
from models.linear.bank import OLDER as OLDER_SLOT
from models.linear.mixture import (
    DRIFT,
    ETA,
    GROUPED,
    GROUPS_STACKED,
    NEWEST,
    NEWEST_OFFLINE,
    OLDER,
    OLDER_OFFLINE,
    ONLINE,
    PARTS,
    STACKED,
    STACKS,
    SWITCHING,
)
from models.linear.mixture_kernels import logit, mix, probabilities, stack, teach_stack, update
from models.logits import LEAST

INPUTS = NEWEST_OFFLINE + 1
"""The first so many parts are inputs of the stacks."""
GROUP_INPUTS = 5
"""The three groups' and the two offline models' logits: online, residual, newest, older residual
and older offline."""
GONE = 0
"""Slot of a model that answered a request but is no longer in NEWEST or OLDER of the bank."""

_BOTH = OLDER_OFFLINE - NEWEST_OFFLINE
_NEWEST, _NEWEST_END = NEWEST.start, NEWEST.stop
_OLDER, _OLDER_END = OLDER.start, OLDER.stop
_ONLINE_END = ONLINE.stop
_GROUPED = GROUPED.start
_STACKED, _STACKED_END = STACKED.start, STACKED.stop
_GROUPS_STACKED, _GROUPS_STACKED_END = GROUPS_STACKED.start, GROUPS_STACKED.stop
_RATES = np.array(SWITCHING)
_LARGEST = math.log(1 / LEAST - 1)  # bound on a stack's inputs, and so on its steps
_STEPS = np.array(STACKS)

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit
def answer(parts: Any, held: Any) -> Any:
    """Fill in the logits of groups and stacks; return the probabilities.

    Args:
        parts: float64[PARTS + rivers]: logits, NaN where absent.
        held: Arrays as described above.

    Returns:
        Probabilities of the ensemble, of the online and of the residual group; NaN for an absent
        group, and for the ensemble if a learner is damaged.
    """
    shares, trust, online, online_trust, residual, residual_trust = held[:6]
    older, older_trust, stacks, group_stacks = held[6:]
    given = np.empty(len(parts))
    probabilities(parts[:_GROUPED], given[:_GROUPED])
    probabilities(parts[PARTS:], given[PARTS:])
    p_online = mix(_online_of(given), online, online_trust)
    p_residual = mix(given[_NEWEST:_NEWEST_END], residual, residual_trust)
    p_older = mix(given[_OLDER:_OLDER_END], older, older_trust)
    parts[_GROUPED], parts[_GROUPED + 1] = logit(p_online), logit(p_residual)
    parts[_GROUPED + 2] = logit(p_older)
    stack(_inputs_of(parts), stacks, parts[_STACKED:_STACKED_END])
    stack(_groups_of(parts), group_stacks, parts[_GROUPS_STACKED:_GROUPS_STACKED_END])
    probabilities(parts[_GROUPED:PARTS], given[_GROUPED:PARTS])
    p = mix(given, shares, trust) if _are_whole(parts) else np.nan
    return p, p_online, p_residual


@_jit
def learn(parts: Any, label: float, held: Any, newest_at: int, older_at: int) -> None:
    """Update all weights by the parts of a request's answer.

    Args:
        parts: The parts that `answer` filled in.
        label: 0 or 1.
        held: Arrays as described above.
        newest_at: Current slot of the model that was the newest then; GONE: it no longer answers.
        older_at: Current slot of the model that was the older then.
    """
    shares, trust, online, online_trust, residual, residual_trust = held[:6]
    older, older_trust, stacks, group_stacks = held[6:]
    given = np.empty(len(parts))
    probabilities(parts, given)
    update(_online_of(given), label, online, online_trust, _RATES, DRIFT, ETA)
    update(given[_NEWEST:_NEWEST_END], label, residual, residual_trust, _RATES, DRIFT, ETA)
    update(given[_OLDER:_OLDER_END], label, older, older_trust, _RATES, DRIFT, ETA)
    stacked = given[_STACKED:_STACKED_END]
    teach_stack(_inputs_of(parts), stacked, label, stacks, _STEPS)
    stacked = given[_GROUPS_STACKED:_GROUPS_STACKED_END]
    teach_stack(_groups_of(parts), stacked, label, group_stacks, _STEPS)
    if newest_at != NEWEST_SLOT or older_at != OLDER_SLOT:
        given = _moved(given, newest_at, older_at)
    update(given, label, shares, trust, _RATES, DRIFT, ETA)


@_jit
def _are_whole(parts: Any) -> Any:
    """Whether each learner that is asked gives a number; otherwise it is damaged."""
    total = 0.0
    for k in range(_ONLINE_END):
        total += parts[k]
    for begin, offline in ((_NEWEST, NEWEST_OFFLINE), (_OLDER, OLDER_OFFLINE)):
        if not np.isnan(parts[offline]):
            for k in range(begin, offline):
                total += parts[k]
    return np.isfinite(total)


@_jit
def _moved(given: Any, newest_at: int, older_at: int) -> Any:
    """The parts, with each offline model and its learners moved to their current slots."""
    moved = given.copy()
    moved[_NEWEST : _OLDER + _BOTH] = np.nan
    for at, begin in ((newest_at, _NEWEST), (older_at, _OLDER)):
        if at != GONE:
            to = _NEWEST if at == NEWEST_SLOT else _OLDER
            for k in range(_BOTH):
                moved[to + k] = given[begin + k]
    return moved


@_jit
def _online_of(parts: Any) -> Any:
    found = np.empty(_ONLINE_END + len(parts) - PARTS)
    found[:_ONLINE_END] = parts[:_ONLINE_END]
    found[_ONLINE_END:] = parts[PARTS:]
    return found


@_jit
def _inputs_of(parts: Any) -> Any:
    found = np.empty(INPUTS + len(parts) - PARTS)
    for k in range(len(found)):
        s = parts[k if k < INPUTS else PARTS + k - INPUTS]
        found[k] = s if np.isnan(s) else min(max(s, -_LARGEST), _LARGEST)
    return found


@_jit
def _groups_of(parts: Any) -> Any:
    """The groups and the offline models; without an older one, the newest stands for it."""
    found = np.empty(GROUP_INPUTS)
    found[0], found[1], found[2] = parts[_GROUPED], parts[_GROUPED + 1], parts[NEWEST_OFFLINE]
    has_older = not np.isnan(parts[OLDER_OFFLINE])
    found[3] = parts[_GROUPED + 2] if has_older else found[1]
    found[4] = parts[OLDER_OFFLINE] if has_older else found[2]
    return found
