"""Label events that go to another partition than their request are found beforehand."""

from itertools import permutations
from zlib import crc32

import pytest

from state.admission.label_routing import LabelRouting
from state.events import Event
from state.features import Field
from state.stream import Label, Stream


class Opened(Event, frozen=True, kw_only=True):
    station: str
    size: float = 0.0


class Closed(Event, frozen=True, kw_only=True):
    of: str
    station: str


def stream_of(**changes):
    label = Label(
        on=Closed,
        of="of",
        value=lambda _: True,
        deadline=lambda opened: opened.time + 1,
        silence=False,
        delay="1s",
    )
    given = {"key": "station", "partitions": 4, "features": (Field("size"),)}
    given |= {"label": label} | changes
    return Stream(name="doors", events=(Opened, Closed), request=Opened, **given)


def opened(number, station):
    return Opened(id=f"o{number}", time=number, station=station)


def closed(number, station):
    return Closed(id=f"c{number}", time=number, of=f"o{number}", station=station)


# 'a' and 'd' go to different partitions of four, 'a' and 'c' to the same.
assert [crc32(key) % 4 for key in (b"a", b"d", b"c")] == [3, 0, 3]
EVENTS = [opened(1, "a"), closed(1, "d"), opened(2, "a"), closed(2, "c"), closed(9, "d")]


@pytest.mark.parametrize("order", [*permutations(range(5))][::7])
def test_they_are_counted_in_any_order_with_the_first_of_them(order):
    routing = LabelRouting(stream_of(), 4)
    for place in order:
        routing.see(EVENTS[place])
    assert routing.warning == (
        "1 of 2 Closed events goes to another partition than its request and would label nothing: "
        "Closed 'c1' with station 'd' goes to partition 0, its Opened 'o1' with station 'a' to 3. "
        "`key` must send both the same way, or use partitions=1"
    )


@pytest.mark.parametrize(
    ("stream", "partitions"),
    [
        (stream_of(partitions=1), 1),
        (stream_of(key=None, partitions=1), 1),
        (stream_of(key={Opened: "id", Closed: "of"}), 4),
    ],
)
def test_where_none_can_go_astray_nothing_is_said(stream, partitions):
    routing = LabelRouting(stream, partitions)
    for event in EVENTS:
        routing.see(event)
    assert routing.warning == ""


@pytest.mark.parametrize(
    ("events", "changes", "said"),
    [
        ([opened(1, "a"), closed(1, "c")], {}, "1 label is in the partition of its request"),
        ([closed(9, "d")], {}, "; 1 without their request, as far as read"),
        (EVENTS, {"key": None, "partitions": 1}, "one partition has all requests and labels"),
    ],
)
def test_the_summary_says_no_more_than_was_looked_at(events, changes, said):
    stream = stream_of(**changes)
    routing = LabelRouting(stream, stream.partitions)
    for event in events:
        routing.see(event)
    assert not routing.warning
    assert said in routing.summary


def label_by(*fields):
    return Label(
        on=Closed,
        by=fields,
        value=lambda _: True,
        deadline=lambda opened: opened.time + 1,
        silence=None,
        delay="1s",
    )


@pytest.mark.parametrize("order", [*permutations(range(4))][::5])
def test_labels_that_are_found_by_a_key_are_followed_where_they_lie(order):
    events = [(opened(1, "a"), 3), (closed(1, "a"), 3), (closed(2, "a"), 0), (closed(3, "d"), 0)]
    routing = LabelRouting(stream_of(label=label_by("station")), 4)
    for place in order:
        routing.see(*events[place])
    assert routing.warning == (
        "1 of 2 Closed events goes to another partition than its request and would label nothing: "
        "Closed 'c2' with station 'a' goes to partition 0, its Opened 'o1' with station 'a' to 3. "
        "all that is written to `events` must lie in the partition of its `key`"
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (("station",), "2 of 3 label events have the key of a request, in its partition"),
        ((), "3 of 3 label events have the key of a request, in its partition"),
    ],
)
def test_labels_by_a_key_are_counted_also_in_one_partition(fields, said):
    stream = stream_of(label=label_by(*fields), key=None, partitions=1)
    routing = LabelRouting(stream, 1)
    for event in [closed(1, "a"), opened(1, "a"), closed(2, "a"), closed(3, "d")]:
        routing.see(event)
    assert routing.summary == f"{said}, as far as read"
    assert not routing.warning
