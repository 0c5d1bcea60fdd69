"""The benchmark of drift counts alarms and delays."""

import numpy as np
import pytest

from bench.bench_drift import CHANGES, PER_DAY, RIVER, delays, month, ours, rivers


def test_a_right_model_raises_no_alarm_and_a_flipped_world_some():
    assert ours(month(1, days=10)) == []
    first, *_ = ours(month(2, days=1, truth=CHANGES["sign flip"]))
    assert first < 500


@pytest.mark.parametrize("name", RIVER)
def test_rivers_detectors_raise_alarms_in_order(name):
    make, kind = RIVER[name]
    found = rivers(month(3, days=1), make, kind)
    assert found == sorted(set(found))
    assert all(0 <= at < PER_DAY for at in found)


def test_a_change_that_is_not_found_counts_as_all_labels():
    assert delays(lambda _: [], runs=1, days=1) == [f"{PER_DAY:,}"] * len(CHANGES)


def test_the_base_rate_swings_by_the_hour():
    of = month(4, days=7)
    hours = (of.times // 3.6e9).astype(int) % 24
    rates = np.array([of.labels[hours == hour].mean() for hour in range(24)])
    assert rates.max() > 2 * rates.min()
