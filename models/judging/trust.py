"""Thresholds from which a model can be trusted, for given error rates.

Thresholds are tried in a fixed order, the strictest first, up to the first whose error may be too
large by an exact binomial bound (Clopper and Pearson, 1934). As the order is fixed beforehand, all
accepted thresholds hold together with the stated confidence; see Wiens, A fixed sequence Bonferroni
procedure, 2003. A threshold picked because it looks best on the same rows would break its limit far
more often.
"""

import math
from typing import NamedTuple

import numpy as np

from models.judging.betting import Floats
from models.judging.histograms import BINS, LOWEST, Counts


class Side(NamedTuple):
    """The threshold at one end of the probabilities.

    Attributes:
        threshold: A probability; None: no threshold keeps the limit.
        bound: Upper bound of the share of errors, with the stated confidence.
        rows: Number of labelled requests of the class in which errors are counted.
        needs: Without a threshold: number of such requests needed for any limit.
    """

    threshold: float | None
    bound: float
    rows: int
    needs: int = 0


class Trust(NamedTuple):
    """The thresholds at both ends.

    Attributes:
        act: Lowest probability at which a positive can be trusted: at most the accepted share of
            the negatives is at or above it.
        let_go: Probability below which a negative can be trusted: at most the accepted share of the
            positives is below it.
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
        false_positives: Largest accepted share of the negatives at or above `act`.
        false_negatives: Largest accepted share of the positives below `let_go`.
        confidence: Confidence of each limit.
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
    """The number of columns accepted from the strict end; `errors` are in the order of the walk."""
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
    """Upper bounds of the shares of errors, for given numbers of errors.

    Example:
        >>> upper_bound(np.array([0.0, 2.0, 29.0]), 29, 0.95).round(3)
        array([0.098, 0.202, 1.   ])
    """
    from scipy.special import betaincinv  # noqa: PLC0415 - slow to load, and every command would

    found = betaincinv(errors + 1, np.maximum(rows - errors, 1e-9), confidence)
    return np.where(errors >= rows, 1.0, found)
