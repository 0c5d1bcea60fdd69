"""Periods have round lengths, and their figures are those of their rows."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.reports.periods import aucs, means, periods_of
from models.scorecard import auc
from state.events import DAY_US, HOUR_US

NEW_YEAR = 1_356_998_400_000_000


def world(rows=3_000, length=20 * HOUR_US):
    random = np.random.default_rng(1)
    times = np.sort(random.integers(NEW_YEAR, NEW_YEAR + length, rows))
    said = random.uniform(size=rows)
    return times, (random.random(rows) < said).astype(np.int64), said


def test_a_year_has_weeks_from_monday_on_and_an_hour_has_minutes():
    weeks = periods_of(np.linspace(NEW_YEAR, NEW_YEAR + 364 * DAY_US, 10_000).astype(np.int64))
    assert weeks.length == 7 * DAY_US
    assert {datetime.fromtimestamp(s / 1e6, UTC).weekday() for s in weeks.starts} == {0}
    hour = np.linspace(NEW_YEAR, NEW_YEAR + HOUR_US, 10_000).astype(np.int64)
    assert periods_of(hour).length == HOUR_US // 60


def test_periods_are_longer_where_there_are_few_rows():
    few = np.linspace(NEW_YEAR, NEW_YEAR + 364 * DAY_US, 300).astype(np.int64)
    assert periods_of(few).length == 91 * DAY_US
    assert len(periods_of(few[:3]).starts) <= 2


@given(st.lists(st.integers(-62 * 10**15, 250 * 10**15), min_size=1, max_size=20))
def test_every_time_is_in_its_period_and_there_are_few(times):
    ordered = np.array(sorted(times))
    found = periods_of(ordered)
    assert len(found.starts) <= 74
    for time, i in zip(ordered.tolist(), found.of.tolist(), strict=True):
        assert found.starts[i] <= time < found.starts[i] + found.length
    assert found.counts().sum() == len(times)


def test_means_and_intervals_are_those_of_the_rows_of_a_period():
    times, _, said = world()
    periods = periods_of(times)
    for i, found in enumerate(means(periods, said)):
        rows = said[periods.of == i]
        assert found.value == pytest.approx(rows.mean())
        half = 1.96 * rows.std(ddof=1) / np.sqrt(len(rows))
        assert (found.low, found.high) == pytest.approx(
            (rows.mean() - half, rows.mean() + half), 1e-4
        )


def test_each_auc_is_that_of_the_rows_of_a_period():
    times, labels, said = world()
    periods = periods_of(times)
    for i, found in enumerate(aucs(periods, labels, said)):
        rows = periods.of == i
        assert found.value == pytest.approx(auc(labels[rows].astype(float), said[rows]), abs=0.01)


def test_a_period_with_few_answers_has_no_figures():
    times, labels, said = world()
    periods = periods_of(times)
    said[periods.of == 2] = np.nan
    said[np.flatnonzero(periods.of == 3)[19:]] = np.nan
    known = [one is not None for one in means(periods, said)]
    assert not any(known[2:4])
    assert all(known[4:])
    assert known == [one is not None for one in aucs(periods, labels, said)]
