"""Drift: the distance from the same hours of the week in training, and what chance makes of it."""

import numpy as np
import pytest
from scipy.stats import chi2

from models.judging.column_drift import critical, drift
from models.judging.column_profile import HOURS
from tests.models.judging.columns import DAY_US, HOUR_US, evenly, profile, reference, window

RANDOM = np.random.default_rng


def bound(values, days=28):
    return reference(profile({"x": values}, evenly(len(values), days)))


def test_the_index_is_that_of_its_formula():
    of = bound(RANDOM(1).normal(size=20_000), days=1)  # each hour stands for itself
    live = RANDOM(2).normal(0.5, size=600)
    made = window(of, live[:, None], np.full(600, 5 * HOUR_US))
    found = drift(of, made.counts, made.hours)
    rows = of.pool_rows[5]
    training = of.shares[5, 0] * rows
    p = (training + 0.5) / (rows + 0.5 * 10)
    edges = of.profile.columns[0].edges
    bins = np.bincount(1 + np.searchsorted(edges, live), minlength=15)
    q = (bins + 0.5) / (600 + 0.5 * 10)
    used = (training > 0) | (bins > 0)
    assert used.sum() == 10
    expected = ((q - p) * np.log(q / p))[used].sum()
    assert found.of(0).psi == pytest.approx(expected)
    assert found.of(0).psi > 0.15
    assert found.of(0).is_drift
    assert found.training == pytest.approx(rows)


@pytest.mark.parametrize("bins", [2, 3, 5, 11, 15])
def test_the_critical_value_is_that_of_chi_squared(bins):
    exact = chi2.ppf(0.999, bins - 1) * (1 / 500 + 1 / 10_000)
    assert critical(bins, 500.0, 10_000.0) == pytest.approx(exact, rel=0.04)


def test_chance_exceeds_it_about_once_in_a_thousand():
    random = RANDOM(3)
    values = random.normal(size=(20_000, 500))
    of = reference(profile({f"x{i}": values[:, i] for i in range(500)}, evenly(20_000, 28)))
    exceeded = 0
    for _ in range(8):
        made = window(of, random.normal(size=(400, 500)), evenly(400, 7))
        found = drift(of, made.counts, made.hours)
        exceeded += sum(found.of(i).psi > found.of(i).critical for i in range(500))
    assert exceeded <= 12


def test_live_rows_are_compared_with_the_same_hours_of_the_week():
    times = evenly(168 * 300, 7)
    hours = times // HOUR_US % HOURS
    of = reference(profile({"hour": hours.astype(float)}, times))
    nine = np.full((300, 1), 9.0)
    as_then = window(of, nine, np.full(300, 9 * HOUR_US))
    assert drift(of, as_then.counts, as_then.hours).of(0).psi < 0.01
    at_ten = window(of, nine, np.full(300, 20 * HOUR_US))
    assert drift(of, at_ten.counts, at_ten.hours).of(0).is_drift


def test_hours_with_few_rows_lean_on_the_hour_of_the_day_and_then_on_all():
    busy = np.arange(7_000) * (7 * DAY_US // 7_000)  # 42 an hour, 292 of each hour of the day
    of = reference(profile({"x": busy.astype(float)}, busy))
    assert of.pool_of[5] == HOURS + 5
    rare = evenly(700, 7)
    of = reference(profile({"x": rare.astype(float)}, rare))
    assert of.pool_rows[of.pool_of[5]] == 700
    many = evenly(168 * 300, 7)
    of = reference(profile({"x": many.astype(float)}, many))
    assert of.pool_of[5] == 5


def test_a_mixture_of_hours_is_as_large_as_its_variance_says():
    times = np.concatenate([np.full(300, 0), np.full(900, HOUR_US)])
    of = reference(profile({"x": np.arange(1200.0)}, times))
    made = window(of, np.zeros((200, 1)), np.repeat([0, HOUR_US], 100))
    found = drift(of, made.counts, made.hours)
    assert found.training == pytest.approx(1 / (0.25 / 300 + 0.25 / 900))


def test_a_partition_is_compared_with_its_own_rows():
    times = np.tile(evenly(10_000, 28), 2)
    partitions = np.arange(20_000) // 10_000
    values = {"key": np.where(partitions == 1, 7.0, RANDOM(1).normal(size=20_000))}
    found = profile(values, times, partitions)
    live = window(reference(found, partition=1), np.full((400, 1), 7.0), evenly(400, 7))
    own, other = (reference(found, partition=partition) for partition in (1, 0))
    assert drift(own, live.counts, live.hours).of(0).psi < 0.01
    assert drift(other, live.counts, live.hours).of(0).is_drift
    assert drift(own, live.counts, live.hours).training < 10_000


def test_a_partition_without_rows_in_training_is_compared_with_all():
    found = profile({"x": RANDOM(1).normal(size=5_000)}, evenly(5_000, 28))
    assert np.array_equal(reference(found, partition=9).shares, reference(found).shares)
