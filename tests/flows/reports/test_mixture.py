"""Weights by period are the means of the metrics of all partitions."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from flows.reports.mixture import COLUMNS, GROUPS, weights
from flows.reports.periods import periods_of
from state.events import HOUR_US

START = datetime(2024, 1, 1)  # noqa: DTZ001 - frames have UTC without saying so
BEGIN = 1_704_067_200_000_000


def ticks(hours, **shares):
    """Rows of metrics, one an hour."""
    of = {name: shares.get(name.removeprefix("shares_")) for name in COLUMNS[1:]}
    times = [START + timedelta(hours=h) for h in hours]
    return pl.DataFrame(
        {"time": times} | {name: [share] * len(times) for name, share in of.items()},
        schema={"time": pl.Datetime("ms")} | dict.fromkeys(of, pl.Float64),
    )


PERIODS = periods_of(np.linspace(BEGIN, BEGIN + 20 * HOUR_US - 1, 1_000).astype(np.int64))


def test_parts_of_a_group_are_added_and_partitions_averaged():
    hours = range(20)
    one = ticks(hours, online=0.2, offline=0.3, residual=0.1, older_offline=0.15,
                older_residual=0.05, stacks=0.2)  # fmt: skip
    found = weights([one, ticks(hours, online=0.4, stacks=0.6)], PERIODS)
    assert [start for start, _ in found] == PERIODS.starts
    for _, of in found:
        assert of == pytest.approx({"online": 0.3, "newest": 0.2, "older": 0.1, "stacks": 0.4})
    assert [*found[0][1]] == [*GROUPS]


def test_ticks_outside_of_the_periods_and_periods_without_ticks_are_left_out():
    assert PERIODS.length == HOUR_US
    frames = [ticks([-5, 3, 900], online=1.0), ticks([4])]
    assert weights(frames, PERIODS) == [
        (BEGIN + 3 * HOUR_US, {"online": 1.0, "newest": 0.0, "older": 0.0, "stacks": 0.0})
    ]
