"""The benchmark of estimates compares them with what came, and with the alarms of drift."""

import pytest

from bench.bench_drift import CHANGES, month
from bench.bench_estimates import SHIFTS, cost, off, watched


@pytest.mark.parametrize("shift", SHIFTS)
def test_estimates_of_a_right_model_are_right_however_requests_change(shift):
    found = off(SHIFTS[shift], 500, 60)
    assert found.auc < 0.03
    assert abs(found.side) < 0.01
    assert all(share >= 0.85 for share in found.held.values())


def test_those_of_a_model_that_is_too_sure_are_too_high():
    found = off(SHIFTS["as before"], 500, 20, sure=2.0)
    assert found.side > 0.05
    assert found.held["auc"] < 0.2


def test_a_doubt_comes_before_the_alarm():
    doubt, alarm, doubted = watched(month(1, days=1, truth=CHANGES["sign flip"]))
    assert doubt < alarm < 500
    assert doubted > 5_000


def test_the_cost_is_that_of_two_shards_that_differ_in_nothing_else():
    found = cost(events=300, rounds=2)
    assert 0 < found.request < 50
    assert 0 < found.label < 50
    assert found.ratio > 0
