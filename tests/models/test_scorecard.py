"""The figures of a scorecard against their definitions, by brute force."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.scorecard import auc, best_f1, log_losses, scorecard

rows = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])), min_size=1
)


def _arrays(pairs):
    return np.array([y for y, _ in pairs], float), np.array([p for _, p in pairs])


@given(rows)
def test_auc_is_the_share_of_pairs_in_order(pairs):
    positives = [p for y, p in pairs if y]
    negatives = [p for y, p in pairs if not y]
    duels = [(p > n) + (p == n) / 2 for p in positives for n in negatives]
    expected = sum(duels) / len(duels) if duels else None
    assert auc(*_arrays(pairs)) == (expected if expected is None else pytest.approx(expected))


@given(rows)
def test_the_best_f1_is_the_highest_of_all_thresholds(pairs):
    def f1(threshold):
        hits = sum(y for y, p in pairs if p >= threshold)
        return 2 * hits / (sum(p >= threshold for _, p in pairs) + sum(y for y, _ in pairs))

    best, threshold = best_f1(*_arrays(pairs))
    scores = {p: f1(p) for _, p in pairs}
    assert best == pytest.approx(max(scores.values()))
    assert threshold == max(p for p, score in scores.items() if score == pytest.approx(best))


@given(rows)
def test_log_loss_and_brier_follow_their_formulas(pairs):
    card = scorecard(*_arrays(pairs))
    losses = [-math.log(max(p if y else 1 - p, 1e-15)) for y, p in pairs]
    assert card.log_loss == pytest.approx(sum(losses) / len(losses))
    assert card.brier == pytest.approx(sum((p - y) ** 2 for y, p in pairs) / len(pairs))
    assert (card.rows, card.positives) == (len(pairs), sum(y for y, _ in pairs))


def test_a_sure_miss_costs_a_finite_loss():
    assert log_losses(np.array([1.0]), np.array([0.0])) == pytest.approx(-math.log(1e-15))
