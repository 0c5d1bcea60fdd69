"""A win is proven only if it is one, and its figures are those of the rows."""

import numpy as np
import pytest

from flows.reports.periods import periods_of
from flows.reports.wins import Compared, cheaper, win
from models.scorecard import log_losses
from state.events import HOUR_US, MINUTE_US
from state.settings import Decision


def world(seed=1, rows=4_000, noise=1.0):
    """Labels, a right answer, and one whose logit is off by noise."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=rows) - 1
    right = 1 / (1 + np.exp(-logits))
    other = 1 / (1 + np.exp(-(logits + random.normal(size=rows) * noise)))
    labels = (random.random(rows) < right).astype(np.int64)
    times = np.arange(rows, dtype=np.int64) * MINUTE_US + 10**15
    return Compared(labels, times, periods_of(times), Decision()), right, other


def test_a_better_answer_is_proven_better_and_the_other_worse():
    of, right, other = world()
    found, back = win(of, right, other), win(of, other, right)
    truth = of.labels.astype(float)
    assert found.ours == pytest.approx(log_losses(truth, right).mean())
    assert found.theirs == pytest.approx(log_losses(truth, other).mean())
    assert found.proven == of.times[found.labels - 1]
    assert 0 < found.labels < 2_000
    assert found.disproven is None
    assert back.disproven == found.proven
    assert back.proven is None
    assert back.gain == pytest.approx(-found.gain)


def test_of_two_equal_answers_few_are_proven_better():
    proven = 0
    for seed in range(100):
        of, right, _ = world(seed, rows=1_500)
        random = np.random.default_rng(seed + 1_000)
        logits = np.log(right / (1 - right))
        one, other = (1 / (1 + np.exp(-(logits + random.normal(size=1_500) * 0.3))) for _ in "ab")
        proven += win(of, one, other).proven is not None
    assert proven <= 10


def test_only_requests_that_both_answered_count():
    of, right, other = world()
    other[:1_000] = np.nan
    found = win(of, right, other)
    assert found.requests == 3_000
    assert found.proven is None or found.proven >= of.times[1_000]
    assert win(of, right, np.full(4_000, np.nan)) is None


def test_costs_are_those_of_the_wrong_decisions():
    of, right, other = world()
    of = of._replace(decision=Decision(threshold=0.3, false_positive=2.0, false_negative=5.0))
    found = win(of, right, other)

    def cost(decided):
        pairs = zip(decided, of.labels, strict=True)
        return sum(2.0 * (d and not y) + 5.0 * (y and not d) for d, y in pairs)

    assert found.our_cost == pytest.approx(cost(right >= 0.3))
    assert found.their_cost == pytest.approx(cost(other >= 0.3))
    fixed = win(of, right, np.full(4_000, 0.27), fixed=True)
    assert fixed.their_cost == pytest.approx(2.0 * (of.labels == 0).sum())


def test_the_same_decision_for_all_is_the_cheaper_one():
    labels = np.array([0] * 70 + [1] * 30)
    assert not cheaper(labels, Decision())
    assert cheaper(labels, Decision(false_negative=3.0))


def test_the_period_in_which_the_answers_lost_most_is_named():
    of, right, other = world()
    hour = (of.times // HOUR_US) == (of.times[0] // HOUR_US) + 7
    right[hour], other[hour] = np.where(of.labels[hour] == 1, 0.1, 0.9), 0.5
    found = win(of, right, other)
    assert found.worst is not None
    assert found.worst <= of.times[hour][0] < found.worst + of.periods.length
    assert found.better < found.periods
