from itertools import accumulate, islice, pairwise
from statistics import median_low

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.events import HOUR_US, MINUTE_US
from state.ingest.append_time import LOOKAHEAD, append_times

times = st.integers(0, 10**6)
histories = st.lists(times | st.none(), max_size=60)


def straight(event_times, floor):
    """The formula of the module, read off without streaming."""
    last, stamps = floor, []
    for i, event_time in enumerate(event_times):
        if event_time is not None:
            after = [t for t in event_times[i:] if t is not None][: LOOKAHEAD + 1]
            last = max(last, min(event_time, median_low(after)))
        stamps.append(last)
    return stamps


def minutes_ahead(event_times):
    stamps = append_times(event_times, 0)
    return [(t - a) / MINUTE_US for t, a in zip(event_times, stamps, strict=True)]


@settings(deadline=None)
@given(histories, times)
def test_streaming_gives_what_the_formula_says(history, floor):
    assert list(append_times(history, floor)) == straight(history, floor)


@settings(deadline=None)
@given(histories, times)
def test_append_times_rise_from_the_floor_and_never_pass_what_has_happened(history, floor):
    stamps = list(append_times(iter(history), floor))
    assert len(stamps) == len(history)
    assert all(a <= b for a, b in pairwise([floor, *stamps]))
    highest = accumulate((t or 0 for t in history), max, initial=floor)
    assert all(stamp <= top for stamp, top in zip(stamps, list(highest)[1:], strict=True))


@settings(deadline=None)
@given(st.lists(times, max_size=40).map(sorted), st.data())
def test_history_in_order_was_appended_as_it_happened_garbage_or_not(history, data):
    garbage = data.draw(st.lists(st.integers(0, len(history)), max_size=20))
    mixed = list(history)
    for place in sorted(garbage, reverse=True):
        mixed.insert(place, None)
    stamps = append_times(mixed, 0)
    assert [a for a, t in zip(stamps, mixed, strict=True) if t is not None] == history


@pytest.mark.parametrize("jumps", [1, 2, 4])
@pytest.mark.parametrize("at", [0, 1, 25, 40])
def test_a_short_run_of_events_three_hours_ahead_stands_out(jumps, at):
    history = [i * MINUTE_US for i in range(50)]
    for i in range(at, at + jumps):
        history[i] += 3 * HOUR_US
    ahead = minutes_ahead(history)
    assert all(170 < m <= 180 for m in ahead[at : at + jumps])
    assert all(m <= 0 for m in ahead[:at] + ahead[at + jumps :])


def test_a_quiet_night_does_not_stand_out_even_with_a_late_event_after_it():
    evening = [i * MINUTE_US for i in range(30)]
    morning = [7 * HOUR_US + i * MINUTE_US for i in range(30)]
    morning.insert(2, evening[-1])  # reported in the morning
    assert max(minutes_ahead(evening + morning)) == 0


def test_a_file_that_goes_on_before_the_log_ends_is_lifted_to_it():
    assert list(append_times([10, None, 20, 30], floor=25)) == [25, 25, 25, 30]


def test_no_more_is_read_ahead_than_the_lookahead():
    read = []
    stamps = append_times((read.append(t) or t for t in range(100)), 0)
    for i, _ in enumerate(islice(stamps, 50)):
        assert len(read) == i + 1 + LOOKAHEAD


def test_endless_garbage_is_not_hoarded():
    read = []
    endless = (read.append(i) for i in range(10**5))  # nothing but None
    stamps = append_times((t for part in ([5], endless) for t in part), 0)
    assert next(stamps) == 5
    assert len(read) == 1000


@settings(deadline=None)
@given(histories, times, times)
def test_what_lies_beyond_now_lifts_no_append_time_and_counts_for_no_neighbour(history, floor, now):
    stamps = list(append_times(history, floor, now))
    assert len(stamps) == len(history)
    assert all(a <= b for a, b in pairwise([floor, *stamps]))
    assert max(stamps, default=0) <= max(floor, now)
    others = [(i, t) for i, t in enumerate(history) if t is None or t <= now]
    without = append_times([t for _, t in others], floor)
    assert all(stamps[i] >= stamp for (i, _), stamp in zip(others, without, strict=True))


@settings(deadline=None)
@given(st.lists(times, min_size=1, max_size=40).map(sorted), st.data())
def test_history_in_order_was_appended_as_it_happened_whatever_future_is_mixed_in(history, data):
    future = 10**7
    places = data.draw(st.lists(st.integers(0, len(history)), max_size=20))
    mixed = list(history)
    for place in sorted(places, reverse=True):
        mixed.insert(place, future)
    stamps = list(append_times(mixed, 0, now=10**6))
    before_first = [stamp for stamp, t in zip(stamps, mixed, strict=True) if t != future]
    if mixed[0] != future:
        assert before_first[0] == history[0]
    assert max(stamps) <= history[-1]


@pytest.mark.parametrize("at", ["first", "last", "only", "all"])
def test_an_event_of_2099_stands_out_wherever_it_is(at):
    future, history = 4_070_908_800_000_000, [i * MINUTE_US for i in range(20)]
    mixed = {
        "first": [future, *history],
        "last": [*history, future],
        "only": [future],
        "all": [future] * 30,
    }[at]
    stamps = list(append_times(mixed, floor=0, now=HOUR_US))
    assert max(stamps) <= history[-1]
    if at == "last":
        assert stamps == [*history, history[-1]]
