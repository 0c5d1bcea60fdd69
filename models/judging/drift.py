"""Detectors of a model that is wrong, which seasons do not deceive.

For a model that is right, y − p and (p − y)·logit p have mean 0 at any hour, whatever the base
rate does; the second is its log-loss above that which it expects. A detector bets on one of them,
and begins anew with a capital of 1 whenever it has less (an e-detector: Shin, Ramdas and Rinaldo,
E-detectors, 2022). A right model gives it a capital of c once in c labels at most, in the mean.

A model may be off by `TOLERANCE` in its logit without an alarm: no model meets each hour exactly.
"""

from typing import Any, NamedTuple

import numpy as np

from models.judging.betting import STAKES, Floats, after_bet, jit
from models.logits import LEAST

TOLERANCE = 0.05
"""In units of the logit."""

KINDS = ("too sure", "too unsure", "more positives", "fewer positives")
"""The log-loss is above, or below, that which the model expects; the label is 1 more, or less,
often than it says."""


class Detectors(NamedTuple):
    """The state of all kinds: a row for each kind, a column for each stake.

    Attributes:
        capitals: float64[4, n].
        labels: How many labels this capital has been growing for, float64[4, n].
        starts: Event time of the first of these, µs, float64[4, n].
        excess: Sum over these of the log-loss above that which was expected, nats, float64[4, n].
    """

    capitals: Floats
    labels: Floats
    starts: Floats
    excess: Floats


class Finding(NamedTuple):
    """What a detector found.

    Attributes:
        kind: One of `KINDS`.
        since: Event time of the first label that speaks for it, µs.
        labels: How many have come since.
        excess: Mean log-loss since then above that which the model expects, nats.
    """

    kind: str
    since: int
    labels: int
    excess: float


def detectors() -> Detectors:
    """All at their start."""
    shape = (len(KINDS), len(STAKES))
    return Detectors(np.ones(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape))


@jit
def detect(state: Any, label: int, probability: float, event_time: float) -> None:
    """Let all detectors bet on one label.

    Args:
        state: `Detectors`, changed in place.
        label: 0 or 1.
        probability: The P(label is 1) that was given.
        event_time: Of the request, µs.
    """
    p = min(max(probability, LEAST), 1.0 - LEAST)
    logit = np.log(p / (1.0 - p))
    size, away = abs(logit), p - label
    excess = away * logit
    off = TOLERANCE * p * (1.0 - p)
    # The most that `excess` can be, and the least, negated.
    surprise, comfort = (1.0 - p, p) if logit < 0.0 else (p, 1.0 - p)
    _step(state, 0, excess - off * size, size * (comfort + off), excess, event_time)
    _step(state, 1, -excess - off * size, size * (surprise + off), excess, event_time)
    _step(state, 2, -away - off, p + off, excess, event_time)
    _step(state, 3, away - off, 1.0 - p + off, excess, event_time)


@jit
def _step(
    state: Any, kind: int, gain: float, worst: float, excess: float, event_time: float
) -> None:
    capitals, labels = state.capitals[kind], state.labels[kind]
    starts, sums = state.starts[kind], state.excess[kind]
    for k in range(len(STAKES)):
        if capitals[k] <= 1.0:
            capitals[k], labels[k], sums[k], starts[k] = 1.0, 0.0, 0.0, event_time
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
    """What a detector says, by the stake that has gained most."""
    k = int(state.capitals[kind].argmax())
    labels = state.labels[kind, k]
    mean = float(state.excess[kind, k] / labels) if labels else 0.0
    return Finding(KINDS[kind], int(state.starts[kind, k]), int(labels), mean)
