"""The columns that a model uses are found, the others tell nothing."""

import math

import numpy as np
import pytest

from models.judging.importance import importance, mean_effects, spread
from models.mojo.model import Mojo


def model(weights):
    """A logistic model of these weights; a missing value counts as 0."""
    w = np.array(weights)

    def score(rows):
        return 1 / (1 + np.exp(-(np.nan_to_num(rows) @ w)))

    names = tuple(f"x{i}" for i in range(len(weights)))
    return Mojo("glm", "Binomial", names, (None,) * len(names), "y", "", score, (), score)


def world(weights, rows=5_000):
    random = np.random.default_rng(1)
    x = random.normal(size=(rows, len(weights)))
    labels = random.random(rows) < 1 / (1 + np.exp(-(x @ np.array(weights))))
    return x, labels.astype(np.int64)


def test_columns_are_ranked_by_what_they_tell():
    weights = [0.0, 2.0, 0.5, -1.0]
    found = importance(model(weights), *world(weights))
    assert [one.column for one in found] == ["x1", "x3", "x2", "x0"]
    assert found[-1].rise == 0.0


def test_the_rise_is_that_of_a_column_of_other_requests():
    weights = [1.5]
    rows, labels = world(weights, 100_000)
    (found,) = importance(model(weights), rows, labels)
    p, other = (
        1 / (1 + np.exp(-1.5 * x))
        for x in (rows[:, 0], np.random.default_rng(9).permutation(rows[:, 0]))
    )
    loss = [-(labels * np.log(q) + (1 - labels) * np.log(1 - q)).mean() for q in (p, other)]
    assert found.rise == pytest.approx(loss[1] - loss[0], rel=0.03)


def test_effects_are_the_log_odds_of_a_linear_model():
    weights = [0.0, 2.0, -0.5]
    rows, _ = world(weights)
    rows[:, 2] = np.abs(rows[:, 2])
    found = {one.column: one for one in mean_effects(model(weights), rows)}
    assert found["x0"].size == 0.0
    assert found["x1"].change == pytest.approx(2 * rows[:, 1].mean(), abs=1e-9)
    assert found["x1"].size == pytest.approx(2 * math.sqrt(2 / math.pi), rel=0.05)
    assert found["x2"].change == pytest.approx(-found["x2"].size)
    assert [*found] == ["x1", "x2", "x0"]


@pytest.mark.parametrize("length", [1, 2, 7, 4_000, 4_001])
def test_one_permutation_of_any_length_moves_all_but_few(length):
    rows = np.arange(float(length))[:, None]
    seen = []

    def score(given):
        seen.append(given[:, 0].copy())
        return np.full(len(given), 0.5)

    whole = Mojo("glm", "Binomial", ("x",), (None,), "y", "", score, (), score)
    importance(whole, rows, np.zeros(length, np.int64))
    assert sorted(seen[1]) == sorted(seen[0])
    assert (seen[1] == seen[0]).sum() <= max(1, length // 100)


def test_places_are_spread_evenly():
    places = spread(1_000_003, 4_000)
    assert len(places) == 4_000
    assert {*np.diff(places)} <= {250, 251}
