"""The mixture is as good as its best part, and the best sequence of parts, up to what it says."""

import math
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.linear.mixture import DRIFT, ETA, SWITCHING, Mixture, regret_bound

PROBABILITIES = st.sampled_from([0.0, 1e-9, 0.01, 0.3, 0.5, 0.7, 0.99, 1.0])


def loss(probability, label):
    p = min(max(probability, 1e-6), 1 - 1e-6)
    return -math.log(p if label else 1 - p)


def clipped(parts):
    return np.clip(np.array(parts, float), 1e-6, 1 - 1e-6)


def losses(rows, labels):
    """Of the mixture at each step, and of each part."""
    mixture, own = Mixture(len(rows[0])), []
    for parts, label in zip(rows, labels, strict=True):
        own.append(loss(mixture.mix(clipped(parts)), label))
        mixture.learn(clipped(parts), label)
    of = [[loss(p, label) for p in parts] for parts, label in zip(rows, labels, strict=True)]
    return own, np.array(of)


def rows_of(n_parts):
    row = st.tuples(st.lists(PROBABILITIES, min_size=n_parts, max_size=n_parts), st.booleans())
    return st.lists(row, min_size=1, max_size=120)


@settings(deadline=None)  # the first call compiles
@given(st.integers(1, 5).flatmap(rows_of))
def test_for_any_labels_it_is_worse_than_its_best_part_by_the_stated_bound_at_most(rows):
    own, of = losses(*zip(*rows, strict=True))
    assert sum(own) <= of.sum(axis=0).min() + regret_bound(len(rows), of.shape[1]) + 1e-9


@settings(deadline=None)  # the first call compiles
@given(rows_of(2))
def test_for_any_labels_every_sequence_of_parts_is_followed_at_the_stated_price(rows):
    own, of = losses(*zip(*rows[:8], strict=True))
    n, k = of.shape
    for sequence in product(range(k), repeat=n):
        switches = sum(a != b for a, b in pairwise(sequence))
        best = sum(of[i, part] for i, part in enumerate(sequence))
        price = min(
            switches * math.log(k / r) - (n - 1 - switches) * math.log1p(-r) for r in SWITCHING
        )
        allowed = math.log(len(SWITCHING)) + math.log(k) + price - n * math.log1p(-DRIFT)
        assert sum(own) <= best + allowed / ETA + 1e-9


@settings(deadline=None)  # the first call compiles
@given(rows_of(3), st.integers(0, 40), st.integers(0, 80))
def test_a_part_that_is_absent_for_a_while_is_followed_while_it_is_there(rows, begin, length):
    labels = [label for _, label in rows]
    parts = np.array([clipped(part) for part, _ in rows])
    parts[begin : begin + length, 0] = np.nan
    mixture, own, of = Mixture(3), 0.0, 0.0
    for row, label in zip(parts, labels, strict=True):
        if not np.isnan(row[0]):
            own += loss(mixture.mix(row), label)
            of += loss(row[0], label)
        mixture.learn(row, label)
    assert own <= of + regret_bound(len(rows), 3) + 1e-9


def test_it_follows_a_switch_within_a_few_requests():
    mixture, good, bad = Mixture(2), 0.9, 0.1
    for _ in range(5_000):
        mixture.learn(np.array([good, bad]), 1)
    assert mixture.weights[0] > 0.99
    for _ in range(40):
        mixture.learn(np.array([good, bad]), 0)
    assert mixture.weights[1] > 0.9


def test_without_any_part_it_says_nothing_and_learns_nothing():
    mixture = Mixture(3)
    before = mixture.shares.copy()
    nothing = np.full(3, np.nan)
    mixture.learn(nothing, 1)
    assert math.isnan(mixture.mix(nothing))
    assert (mixture.shares == before).all()


@pytest.mark.parametrize("label", [0, 1])
def test_the_weights_stay_a_distribution_for_ever(label):
    mixture, rng = Mixture(6), np.random.default_rng(1)
    for _ in range(20_000):
        parts = clipped(rng.random(6) ** 8)
        parts[rng.integers(6)] = np.nan
        mixture.learn(parts, label)
    assert mixture.weights.sum() == pytest.approx(1, abs=1e-9)
    assert mixture.shares.min() > 1e-7
    assert mixture.trust.min() > 1e-8
