"""Detectors of a model that has become wrong, unaffected by seasons.

For a right model, y − p and (p − y)·logit p have mean 0 at any hour, whatever the base rate; the
second is its log-loss above the expected one. A detector bets on one of them, and restarts with a
capital of 1 whenever it has less (an e-detector: Shin, Ramdas and Rinaldo, E-detectors, 2022). With
a right model it reaches a capital of c at most once in c labels on average.

A logit off by less than `TOLERANCE` raises no alarm, as no model is exact at each hour.
"""

from typing import Any, NamedTuple

import numpy as np

from models.judging.betting import MOST, STAKES, Floats, after_bet, jit
from models.logits import LEAST

TOLERANCE = 0.05
"""Accepted error of the logit."""

REMEMBERED = 20.0
"""Mean capital at most, in units of the limit from which on there is an alarm: however wrong the
answers were, the evidence is soon gone when they are right again."""

FAINT = 20.0
"""Mean capital up to which the evidence may begin anew with each restart."""

KINDS = ("too sure", "too unsure", "more positives", "fewer positives")
"""The log-loss is above, or below, the expected one; label 1 is more, or less, frequent than
predicted."""

MEANINGS = {
    "too sure": "answers surer than they should be",
    "too unsure": "answers less sure than they could be",
    "more positives": "label 1 more often than said",
    "fewer positives": "label 1 less often than said",
}
"""The kinds in words."""


class Detectors(NamedTuple):
    """The state of all kinds: a row for each kind, a column for each stake.

    Attributes:
        capitals: float64[4, n].
        labels: Number of labels for which this capital has grown, float64[4, n].
        starts: Event time of the first of these, µs, float64[4, n].
        excess: Sum over these of the log-loss above the expected one, nats, float64[4, n].
    """

    capitals: Floats
    labels: Floats
    starts: Floats
    excess: Floats


MEMORY = (len(Detectors._fields), len(KINDS), len(STAKES))
"""Shape of all arrays of `Detectors`, one after the other."""


class Finding(NamedTuple):
    """Result of a detector.

    Attributes:
        kind: One of `KINDS`.
        since: Event time of the first label of the evidence, µs.
        labels: Number of labels since then.
        excess: Mean log-loss since then above the expected one, nats.
    """

    kind: str
    since: int
    labels: int
    excess: float


def detectors() -> Detectors:
    """All detectors at their start."""
    shape = (len(KINDS), len(STAKES))
    return Detectors(np.ones(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape))


@jit
def detect(
    state: Any, label: int, probability: float, event_time: float, limit: float = MOST
) -> None:
    """Let all detectors bet on one label.

    Args:
        state: `Detectors`, changed in place.
        label: 0 or 1.
        probability: P(label is 1) that was predicted.
        event_time: Event time of the request, µs.
        limit: Capital from which on there is an alarm.
    """
    p = min(max(probability, LEAST), 1.0 - LEAST)
    logit = np.log(p / (1.0 - p))
    size, away = abs(logit), p - label
    excess = away * logit
    off = TOLERANCE * p * (1.0 - p)
    # The largest possible `excess`, and the negative of the smallest.
    surprise, comfort = (1.0 - p, p) if logit < 0.0 else (p, 1.0 - p)
    _step(state, 0, excess - off * size, size * (comfort + off), excess, event_time, limit)
    _step(state, 1, -excess - off * size, size * (surprise + off), excess, event_time, limit)
    _step(state, 2, -away - off, p + off, excess, event_time, limit)
    _step(state, 3, away - off, 1.0 - p + off, excess, event_time, limit)


@jit
def _step(
    state: Any, kind: int, gain: float, worst: float, excess: float, event_time: float, limit: float
) -> None:
    capitals, labels = state.capitals[kind], state.labels[kind]
    starts, sums = state.starts[kind], state.excess[kind]
    mean = capitals.mean()
    if mean > REMEMBERED * limit:
        capitals *= REMEMBERED * limit / mean
    for k in range(len(STAKES)):
        if capitals[k] <= 1.0:
            capitals[k] = 1.0
            if mean <= FAINT:
                labels[k], sums[k], starts[k] = 0.0, 0.0, event_time
        capitals[k] = after_bet(capitals[k], STAKES[k], gain, worst)
        labels[k] += 1.0
        sums[k] += excess


@jit
def alarming(state: Any, limit: float) -> int:
    """The kind with the highest mean capital, by number; -1 if that is below `limit`."""
    found, most = -1, limit
    for kind in range(len(KINDS)):
        mean = state.capitals[kind].mean()
        if mean >= most:
            found, most = kind, mean
    return found


def finding(state: Detectors, kind: int) -> Finding:
    """The result of a detector, by the stake with the largest capital."""
    k = int(state.capitals[kind].argmax())
    labels = state.labels[kind, k]
    mean = float(state.excess[kind, k] / labels) if labels else 0.0
    return Finding(KINDS[kind], int(state.starts[kind, k]), int(labels), mean)
