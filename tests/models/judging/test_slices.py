"""A slice is called worse if it is, and not because it is the worst of many."""

import numpy as np
import pytest

from models.judging.slices import worst_slices


def world(seed, rows=8_000, levels=20):
    """Requests of a right model, with a level each."""
    random = np.random.default_rng(seed)
    said = random.uniform(0.05, 0.6, rows)
    labels = (random.random(rows) < said).astype(np.int64)
    return [f"l{i}" for i in random.integers(levels, size=rows)], labels, said


def test_of_a_right_model_a_slice_is_called_bad_in_at_most_5_of_100_worlds():
    called = 0
    for seed in range(200):
        levels, labels, said = world(seed)
        found = worst_slices({"a": levels}, labels, said, 0.5)
        assert found.looked_at == 20
        called += any(one.is_worse for one in found.worst)
        called += any(one.is_off for one in found.worst)
    assert called <= 20  # each of both at most 5 in 100


def test_a_slice_in_which_the_label_is_drawn_anew_stands_first():
    levels, labels, said = world(1)
    bad = np.array([level == "l7" for level in levels])
    labels[bad] = np.random.default_rng(2).random(bad.sum()) < 0.8
    found = worst_slices({"a": levels, "b": ["same"] * len(levels)}, labels, said, 0.5)
    first = found.worst[0]
    assert (first.column, first.level) == ("a", "l7")
    assert first.is_worse
    assert first.is_off
    assert first.requests == bad.sum()
    assert first.came.value == pytest.approx(labels[bad].mean())
    assert first.wrong.value == pytest.approx(((said >= 0.5) != (labels == 1))[bad].mean())
    assert found.looked_at == 21


def test_small_slices_are_counted_and_missing_is_a_level():
    levels = ["big"] * 300 + [None] * 250 + ["small"] * 10
    labels = np.zeros(560, np.int64)
    found = worst_slices({"a": levels}, labels, np.full(560, 0.1), 0.5)
    assert {one.level for one in found.worst} == {"big", None}
    assert (found.looked_at, found.too_small) == (2, 1)


def test_intervals_widen_with_the_number_of_slices():
    levels, labels, said = world(3)
    alone = worst_slices({"b": ["same"] * len(levels)}, labels, said, 0.5).worst[0]
    among = worst_slices({"a": levels, "b": ["same"] * len(levels)}, labels, said, 0.5)
    same = next(one for one in among.worst if one.column == "b")
    assert same.wrong.low < alone.wrong.low
    assert same.wrong.high > alone.wrong.high
