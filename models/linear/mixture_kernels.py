"""Kernels of the tracking mixture and of the logistic stacks.

A mixture has `shares[rate, part]`, a distribution over the parts for each switching rate, and
`trust[rate]`, a distribution over the rates. See `models.linear.mixture` for its bounds.
"""

from typing import Any

import numba
import numpy as np

from models.linear.places import sigmoid
from models.logits import LEAST

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit
def probabilities(logits: Any, out: Any) -> None:
    """Probabilities of logits, limited to LEAST from 0 and 1; NaN (an absent part) stays NaN."""
    for k in range(len(logits)):
        s = logits[k]
        out[k] = s if np.isnan(s) else min(max(sigmoid(s), LEAST), 1.0 - LEAST)


@_jit
def logit(probability: float) -> Any:
    """Natural log odds; NaN stays NaN."""
    p = probability
    if np.isnan(p):
        return p
    p = min(max(p, LEAST), 1.0 - LEAST)
    return np.log(p / (1.0 - p))


@_jit
def mix(parts: Any, shares: Any, trust: Any) -> Any:
    """The mixture's probability over the present parts; NaN if there is none."""
    total = 0.0
    for a in range(len(trust)):
        total += trust[a] * _mixed(parts, shares[a])
    return total


@_jit
def update(
    parts: Any, label: float, shares: Any, trust: Any, rates: Any, drift: float, eta: float
) -> None:
    """Weigh the parts by their probability of the label, then mix (Herbster and Warmuth, 1998).

    An absent part counts as predicting the mixture's probability (Freund et al., 1997): it keeps
    its share.

    Args:
        parts: float64[K], probabilities, NaN where absent.
        label: 0 or 1.
        shares: float64[A, K].
        trust: float64[A].
        rates: float64[A], part of every share that is redistributed at each step.
        drift: Part of `trust` that is redistributed at each step.
        eta: Exponent of the probability of the label.
    """
    n_rates, n_parts = shares.shape
    given_by = np.empty(n_parts)
    for k in range(n_parts):
        given_by[k] = (parts[k] if label > 0.5 else 1.0 - parts[k]) ** eta
    sum_of_trust = 0.0
    for a in range(n_rates):
        mixed = _mixed(parts, shares[a])
        if np.isnan(mixed):
            return
        given = (mixed if label > 0.5 else 1.0 - mixed) ** eta
        trust[a] *= given
        sum_of_trust += trust[a]
        total = 0.0
        for k in range(n_parts):
            if np.isnan(given_by[k]):
                shares[a, k] *= given
            else:
                shares[a, k] *= given_by[k]
            total += shares[a, k]
        for k in range(n_parts):
            shares[a, k] = (1.0 - rates[a]) * shares[a, k] / total + rates[a] / n_parts
    for a in range(n_rates):
        trust[a] = (1.0 - drift) * trust[a] / sum_of_trust + drift / n_rates


@_jit
def stack(inputs: Any, weights: Any, out: Any) -> None:
    """Logits of the stacks: weighted sums of the inputs' logits, one for each column of weights.

    An absent input counts as the mean of the present ones.
    """
    n = len(inputs)
    absent = _mean(inputs)
    for c in range(weights.shape[1]):
        out[c] = weights[n, c]
    for k in range(n):
        s = absent if np.isnan(inputs[k]) else inputs[k]
        for c in range(weights.shape[1]):
            out[c] += weights[k, c] * s


@_jit
def teach_stack(inputs: Any, answers: Any, label: float, weights: Any, rates: Any) -> None:
    """Make one gradient step of each stack, from its answer.

    Args:
        inputs: float64[K], logits as passed to `stack`.
        answers: float64[S], the stacks' probabilities at that time.
        label: 0 or 1.
        weights: float64[K + 1, S].
        rates: float64[S].
    """
    n = len(inputs)
    absent = _mean(inputs)
    for c in range(len(rates)):
        step = rates[c] * (answers[c] - label)
        for k in range(n):
            weights[k, c] -= step * (absent if np.isnan(inputs[k]) else inputs[k])
        weights[n, c] -= step


@_jit
def _mixed(parts: Any, shares: Any) -> Any:
    present, total = 0.0, 0.0
    for k in range(len(parts)):
        if not np.isnan(parts[k]):
            present += shares[k]
            total += shares[k] * parts[k]
    return total / present if present > 0.0 else np.nan


@_jit
def _mean(values: Any) -> Any:
    total, n = 0.0, 0
    for v in values:
        if not np.isnan(v):
            total += v
            n += 1
    return total / max(n, 1)
