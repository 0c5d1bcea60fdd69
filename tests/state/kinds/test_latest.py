"""Statistics over the last n events, from the list of all events."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings

from state.events import HOUR_US, SECOND_US
from state.features import Count, Labelled, Latest, Mean, Rate, Sum
from state.stream import StreamError
from state.vector.feature_state import FeatureState
from tests.state.kinds.comings import START_US, Came, came, labelled, played, read, steps, stream_of

STATS = (
    Count("n"),
    Sum("size", "size"),
    Mean("mean", "size"),
    Rate("fast", lambda event: event.speed > 3, prior=0.5, strength=2.0),
)


def mean(values, prior=0.0, strength=0.0):
    weight = len(values) + strength
    return (sum(values) + prior * strength) / weight if weight else math.nan


@given(steps=steps)
@settings(deadline=None, max_examples=80)
def test_they_are_of_the_last_events_in_order_of_arrival_until_they_are_forgotten(steps):
    def event_of(number, time, host, value):
        size = None if value == 5 else value / 4
        return came(number, time, host, size=size, speed=float(number % 7))

    def expected(seen, now, host):
        mine = [e for e in seen if e.host == host]
        if not mine or now - max(e.time for e in mine) > HOUR_US:
            mine = []
        values = {}
        for n in (3, 1, 20):
            last = mine[-n:]
            sizes = [e.size for e in last if e.size is not None]
            values |= {
                f"host_n_last{n}": len(last),
                f"host_size_last{n}": sum(sizes),
                f"host_mean_last{n}": mean(sizes),
                f"host_fast_last{n}": mean([e.speed > 3 for e in last], 0.5, 2.0),
            }
        return values

    stream = stream_of(Latest(Came, ("host",), (3, 1, 20), STATS, forget="1h"))
    played(stream, steps, event_of, expected)


def test_a_key_costs_what_it_holds_and_at_most_what_is_asked_for():
    stream = stream_of(Latest(Came, ("host",), (50,), (Count(),)))
    state, ends = FeatureState(stream), []
    for number in range(400):
        state.observe(came(number, START_US + number * SECOND_US))
        ends.append(state._arena._end)
    assert ends[0] == 4 + 4
    assert ends[-1] == ends[60] == (4 + 4) + (4 + 16) + (4 + 56)
    assert read(state, stream, START_US + 400 * SECOND_US) == {"host_count_last50": 50}


def test_labels_are_counted():
    stream = stream_of(Latest(Labelled, ("host",), (2,), (Mean("late", "label"),)))
    state = FeatureState(stream)
    for number, label in enumerate((1, 0, 1)):
        state.observe(labelled(START_US + number, label))
    assert read(state, stream, START_US + 9) == {"host_late_last2": 0.5}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"events": (0,)}, "events must lie from 1 to 100000; got 0"),
        ({"events": ("5",)}, "events must be a tuple of whole numbers; got '5' in Latest"),
        (
            {"events": (5)},
            r"events must be a tuple of whole numbers; got 5 in Latest: write \(5,\)",
        ),
        ({"events": ()}, "Latest must have a column"),
        ({"stats": (Sum("s", "fare"),)}, "'fare' that Came lacks"),
        ({"stats": (Rate("r", "size", prior=2.0),)}, "prior of 'r' must lie from 0 to 1"),
        ({"forget": "soon"}, "got 'soon' in feature Latest"),
    ],
)
def test_a_wrong_definition_is_refused(changes, message):
    given = {"over": Came, "by": ("host",), "events": (5,), "stats": (Count(),)}
    with pytest.raises(StreamError, match=message):
        stream_of(Latest(**given | changes))


@pytest.mark.parametrize(("cell", "value"), [(2, -1.0), (2, 4.0), (3, 9.0), (3, 0.5), (3, np.nan)])
def test_events_that_cannot_be_are_refused(cell, value):
    stream = stream_of(Latest(Came, ("host",), (8,), (Count(),)))
    state, other = FeatureState(stream), FeatureState(stream)
    state.observe(came(0, START_US))
    arena, *rest = msgspec.msgpack.decode(state.snapshot())
    pool, tables = msgspec.msgpack.decode(arena)
    cells = np.frombuffer(pool).copy()
    cells[cell] = value
    arena = msgspec.msgpack.encode((cells.tobytes(), tables))
    with pytest.raises(ValueError, match="events of a key must be at most 8"):
        other.restore(msgspec.msgpack.encode((arena, *rest)))
