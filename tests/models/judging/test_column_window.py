"""A window counts live vectors as any other way to count would."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.judging.column_profile import LEVELS, OTHERS, UNSEEN
from models.judging.column_reference import Reference
from models.judging.column_window import AT_ONCE, ColumnWindow
from tests.models.judging.columns import HOUR_US, evenly, profile, reference, window

NAMES = [f"l{i:02}" for i in range(LEVELS + 3)]
TRAINED = profile(
    {
        "x": np.array([*range(1, 101)], float),
        "zone": [name for i, name in enumerate(NAMES) for _ in range(8 if i < 5 else 6)][:100],
    },
    evenly(100, 7),
)
KNOWN = [*NAMES, "other"]
OF = reference(TRAINED, {1: KNOWN})

NUMBERS = st.one_of(st.just(math.nan), st.floats(-400, 400), st.sampled_from([0.0, 1e-9, 10.0]))
ZONES = st.one_of(st.just(math.nan), st.integers(0, len(KNOWN) - 1).map(float))
ROWS = st.lists(st.tuples(NUMBERS, ZONES, st.integers(0, 300 * HOUR_US)), max_size=40)


def counted(rows):
    made = ColumnWindow(OF, 2)
    for x, zone, time in rows:
        made.add(np.array([x, zone]), time, time)
    made.settle()
    return made


@settings(deadline=None)  # the first call compiles
@given(ROWS)
def test_it_counts_as_one_would_by_hand(rows):
    made = counted(rows)
    number, level = np.zeros(15, int), np.zeros(15, int)
    edges, bins = TRAINED.columns[0].edges, TRAINED.columns[1].levels
    for x, zone, _ in rows:
        number[0 if math.isnan(x) else 1 + sum(x > edge for edge in edges)] += 1
        if math.isnan(zone):
            level[0] += 1
        elif KNOWN[int(zone)] in bins:
            level[min(1 + bins.index(KNOWN[int(zone)]), OTHERS)] += 1
        else:
            level[UNSEEN] += 1
    assert made.counts.tolist() == [number.tolist(), level.tolist()]
    low, high, tiny = TRAINED.columns[0].limits
    values = [x for x, _, _ in rows if not math.isnan(x)]
    far = [x for x in values if x < low or x > high]
    small = [x for x in values if 0 < abs(x) < tiny]
    beyond = [x for x in values if x in far or x in small]
    assert made.beyond(0) == len(beyond if 2 * len(small) >= len(values) else far)
    assert made.beyond(1) == level[UNSEEN]
    if beyond:
        assert made.example(0) == beyond[-1]
    sizes = [math.frexp(x)[1] for x in beyond if x]
    assert made.size(0) == (sum(sizes) / len(sizes) if sizes else None)
    assert made.rows == len(rows)
    hours = np.bincount([time // HOUR_US % 168 for *_, time in rows], minlength=168)
    assert made.hours.tolist() == hours.tolist()


@settings(deadline=None)  # the first call compiles
@given(ROWS.filter(bool))
def test_a_run_is_what_the_newest_rows_have_in_common(rows):
    made = counted(rows)
    for column in (0, 1):
        values = [row[column] for row in rows]
        same = [v == values[-1] or (math.isnan(v) and math.isnan(values[-1])) for v in values]
        n = next((i for i, one in enumerate(reversed(same)) if not one), len(rows))
        length, since, value = made.run(column)
        assert (length, since) == (n, rows[-n][2])
        assert value == values[-1] or math.isnan(value)


@settings(deadline=None)  # the first call compiles
@given(ROWS, st.integers(0, 40))
@example([(0.0, math.nan, 0), (-0.0, math.nan, 0)], 1)
@example([(0.0, math.nan, 0), (-0.0, math.nan, 0)], 0)
def test_it_does_not_matter_when_rows_are_counted_or_saved(rows, cut):
    whole, begun = counted(rows), ColumnWindow(OF, 2)
    for x, zone, time in rows[:cut]:
        begun.add(np.array([x, zone]), time, time)
    resumed = ColumnWindow(OF, 2)
    resumed.restore(begun.snapshot())
    for x, zone, time in rows[cut:]:
        resumed.add(np.array([x, zone]), time, time)
        resumed.settle()
    assert resumed.snapshot() == whole.snapshot()


def test_a_run_goes_on_over_batches_and_restarts():
    made = ColumnWindow(OF, 2)
    for i in range(AT_ONCE + 10):
        made.add(np.array([7.0, 0.0]), i, i)
    made.settle()
    assert made.run(0) == (AT_ONCE + 10, 0, 7.0)
    made.restart()
    assert made.rows == 0
    made.add(np.array([7.0, math.nan]), 999, 999)
    made.settle()
    assert made.run(0) == (AT_ONCE + 11, 0, 7.0)
    assert made.run(1)[:2] == (1, 999)
    assert made.rows == 1


def test_a_level_that_the_shard_learns_later_is_found_by_its_name():
    known = ["other"]
    of = Reference(TRAINED, ["x", "zone"], {1: known})
    made = ColumnWindow(of, 2)
    made.add(np.array([1.0, 0.0]), 0, 0)
    made.settle()
    known.append(NAMES[0])
    made.add(np.array([1.0, 1.0]), 0, 0)
    made.settle()
    assert made.counts[1, UNSEEN] == 1
    assert made.counts[1, 1] == 1
    assert of.level(1, 1) == NAMES[0]


def test_lags_count_by_their_binary_order_and_way():
    lags = np.array([0, 1, 1_000_000, -1_000_000])
    made = window(OF, np.ones((4, 2)), np.full(4, HOUR_US), lags)
    late, early = made.lags
    assert np.flatnonzero(late).tolist() == [0, 1, 20]
    assert np.flatnonzero(early).tolist() == [20]


def _changed(place, value):
    state = msgspec.msgpack.decode(counted([(1.0, 2.0, 5)] * 3).snapshot())
    part, index = place
    state[part][index] = value
    return msgspec.msgpack.encode(state)


@pytest.mark.parametrize(
    ("place", "value"),
    [((0, 0), 1), ((0, 0), -1), ((1, 7), 4), ((2, 9), 1), ((3, 0), 9), ((3, 1), 10**9),
     ((3, 5), 2**59), ((4, 0), math.inf), ((4, 1), math.nan)],
)  # fmt: skip
def test_counts_that_no_rows_can_have_are_refused(place, value):
    with pytest.raises(ValueError, match="of the same rows"):
        ColumnWindow(OF, 2).restore(_changed(place, value))


def test_counts_of_another_profile_are_refused():
    with pytest.raises(ValueError, match="counts of columns must be"):
        ColumnWindow(reference(profile({"x": np.ones(9)}, evenly(9, 7))), 1).restore(
            counted([]).snapshot()
        )


def test_a_vector_without_a_column_of_the_profile_is_refused():
    with pytest.raises(ValueError, match="must be the vector's; got 'zone'"):
        Reference(TRAINED, ["x"], {})
    with pytest.raises(ValueError, match="must be the vector's; got 'zone'"):
        Reference(TRAINED, ["x", "zone"], {})
