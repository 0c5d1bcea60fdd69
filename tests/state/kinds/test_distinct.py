"""Different values of a key against a set made of all events that ever were."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings

from state.events import MINUTE_US, SECOND_US
from state.features import Distinct, Labelled
from state.stream import StreamError
from state.vector.feature_state import FeatureState
from tests.state.kinds.comings import (
    START_US,
    came,
    labelled,
    played,
    read,
    steps,
    stream_of,
)

PAGES = Distinct("pages", Came := type(came(0, 0)), ("host",), "page", ("1m", "5m", "2h"))
WINDOWS = {"host_pages_1m": 1, "host_pages_5m": 5, "host_pages_2h": 120}


def different(seen, now, host, values):
    newest = {}
    for event, value in zip(seen, values, strict=True):
        if event.host == host and value is not None:
            newest[value] = max(newest.get(value, 0), event.time)
    return {
        name: sum(time > now - minutes * MINUTE_US for time in newest.values())
        for name, minutes in WINDOWS.items()
    }


@given(steps=steps)
@settings(deadline=None, max_examples=60)
def test_a_value_counts_while_its_newest_event_lies_in_the_window(steps):
    def event_of(number, time, host, value):
        return came(number, time, host, page=None if value == 5 else f"page {value}")

    def expected(seen, now, host):
        return different(seen, now, host, [event.page for event in seen])

    played(stream_of(PAGES), steps, event_of, expected)


@given(steps=steps)
@settings(deadline=None, max_examples=30)
def test_numbers_and_what_functions_make_are_values_as_well(steps):
    def event_of(number, time, host, value):
        return came(number, time, host, rank=value)

    def expected(seen, now, host):
        ranks = different(seen, now, host, [event.rank for event in seen])
        thirds = different(seen, now, host, [f"{event.rank % 3}" for event in seen])
        return ranks | {name.replace("pages", "thirds"): n for name, n in thirds.items()}

    ranks = Distinct("pages", Came, ("host",), "rank", PAGES.windows)
    thirds = Distinct("thirds", Came, ("host",), lambda e: f"{e.rank % 3}", PAGES.windows)
    played(stream_of(ranks, thirds), steps, event_of, expected)


def test_the_value_not_seen_for_longest_goes_when_there_are_too_many():
    stream = stream_of(Distinct("pages", Came, ("host",), "page", ("1h",), most=30))
    state = FeatureState(stream)
    for number in range(100):
        state.observe(came(number, START_US + number * SECOND_US, page=f"{number}"))
        seen = read(state, stream, START_US + number * SECOND_US)["host_pages_1h"]
        assert seen == min(number + 1, 30)
    size = state._arena._end
    now = START_US + 100 * SECOND_US
    state.observe(came(100, now, page="99"))
    assert read(state, stream, now)["host_pages_1h"] == 30
    state.observe(came(101, now, page="0"))
    assert read(state, stream, now + 3600 * SECOND_US - 29 * SECOND_US)["host_pages_1h"] == 29
    state.observe(came(102, START_US, page="too old to matter"))
    assert read(state, stream, now)["host_pages_1h"] == 30
    assert state._arena._end == size


def test_values_that_nobody_can_see_leave_their_room_to_new_ones():
    stream = stream_of(Distinct("pages", Came, ("host",), "page", ("1m",)))
    state, sizes = FeatureState(stream), set()
    for number in range(500):
        time = START_US + number * 40 * SECOND_US
        state.observe(came(number, time, page=f"{number}"))
        assert read(state, stream, time)["host_pages_1m"] == min(number + 1, 2)
        sizes.add(state._arena._end)
    assert len(sizes) == 1


def test_zones_of_labels_are_counted():
    stream = stream_of(
        Distinct("zones", Labelled, ("host",), lambda known: known.request.zone, ("1h",))
    )
    state = FeatureState(stream)
    for number, zone in enumerate(("north", "south", "north")):
        state.observe(labelled(START_US + number, zone=zone))
    assert read(state, stream, START_US + 9) == {"host_zones_1h": 2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"windows": ("soon",)}, r"got 'soon' in feature Distinct\(host_pages_soon\)"),
        ({"windows": ("0s",)}, "window in microseconds must lie from 1 "),
        (
            {"windows": ("1h")},
            r"windows must be a tuple of texts; got '1h' in Distinct: write \('1h",
        ),
        ({"windows": ()}, "Distinct must have a column"),
        ({"of": "pages"}, "names field 'pages' that Came lacks"),
        ({"by": ("page",)}, "feature Distinct.* names field 'page' that Asked lacks"),
        ({"most": 0}, "most must lie from 1 to 100000; got 0"),
        ({"most": 10**9}, "most must lie from 1 to 100000"),
        ({"most": 2.5}, "most must be a whole number; got 2.5"),
        ({"over": str}, "over must be an event type; got <class 'str'> in Distinct"),
    ],
)
def test_a_wrong_definition_is_refused(changes, message):
    fields = {f: getattr(PAGES, f) for f in ("name", "over", "by", "of", "windows", "most")}
    with pytest.raises(StreamError, match=message) as refused:
        stream_of(Distinct(**fields | changes))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("n", [-1.0, 0.5, 5.0, 1e9, np.nan])
def test_a_number_of_values_that_cannot_be_is_refused(n):
    stream = stream_of(PAGES)
    state, other = FeatureState(stream), FeatureState(stream)
    state.observe(came(0, START_US, page="x"))
    arena, *rest = msgspec.msgpack.decode(state.snapshot())
    pool, tables = msgspec.msgpack.decode(arena)
    cells = np.frombuffer(pool).copy()
    cells[3] = n
    arena = msgspec.msgpack.encode((cells.tobytes(), tables))
    with pytest.raises(ValueError, match="values of a key must be at most 1000"):
        other.restore(msgspec.msgpack.encode((arena, *rest)))
