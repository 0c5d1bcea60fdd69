"""From which probability on a model can be trusted, given how often it may be wrong.

The thresholds are tried one after the other, the strictest first, and the walk ends at the first
whose error may be too large by an exact binomial bound (Clopper and Pearson, 1934). As they are
tried in an order that is fixed before, all that pass hold together with the stated confidence:
see Wiens, A fixed sequence Bonferroni procedure, 2003. A threshold that is picked because it looks
best on the same rows breaks its promise far more often.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.stats import beta

from models.judging.betting import Floats
from models.judging.histograms import BINS, LOWEST, Counts


class Side(NamedTuple):
    """One end of the probabilities.

    Attributes:
        threshold: A probability; None: no threshold keeps the promise.
        bound: The share of errors is at most this, with the stated confidence.
        rows: Labelled requests of the class that the errors are a share of.
        needs: Where there is none: so many such requests would allow a promise at all.
    """

    threshold: float | None
    bound: float
    rows: int
    needs: int = 0


class Trust(NamedTuple):
    """Both ends.

    Attributes:
        act: From here on a positive can be trusted: of the negatives, at most the promised share
            is there.
        let_go: Below here a negative can be trusted: of the positives, at most the promised share
            is there.
        recall: Share of the positives from `act` on.
        unsure: Share of all requests between the two.
    """

    act: Side
    let_go: Side
    recall: float
    unsure: float


def trust(
    histogram: Counts, false_positives: float, false_negatives: float, confidence: float
) -> Trust:
    """Find both thresholds.

    Args:
        histogram: See `models.judging.histograms`.
        false_positives: Most of the negatives that may be acted on, as a share.
        false_negatives: Most of the positives that may be let go, as a share.
        confidence: Of each promise.
    """
    zeros, ones = (row.astype(np.float64) for row in histogram)
    act = _walk(zeros[::-1], false_positives, confidence)
    let_go = _walk(ones, false_negatives, confidence)
    first = BINS - act.passed
    last = max(let_go.passed, 0)
    total, positives = zeros.sum() + ones.sum(), ones.sum()
    between = slice(last, max(first, last))
    return Trust(
        act=_side(act, zeros.sum(), float(LOWEST[first]) if act.passed else None),
        let_go=_side(let_go, ones.sum(), float(LOWEST[last]) if 0 < last < BINS else None),
        recall=float(ones[first:].sum() / positives) if positives else 0.0,
        unsure=float((zeros[between].sum() + ones[between].sum()) / total) if total else 1.0,
    )


class _Walk(NamedTuple):
    passed: int
    bound: float
    needs: int


def _walk(errors: Floats, most: float, confidence: float) -> _Walk:
    """How many columns can be taken from the strict end; `errors` are in the order of the walk."""
    rows = errors.sum()
    needs = math.ceil(math.log(1.0 - confidence) / math.log1p(-most))
    if rows < needs:
        return _Walk(0, 1.0, needs)
    bounds = upper_bound(np.cumsum(errors), rows, confidence)
    passed = int(np.argmax(bounds > most)) if (bounds > most).any() else len(errors)
    return _Walk(passed, float(bounds[passed - 1]) if passed else 1.0, 0)


def _side(walk: _Walk, rows: float, threshold: float | None) -> Side:
    return Side(threshold, walk.bound, int(rows), walk.needs)


def upper_bound(errors: Floats, rows: float, confidence: float) -> Floats:
    """The largest shares of errors that could be, given how many were seen.

    Example:
        >>> upper_bound(np.array([0.0, 2.0, 29.0]), 29, 0.95).round(3)
        array([0.098, 0.202, 1.   ])
    """
    found = beta.ppf(confidence, errors + 1, np.maximum(rows - errors, 1e-9))
    return np.where(errors >= rows, 1.0, found)
