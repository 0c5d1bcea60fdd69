"""A profile says what the columns were like in the training window."""

import math

import msgspec
import numpy as np
import pytest

from models.judging.column_profile import (
    HOURS,
    LEVELS,
    OTHERS,
    ColumnProfile,
    Profile,
    ProfileError,
    read_profile,
)
from tests.models.judging.columns import DAY_US, HOUR_US, evenly, profile

NAN = math.nan


def column(values, times=None, partitions=None):
    times = evenly(len(values), 30) if times is None else times
    values = values if isinstance(values[0], str) else np.asarray(values, float)
    (found,) = profile({"x": values}, times, partitions).columns
    return found


def test_numbers_fall_into_bins_by_their_tenths():
    of = column(np.arange(1.0, 101.0))
    assert of.edges == [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0]
    counts = np.array(of.hours).reshape(HOURS, of.bins).sum(axis=0)
    assert counts.tolist() == [0, *[10] * 10, 0]
    assert (of.least, of.tiny) == (1.0, 1.0)


def test_a_value_that_many_rows_have_is_one_bin_and_nulls_are_one():
    of = column([0.0] * 60 + [1.0, 2.0, 3.0, 4.0] * 5 + [NAN] * 20)
    assert of.edges == [0.0, 1.0, 3.0, 4.0]
    assert np.array(of.hours).reshape(HOURS, of.bins).sum(axis=0).tolist() == [20, 60, 5, 10, 5, 0]
    assert of.tiny == 1.0


def test_rows_count_by_the_hour_of_the_week():
    times = np.array([0, HOUR_US, HOUR_US + 1, 7 * DAY_US, 8 * DAY_US])
    of = column([1.0] * 5, times)
    assert np.flatnonzero(np.array(of.hours).reshape(HOURS, of.bins).sum(axis=1)).tolist() == [
        0, 1, 24,
    ]  # fmt: skip


def test_the_most_frequent_levels_have_bins_of_their_own():
    names = [f"l{i:02}" for i in range(20)]
    of = column([name for i, name in enumerate(names) for _ in range(40 - i)] + [None] * 7)
    assert of.levels == names
    counts = np.array(of.hours).reshape(HOURS, of.bins).sum(axis=0)
    assert counts[0] == 7
    assert counts[1:OTHERS].tolist() == [40 - i for i in range(LEVELS)]
    assert counts[OTHERS] == sum(40 - i for i in range(LEVELS, 20))


def test_the_range_is_wide_enough_for_extremes_and_what_decays_has_no_lower_end():
    assert column([0.0, 50.0]).limits == (-450.0, 500.0, 50.0 / 30)
    low, high, _ = column([1.0] * 9).limits
    assert low <= 0
    assert high >= 2
    assert column([1e-5, 1.0]).limits[2] == 0.0
    for unknown in ([NAN, NAN], [0.0, 0.0]):
        assert column(unknown).limits == (-math.inf, math.inf, 0.0)


def test_values_of_the_last_fifth_that_the_rest_has_not_are_counted():
    values = [f"l{i % 3}" for i in range(80)] + ["new"] * 5 + ["l0"] * 15
    of = column(values)
    assert (of.beyond, of.beyond_rows) == (5, 20)
    numbers = column([*[10.0] * 80, 500.0, 90.0, *[10.0] * 17, -500.0])
    assert (numbers.beyond, numbers.beyond_rows) == (2, 20)


def test_runs_are_of_one_partition_and_nulls_are_a_value():
    values = [1.0, 1.0, NAN, NAN, NAN, 2.0, 2.0, 2.0]
    times = np.array([0, 10, 20, 30, 60, 70, 71, 72])
    of = column(values, times, np.array([0, 0, 0, 0, 0, 0, 1, 1]))
    assert (of.longest, of.longest_us, of.changes) == (3, 40, 2)


def test_independent_nulls_have_no_spread_and_bursts_have_a_large_one():
    random = np.random.default_rng(1)
    n = 30_000
    even = column(np.where(random.random(n) < 0.1, NAN, 1.0))
    assert even.null_spread < 2
    assert even.hourly_spread is None
    times = evenly(n, 30)
    bursts = np.isin(times // HOUR_US, random.choice(720, 72, replace=False))
    assert column(np.where(bursts, NAN, 1.0), times).null_spread > 20


def test_nulls_by_the_hour_of_the_week_are_known_as_such():
    random = np.random.default_rng(2)
    times = evenly(60_000, 30)
    is_night = times // HOUR_US % 24 < 6
    of = column(np.where(is_night & (random.random(60_000) < 0.5), NAN, 1.0), times)
    assert 1 < of.hourly_spread < of.null_spread / 2


def test_a_profile_reads_back_and_is_small():
    random = np.random.default_rng(3)
    found = profile({f"x{i}": random.normal(size=20_000) for i in range(30)}, evenly(20_000, 30))
    assert read_profile(found.encode()) == found
    assert len(found.encode()) < 100_000


VALID = {
    "name": "x",
    "edges": [1.0, 2.0],
    "least": 0.5,
    "hours": [1] + [0] * (4 * HOURS - 1),
    "partitions": {0: [1, 0, 0, 0]},
}


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"hours": [1]}, "hours must be 672 counts; got 1"),
        ({"hours": [0] * 4 * HOURS}, "hours must hold 1 rows; got 0"),
        ({"partitions": {0: [2, 0, 0, 0]}}, "partitions must hold 1 rows; got 2"),
        ({"partitions": {0: [1]}}, "partitions must have 4 counts each"),
        ({"edges": [2.0, 1.0]}, "edges must rise"),
        ({"edges": [1.0, math.inf]}, "numbers must be finite"),
        ({"least": 1.5}, "edges must rise"),
        ({"least": None}, "a smallest one and edges, or neither"),
        ({"levels": ["a"]}, "hours must be"),
        ({"beyond": 2, "beyond_rows": 1}, "new values must be at most 1; got 2"),
        ({"importance": 1.5}, "profile must be readable"),
        ({"null_spread": 0.5}, "profile must be readable"),
        ({"name": 3}, "profile must be readable"),
    ],
)
def test_another_file_is_refused(changes, rule):
    def content(column):
        return msgspec.msgpack.encode({"start": 0, "end": 9, "rows": 1, "columns": [column]})

    assert read_profile(content(VALID)).columns == [msgspec.convert(VALID, ColumnProfile)]
    with pytest.raises(ProfileError, match=rule):
        read_profile(content(VALID | changes))


def test_columns_of_one_name_are_refused():
    one = msgspec.convert(VALID, ColumnProfile)
    twice = Profile(start=0, end=9, rows=1, columns=[one, one])
    with pytest.raises(ProfileError, match="names of their own"):
        read_profile(twice.encode())
