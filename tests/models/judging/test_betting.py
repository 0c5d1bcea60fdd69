"""A better model is found, and an equally good one is not taken for better."""

import numba
import numpy as np
import pytest

from models.judging.betting import STAKES, bet, compare

LIMIT = 1 / 0.05
ROWS = 20_000


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


@numba.njit
def first_proof(labels, ours, theirs, limit):
    """After how many labels ours is proven better, and theirs; 0: never."""
    better, worse = np.ones(len(STAKES)), np.ones(len(STAKES))
    found = [0, 0]
    for i in range(len(labels)):
        compare(better, worse, labels[i], ours[i], theirs[i])
        if found[0] == 0 and better.mean() >= limit:
            found[0] = i + 1
        if found[1] == 0 and worse.mean() >= limit:
            found[1] = i + 1
    return found


def proofs(runs, noise):
    """`first_proof` of models whose logits are off by normal noise of this size, in each run."""
    found = []
    for seed in range(runs):
        random = np.random.default_rng(seed)
        logits = random.normal(size=ROWS) * 1.5 - 1
        labels = (random.random(ROWS) < sigmoid(logits)).astype(np.int64)
        ours, theirs = (sigmoid(logits + random.normal(size=ROWS) * size) for size in noise)
        found.append(first_proof(labels, ours, theirs, LIMIT))
    return np.array(found)


@pytest.mark.parametrize("noise", [0.1, 0.5])
def test_of_two_equally_good_models_none_is_proven_better_more_often_than_stated(noise):
    runs = 600
    wrong = (proofs(runs, (noise, noise)) > 0).mean(axis=0)
    assert (wrong <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / runs)).all()
    assert wrong.max() > 0  # else the test would be of no use


def test_a_model_better_by_035_nats_is_proven_within_a_thousand_labels():
    better, worse = proofs(50, (0.0, 0.75)).T
    assert np.median(np.where(better > 0, better, ROWS)) <= 1_000
    assert (worse == 0).all()


def test_the_worst_outcome_costs_half_of_a_capital_at_most():
    capitals = np.ones(len(STAKES))
    bet(capitals, -13.0, 13.0)
    assert capitals.min() == 0.5


def test_a_capital_stays_a_finite_number_above_0():
    capitals = np.ones(len(STAKES))
    for gain in (0.5, -0.5):
        for _ in range(5_000):
            bet(capitals, gain, 0.5)
        assert np.isfinite(capitals).all()
        assert (capitals > 0).all()
