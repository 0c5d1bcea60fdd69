"""Metrics of requests before their labels come, if their probabilities are right.

This is confidence-based performance estimation (CBPE, as in NannyML's documentation): each request
counts as label 1 by its probability, and as label 0 by the rest. It is right however the requests
change, and blind to a change in how labels depend on them; see `models.judging.drift_watch`.

The intervals are those of the metric that will be found, by the chance in the labels: each label is
1 with its probability, independently of the others. Variances are by linearisation (the delta
method; van der Vaart, Asymptotic Statistics, 1998, chapter 3), for AUC by its projection on single
labels (chapter 11). The normal quantiles are corrected for skewness (Cornish and Fisher, 1938).
"""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from models.judging.betting import Floats
from models.judging.histograms import (
    BINS,
    MIDDLES,
    NORMAL_95,
    Counts,
    Decided,
    Estimate,
    auc,
    dot,
)

Estimated = Literal["auc", "f1", "f2", "accuracy", "precision", "recall", "log_loss"]
ESTIMATED: tuple[Estimated, ...] = get_args(Estimated)

ENOUGH = 100
"""Requests from which on an estimate is trusted."""

ENOUGH_OF_A_KIND = 20
"""Expected labels of each kind, and positive decisions, without which a metric on them is left out:
its interval would be wrong."""

LOGITS = np.log(MIDDLES / (1.0 - MIDDLES))
"""The log odds in the middle of each column."""

_ONES = np.ones(BINS)
_CHANCES = MIDDLES * (1.0 - MIDDLES)
_LEANING = _CHANCES * (1.0 - 2.0 * MIDDLES)
_ENTROPY = -MIDDLES * np.log(MIDDLES) - (1.0 - MIDDLES) * np.log(1.0 - MIDDLES)
_WEIGHTS: dict[Estimated, float] = {"f1": 1.0, "f2": 4.0}
"""The square of how much recall weighs, in units of precision."""


def expected(waiting: Counts) -> dict[Estimated, Estimate]:
    """The metrics to be expected of requests; those that are not defined are left out.

    Args:
        waiting: Number of requests by decision (0, 1) and column of their logit, `[2, BINS]`; see
            `models.judging.histograms`.

    Example:
        >>> waiting = np.zeros((2, BINS))
        >>> waiting[0, 120], waiting[1, 155] = 400, 100  # probabilities of .125 and .825
        >>> [round(of, 3) for of in expected(waiting)["precision"]]
        [0.825, 0.745, 0.899]
    """
    no, yes = waiting.astype(np.float64)
    both = no + yes
    requests, calls = dot(both, _ONES), dot(yes, _ONES)
    hits, positives = dot(yes, MIDDLES), dot(both, MIDDLES)
    found: dict[Estimated, Estimate | None] = {}

    def share(value: float, on_yes: float, on_no: float) -> Estimate:
        """A share that a label of 1 moves by `on_yes` after a positive decision, else `on_no`."""
        second = dot(yes, _CHANCES) * on_yes**2 + dot(no, _CHANCES) * on_no**2
        third = dot(yes, _LEANING) * on_yes**3 + dot(no, _LEANING) * on_no**3
        # A quarter of a label more, as numbers of labels are whole.
        return _around(value, second, third, (on_yes - on_no) / 4)

    if requests:
        right = hits + requests - calls - (positives - hits)
        found["accuracy"] = share(right / requests, 1.0 / requests, -1.0 / requests)
        second = dot(both, _CHANCES * LOGITS**2) / requests**2
        third = dot(both, _LEANING * -(LOGITS**3)) / requests**3
        mean = dot(both, _ENTROPY) / requests
        found["log_loss"] = _around(mean, second, third, most=math.inf)
    if min(positives, requests - positives) >= ENOUGH_OF_A_KIND:
        found["auc"] = _expected_auc(both)
    if calls >= ENOUGH_OF_A_KIND:
        found["precision"] = share(hits / calls, 1.0 / calls, 0.0)
        if positives >= ENOUGH_OF_A_KIND:
            recall = hits / positives
            found["recall"] = share(recall, (1.0 - recall) / positives, -recall / positives)
            for name, weight in _WEIGHTS.items():
                whole = weight * positives + calls
                value = (1.0 + weight) * hits / whole
                on_no = -weight * value / whole
                found[name] = share(value, (1.0 + weight) / whole + on_no, on_no)
    return {name: of for name in ESTIMATED if (of := found.get(name)) is not None}


def realised(counts: Counts) -> dict[Estimated, float]:
    """The metrics of `expected` for labelled requests; log-loss is by the middle of each column.

    Args:
        counts: Number of requests by label, decision and column, `[2, 2, BINS]`.
    """
    (tn, fp), (fn, tp) = counts.sum(axis=2).tolist()
    of = Decided(tp, fp, tn, fn)
    zeros, ones = histogram = counts.sum(axis=1)
    ranked = auc(histogram)
    rows = tn + fp + fn + tp
    loss = -dot(ones, np.log(MIDDLES)) - dot(zeros, np.log(1.0 - MIDDLES))
    found: dict[Estimated, float | None] = {
        "auc": ranked and ranked.value,
        "f1": of.f(1),
        "f2": of.f(2),
        "accuracy": of.accuracy,
        "precision": of.precision,
        "recall": of.recall,
        "log_loss": loss / rows if rows else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def estimate_error(histogram: Counts) -> Estimate | None:
    """Distance of the expected AUC of labelled requests from the AUC that came.

    Its lower end allows for the chance in the labels. None if there is only one label.

    Args:
        histogram: Number of requests by label and column, `[2, BINS]`.
    """
    came, foreseen = auc(histogram), _expected_auc(histogram.sum(axis=0).astype(np.float64))
    if came is None or foreseen is None:
        return None
    off = abs(came.value - foreseen.value)
    reach = (foreseen.high - foreseen.low) / 2
    return Estimate(off, max(0.0, off - reach), off + reach)


def _expected_auc(both: Floats) -> Estimate | None:
    """Expected AUC of requests by column; None for fewer than two."""
    ones, zeros, spread = both * MIDDLES, both * (1.0 - MIDDLES), both * _CHANCES
    positives, negatives, own = dot(ones, _ONES), dot(zeros, _ONES), dot(spread, _ONES)
    if dot(both, _ONES) < 2:
        return None
    beaten = np.cumsum(zeros) - zeros / 2
    beating = np.cumsum(ones[::-1])[::-1] - ones / 2
    # A request is not compared with itself.
    pairs = positives * negatives - own
    value = (dot(ones, beaten) - own / 2) / pairs
    moves = (beaten - beating - value * (negatives - positives)) / pairs
    return _around(value, dot(spread, moves**2), dot(both, _LEANING * moves**3))


def _around(
    value: float, second: float, third: float, more: float = 0.0, most: float = 1.0
) -> Estimate:
    """A value of at least 0 with its interval.

    Args:
        value: The value.
        second: Variance of the value.
        third: Third central moment of the value.
        more: Added to each end.
        most: The largest possible value.
    """
    if not second:
        return Estimate(value, value, value)
    lean = third / second * (NORMAL_95**2 - 1.0) / 6.0
    reach = NORMAL_95 * math.sqrt(second) + more
    low, high = value + lean - reach, value + lean + reach
    return Estimate(value, min(max(0.0, low), value), max(min(most, high), value))


def to_runs(counts: Counts) -> list[list[int]]:
    """Each row of counts, short: the first column with a count, then the counts up to the last.

    Example:
        >>> counts = np.zeros((2, BINS), np.int64)
        >>> counts[0, 97], counts[0, 99] = 3, 1
        >>> to_runs(counts)
        [[97, 3, 0, 1], []]
    """
    runs = []
    for row in counts:
        places = np.flatnonzero(row)
        first, last = (int(places[0]), int(places[-1])) if len(places) else (0, -1)
        runs.append([first, *row[first : last + 1].tolist()] if last >= 0 else [])
    return runs


def from_runs(runs: Sequence[Sequence[int]], rows: int) -> Counts:
    """The counts of `to_runs`, int64[rows, BINS].

    Raises:
        ValueError: They are of other rows or columns.
    """
    counts = np.zeros((rows, BINS), np.int64)
    ends = [run[0] + len(run) - 1 for run in runs if run]
    if (
        len(runs) != rows
        or max(ends, default=0) > BINS
        or any(min(run, default=0) < 0 for run in runs)
    ):
        msg = f"counts must be of {rows} rows and {BINS} columns; got {len(runs)} rows to {ends}"
        raise ValueError(msg)
    for row, run in zip(counts, runs, strict=True):
        if run:
            row[run[0] : run[0] + len(run) - 1] = run[1:]
    return counts
