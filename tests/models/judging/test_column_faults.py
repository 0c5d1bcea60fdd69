"""Faults of columns: found beyond chance, named, and not where training was the same."""

import math

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from models.judging.column_faults import (
    Lateness,
    column_signs,
    evidence,
    share_sign,
)
from models.judging.column_window import LAGS
from tests.models.judging.columns import HOUR_US, evenly, profile, reference, window

RANDOM = np.random.default_rng
N = 20_000
MINUTE = 60_000_000


def faults(training, live, levels=None, times=None, trained_at=None):
    """Kinds of faults of a live window of one column, and their signs."""
    trained_at = evenly(len(training), 28) if trained_at is None else trained_at
    of = reference(profile({"x": training}, trained_at), levels)
    times = evenly(len(live), 1) if times is None else times
    made = window(of, np.asarray(live, float)[:, None], times)
    signs = column_signs(of, made, 0, int(times.max()) + 1)
    return [one.kind for one in signs if one.is_fault]


def with_nulls(share, n=N, seed=1):
    random = RANDOM(seed)
    return np.where(random.random(n) < share, math.nan, random.normal(size=n))


@pytest.mark.parametrize("table", [(10, 190, 12, 11_988), (400, 0, 9_800, 200), (30, 70, 5, 95)])
def test_evidence_is_half_of_the_g_statistic(table):
    a, b, c, d = table
    g = chi2_contingency([[a, b], [c, d]], correction=False, lambda_="log-likelihood")[0]
    assert evidence(a, a + b, c, c + d) == pytest.approx(g / 2)


def test_a_lower_share_is_no_evidence_of_a_higher_one():
    assert evidence(1, 100, 50, 100) == 0.0
    assert evidence(0, 100, 0, 100) == 0.0


@pytest.mark.parametrize(("before", "share"), [(0.0, 0.05), (0.001, 0.06), (0.3, 0.6)])
def test_more_nulls_than_in_training_are_a_fault(before, share):
    assert faults(with_nulls(before), with_nulls(share, 400, seed=2)) == ["nulls"]
    assert faults(with_nulls(before), with_nulls(before, 400, seed=3)) == []


@pytest.mark.parametrize("share", [0.98, 0.995, 1.0])
def test_a_column_that_is_mostly_null_in_training_too_has_none(share):
    for seed in range(20):
        assert faults(with_nulls(share), with_nulls(share, 400, seed=seed + 5)) == []
        assert faults(with_nulls(share), np.full(100, math.nan)) == []


def test_nulls_at_the_same_hours_of_the_week_are_none():
    times = evenly(N, 28)
    is_night = times // HOUR_US % 24 < 6
    training = np.where(is_night, math.nan, RANDOM(1).normal(size=N))
    night = np.full(300, 2 * HOUR_US)
    assert faults(training, np.full(300, math.nan), times=night) == []
    assert faults(training, np.full(300, math.nan), times=night + 8 * HOUR_US) == [
        "stopped",
        "nulls",
    ]


def test_a_column_without_a_value_has_stopped():
    assert faults(with_nulls(0.0), np.full(200, math.nan)) == ["stopped", "nulls"]


def test_one_value_only_is_a_fault_of_a_column_that_changed_often():
    assert faults(with_nulls(0.0), np.full(100, 1.5)) == ["constant"]
    assert faults(with_nulls(0.0), np.full(50, 1.5)) == []
    assert faults(np.ones(N), np.ones(5_000)) == []
    rare = np.zeros(N)
    rare[::2_000] = 1.0
    assert faults(rare, np.zeros(N)) == []
    hourly = np.repeat(RANDOM(2).normal(size=672), 30)
    assert faults(hourly, np.full(30, 1.0), trained_at=evenly(len(hourly), 28)) == []
    assert faults(
        hourly, np.full(150, 1.0), times=evenly(150, 1), trained_at=evenly(len(hourly), 28)
    ) == ["constant"]


@pytest.mark.parametrize("factor", [1_000.0, 0.001, -1_000.0])
def test_another_unit_is_out_of_range(factor):
    values = RANDOM(3).uniform(50.0, 900.0, N)
    assert faults(values, values[:200] * factor) == ["out_of_range"]


def test_some_small_numbers_of_a_scale_that_crosses_0_are_no_fault():
    degrees = RANDOM(3).uniform(7.0, 70.0, N)
    cold = np.where(np.arange(400) % 3, degrees[:400], 0.04)
    assert faults(degrees, cold) == []
    assert faults(degrees, np.where(np.arange(400) % 3, 0.04, degrees[:400])) == ["out_of_range"]


def test_a_heavy_tail_and_a_growing_number_stay_in_range():
    tail = RANDOM(4).lognormal(0.0, 2.0, 2 * N)
    assert faults(tail[:N], tail[N:]) == []
    growing = np.arange(2.0 * N)
    assert faults(growing[:N], growing[N : N + 2_000]) == []


def test_a_renamed_level_is_new_and_rare_new_levels_are_usual():
    random = RANDOM(5)
    names = [f"l{i}" for i in range(5_000)]
    drawn = np.minimum(random.pareto(0.9, 2 * N) * 5, 4_998).astype(int)
    training = [names[i] for i in drawn[:N]]
    assert faults(training, drawn[N : N + 400], {0: names}) == []
    renamed = np.where(drawn[N : N + 400] == 1, 5_000, drawn[N : N + 400])
    assert faults(training, renamed, {0: [*names, "L1"]}) == ["unseen_levels"]


def test_a_small_excess_is_no_fault_however_many_rows_show_it():
    assert not share_sign("nulls", 10_900, 10**6, 0.001, 10**7, 1.0).is_fault
    assert share_sign("nulls", 11_500, 10**6, 0.001, 10**7, 1.0).is_fault


def test_hours_that_differ_among_themselves_ask_for_more():
    assert share_sign("nulls", 40, 400, 0.01, 10_000, 1.0).is_fault
    assert not share_sign("nulls", 40, 400, 0.01, 10_000, 10.0).is_fault


def lags(late_us, share=1.0, n=400, early=False):
    counts = np.zeros((2, LAGS), int)
    far = round(n * share)
    counts[int(early), math.frexp(late_us)[1]] += far
    counts[0, 20] += n - far
    return counts


def known(windows=24):
    usual = Lateness()
    for _ in range(windows):
        usual = usual.after(lags(2e6))
    return usual


def test_a_clock_that_is_an_hour_off_is_told_either_way():
    for early in (False, True):
        assert known().sign(lags(60 * MINUTE, early=early)).is_fault
    assert not known().sign(lags(4 * MINUTE)).is_fault
    assert not known().sign(lags(60 * MINUTE, share=0.04)).is_fault
    assert known().sign(lags(60 * MINUTE, share=0.06)).is_fault


def test_requests_that_always_come_late_are_usual():
    usual = Lateness()
    for _ in range(24):
        usual = usual.after(lags(60 * MINUTE))
    assert not usual.sign(lags(60 * MINUTE)).is_fault
    assert usual.sign(lags(600 * MINUTE)).is_fault


def test_nothing_is_told_before_the_usual_is_known():
    assert not known(23).sign(lags(600 * MINUTE)).is_fault


def test_a_column_that_one_partition_never_has_is_no_fault_there():
    partitions = np.arange(N) // (N // 4)
    values = np.where(partitions == 3, math.nan, RANDOM(1).normal(size=N))
    found = profile({"x": values}, np.tile(evenly(N // 4, 28), 4), partitions)
    for partition, kinds in ((3, []), (1, ["stopped", "nulls"])):
        of = reference(found, partition=partition)
        made = window(of, np.full((300, 1), math.nan), evenly(300, 1))
        signs = column_signs(of, made, 0, 2**40)
        assert [one.kind for one in signs if one.is_fault] == kinds


def test_an_outage_that_is_longer_than_any_in_training_is_told():
    times = evenly(N, 28)
    outage = (times >= 3 * HOUR_US) & (times < 6 * HOUR_US)
    values = np.where(outage, math.nan, RANDOM(1).normal(size=N))
    assert faults(values, np.full(100, math.nan), times=np.arange(100) * 6 * MINUTE) == []
    longer = np.arange(600) * 2 * MINUTE
    assert faults(values, np.full(600, math.nan), times=longer)[0] == "stopped"
