"""The limit promised for a threshold holds on later requests."""

import numpy as np
import pytest
from scipy.stats import binomtest

from models.judging.histograms import BINS, column
from models.judging.trust import trust, upper_bound

MOST, CONFIDENCE = 0.1, 0.95


def drawn(random, rows):
    """A histogram of as many rows, and all true shares of label 0 by their begin of column."""
    logits = random.normal(size=rows) * 1.5 - 1
    said = 1 / (1 + np.exp(-logits))
    labels = (random.random(rows) < said).astype(int)
    counts = np.zeros((2, BINS), np.int64)
    np.add.at(counts, (labels, np.floor(logits / 0.1).astype(int) + BINS // 2), 1)
    return counts


def shares_at(threshold, whole):
    """The share of label 0 from a threshold on, and of label 1 below it."""
    of = column(threshold + 1e-12)
    return whole[0, of:].sum() / whole[0].sum(), whole[1, :of].sum() / whole[1].sum()


@pytest.mark.parametrize("rows", [500, 2_000, 10_000])
def test_a_promise_is_broken_in_one_of_twenty_fits_at_most(rows):
    whole = drawn(np.random.default_rng(0), 4_000_000)
    broken_act = broken_let_go = 0
    for seed in range(1, 1_001):
        found = trust(drawn(np.random.default_rng(seed), rows), MOST, MOST, CONFIDENCE)
        if found.act.threshold is not None:
            broken_act += shares_at(found.act.threshold, whole)[0] > MOST
        if found.let_go.threshold is not None:
            broken_let_go += shares_at(found.let_go.threshold, whole)[1] > MOST
    assert broken_act <= 50
    assert broken_let_go <= 50


def test_a_promise_leaves_little_on_the_table():
    whole = drawn(np.random.default_rng(0), 4_000_000)
    found = trust(drawn(np.random.default_rng(1), 10_000), MOST, MOST, CONFIDENCE)
    act, let_go = found.act.threshold, found.let_go.threshold
    assert shares_at(act, whole)[0] > 0.8 * MOST
    assert shares_at(let_go, whole)[1] > 0.7 * MOST
    assert 0 < let_go < act < 1
    assert found.act.bound <= MOST


def test_too_few_requests_are_told_with_the_number_that_it_takes():
    counts = np.zeros((2, BINS), np.int64)
    counts[0, 10], counts[1, 200] = 28, 500
    found = trust(counts, MOST, MOST, CONFIDENCE)
    assert found.act.threshold is None
    assert found.act.needs == 29
    assert found.let_go.needs == 0
    counts[0, 10] = 29
    assert trust(counts, MOST, MOST, CONFIDENCE).act.threshold is not None


def test_a_model_that_knows_nothing_gets_no_threshold_and_all_is_unsure():
    counts = np.zeros((2, BINS), np.int64)
    counts[:, 140] = 1_000
    found = trust(counts, MOST, MOST, CONFIDENCE)
    assert shares_at(found.act.threshold, counts) == (0, 1)
    assert found.recall == 0
    assert found.unsure == 1


def test_a_perfect_model_leaves_nothing_unsure():
    counts = np.zeros((2, BINS), np.int64)
    counts[0, 100], counts[1, 180] = 1_000, 1_000
    found = trust(counts, MOST, MOST, CONFIDENCE)
    assert found.unsure == 0
    assert found.recall == 1


def test_nothing_at_all_is_told_too():
    found = trust(np.zeros((2, BINS), np.int64), MOST, MOST, CONFIDENCE)
    assert (found.act.threshold, found.let_go.threshold, found.unsure) == (None, None, 1.0)


@pytest.mark.parametrize(("errors", "rows"), [(0, 30), (7, 100), (50, 60)])
def test_the_bound_is_the_exact_one(errors, rows):
    exact = binomtest(errors, rows, alternative="less").proportion_ci(CONFIDENCE).high
    assert upper_bound(np.array([float(errors)]), rows, CONFIDENCE)[0] == pytest.approx(exact)
