"""Answers compared with other ways to answer the same requests, with proofs by bets."""

from typing import Any, NamedTuple

import numpy as np

from flows.reports.periods import LEAST, Periods, Times
from models.judging.betting import STAKES, Floats, compare, jit
from models.logits import LEAST as LEAST_PROBABILITY
from models.refit.gate import standard_error
from models.scorecard import log_losses
from state.settings import Decision

_PROOF = 20.0
"""A capital that a wrong claim reaches at most once in twenty times."""


class Win(NamedTuple):
    """The answers against another way to answer the same requests.

    Attributes:
        requests: Number of labelled requests that both answered.
        ours: Mean log-loss of the answers.
        theirs: Mean log-loss of the other.
        error: Standard error of the difference.
        proven: Event time of the request from which on the answers are proven better, µs UTC; None:
            it is not proven.
        labels: Number of labels until then.
        disproven: Event time from which on the answers are proven worse; None: they are not.
        periods: Number of periods with enough labels.
        better: Number of these in which the answers were better.
        worst: Start of the period in which they lost most; None: they lost in none.
        our_cost: Cost of the answers' wrong decisions.
        their_cost: That of the other's.
    """

    requests: int
    ours: float
    theirs: float
    error: float
    proven: int | None
    labels: int
    disproven: int | None
    periods: int
    better: int
    worst: int | None
    our_cost: float
    their_cost: float

    @property
    def gain(self) -> float:
        """Mean log-loss of the other minus that of the answers."""
        return self.theirs - self.ours


class Compared(NamedTuple):
    """The rows of a comparison.

    Attributes:
        labels: 0 or 1, by event time.
        times: Event times, µs UTC.
        periods: Their periods.
        decision: Threshold and costs.
    """

    labels: Times
    times: Times
    periods: Periods
    decision: Decision


def win(of: Compared, ours: Floats, theirs: Floats, fixed: bool | None = None) -> Win | None:
    """Compare the answers with another way to answer; None if no request has both.

    That one is better is proven by bets in request order, whose capital exceeds 20 with a
    probability of 5 % at most if it is not, however often one looks (see `models.judging.betting`).

    Args:
        of: The rows.
        ours: The answers' P(label is 1).
        theirs: The other's; NaN: it had none.
        fixed: The other's decision on all requests; None: by its probability.
    """
    known = ~np.isnan(theirs)
    if not known.any():
        return None
    labels, times = of.labels[known], of.times[known]
    mine, other = ours[known], theirs[known]
    truth = labels.astype(np.float64)
    losses = log_losses(truth, mine), log_losses(truth, other)
    gain = losses[1] - losses[0]
    proven, disproven = _proofs(labels, _inside(mine), _inside(other), _PROOF)
    period = of.periods.of[known]
    n = np.bincount(period)
    sums = np.bincount(period, gain)
    enough = n >= LEAST
    worst = int(np.argmin(np.where(enough, sums, np.inf)))
    lost = bool(enough[worst] and sums[worst] < 0)
    decided = other >= of.decision.threshold if fixed is None else np.full(len(other), fixed)
    return Win(
        requests=len(labels),
        ours=float(losses[0].mean()),
        theirs=float(losses[1].mean()),
        error=standard_error(gain),
        proven=int(times[proven]) if proven >= 0 else None,
        labels=proven + 1,
        disproven=int(times[disproven]) if disproven >= 0 else None,
        periods=int(np.count_nonzero(enough)),
        better=int(np.count_nonzero(enough & (sums > 0))),
        worst=of.periods.starts[worst] if lost else None,
        our_cost=_cost(labels, mine >= of.decision.threshold, of.decision),
        their_cost=_cost(labels, decided, of.decision),
    )


def costs(labels: Times, decided: Any, of: Decision) -> Floats:
    """Cost of the decision on each request."""
    wrong = np.where(decided, labels == 0, labels == 1)
    return np.asarray(wrong * np.where(decided, of.false_positive, of.false_negative), np.float64)


def cheaper(labels: Times, of: Decision) -> bool:
    """The cheaper decision if it had to be the same on all requests, known only afterwards."""
    ones = int(labels.sum())
    return of.false_positive * (len(labels) - ones) < of.false_negative * ones


def _cost(labels: Times, decided: Any, of: Decision) -> float:
    return float(costs(labels, decided, of).sum())


def _inside(probabilities: Floats) -> Floats:
    return np.clip(probabilities, LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)


@jit
def _proofs(labels: Any, ours: Any, theirs: Any, limit: float) -> tuple[int, int]:
    """The first label at which it is proven that ours are better, and worse; -1: at none."""
    better, worse = np.ones(len(STAKES)), np.ones(len(STAKES))
    proven, disproven = -1, -1
    for i in range(len(labels)):
        compare(better, worse, labels[i], ours[i], theirs[i])
        if proven < 0 and better.mean() >= limit:
            proven = i
        if disproven < 0 and worse.mean() >= limit:
            disproven = i
    return proven, disproven
