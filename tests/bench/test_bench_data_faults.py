"""The benchmark of data faults makes them, and finds them where they were made."""

import numpy as np
import pytest

from bench.bench_data_faults import FAULTS, HOUR_US, MONTH, cost_us, found, healthy, rows


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_and_named_at_the_first_tick(name):
    assert found(FAULTS[name], seed=3, per_day=6_000) == (True, True, 0)


def test_a_healthy_month_raises_nothing():
    assert healthy(99, per_day=3_000) == []


def test_a_fault_changes_its_column_from_its_begin_on_and_no_other():
    of = rows(np.random.default_rng(1), MONTH, days=1, per_day=500)
    for name, fault in FAULTS.items():
        made = fault.make(of, 200)
        for column, values in of.columns.items():
            assert np.array_equal(made.columns[column][:200], values[:200], equal_nan=True)
            same = np.array_equal(made.columns[column], values, equal_nan=True)
            assert same == (column != fault.column and (column, name) != ("hour", "clock 1 h slow"))


def test_requests_swing_by_the_hour():
    of = rows(np.random.default_rng(2), MONTH, days=7, per_day=5_000)
    counts = np.bincount(of.times // HOUR_US % 24, minlength=24)
    assert counts.max() > 2 * counts.min()
    assert (np.diff(of.times) >= 0).all()


def test_the_cost_is_that_of_a_request():
    assert 0 < cost_us(3, 10_000) < 1_000
