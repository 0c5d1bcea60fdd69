"""Estimates of performance before labels, as fields of `metrics`."""

import numpy as np

from models.judging.estimates import ENOUGH_OF_A_KIND, expected, from_runs, realised, to_runs
from models.judging.histograms import Counts
from models.judging.waiting_counts import Group
from state.outputs.records import Ahead, JudgedEstimate

_DIGITS = 6


def ahead(waiting: Counts, doubt: str) -> Ahead | None:
    """The estimate of requests that wait; None if there are too few.

    Args:
        waiting: Their number by decision and column.
        doubt: The reason why an estimate cannot be trusted; empty: there is none.
    """
    n = int(waiting.sum())
    if n < ENOUGH_OF_A_KIND:
        return None
    found = expected(waiting).get("auc")
    auc, low, high = (None,) * 3 if found is None else (round(of, _DIGITS) for of in found)
    return Ahead(n, to_runs(waiting), auc, low, high, not doubt, doubt)


def judged(group: Group | None) -> JudgedEstimate | None:
    """A group of which an estimate was made, and what came; None: there is none."""
    if group is None:
        return None
    counts = from_runs(group.counts, 4).reshape(2, 2, -1)
    foreseen, came = expected(counts.sum(axis=0)).get("auc"), realised(counts).get("auc")
    return JudgedEstimate(
        int(np.sum(counts)),
        group.counts,
        group.since,
        group.until,
        None if foreseen is None else round(foreseen.value, _DIGITS),
        None if came is None else round(came, _DIGITS),
        group.trusted,
    )
