"""A stream's definition is checked when it is made, and an event when it is decoded."""

from dataclasses import replace

import msgspec
import pytest

from state.events import HOUR_US, Event
from state.features import (
    Calendar,
    Category,
    Count,
    Elapsed,
    Ewma,
    Field,
    Labelled,
    Last,
    Rolling,
    Sum,
)
from state.stream import StreamError
from tests.rides import START_US, Asked, Ended, Rain, encode, records, stream


class Elsewhere(Event, frozen=True, kw_only=True):
    """Of no stream."""

    free: int


def rolling(**changes):
    given = {"over": Ended, "by": ("city",), "windows": ("1h",), "stats": (Count(),)} | changes
    return Rolling(**given)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": (Field("prise"),)}, r"Field\(prise\) names field 'prise' that Asked lacks"),
        ({"features": (Category("colour"),)}, "'colour' that Asked lacks; it has id, time, source"),
        ({"features": (Elapsed("e", "time", "end"),)}, r"Elapsed\(e\) names field 'end'"),
        ({"features": (Calendar("planned", "UTC", ("hour",)),)}, "names field 'planned'"),
        ({"features": (rolling(by=("gate",)),)}, "names field 'gate' that Asked lacks"),
        ({"features": (rolling(over=Rain, by=("driver",)),)}, "'driver' that Rain lacks"),
        ({"features": (rolling(at="arrive"),)}, "'arrive' that Ended lacks"),
        ({"features": (rolling(stats=(Sum("s", "price"),)),)}, "'price' that Ended lacks"),
        ({"features": (rolling(over=Labelled, stats=(Sum("m", "late"),)),)}, "that Labelled lacks"),
        ({"features": (rolling(windows=("1 hour",)),)}, r"got '1 hour' in feature Rolling\(city"),
        ({"features": (rolling(windows=("1h",), bucket="soon"),)}, "got 'soon' in feature"),
        ({"features": (rolling(ahead="later"),)}, "got 'later' in feature"),
        ({"features": (Ewma("e", Ended, ("city",), "fare", 0.1, 0.0, "1d"),)}, "'fare' that Ended"),
        ({"features": (Last(Rain, ("city",), ("snow",), "1h"),)}, "'snow' that Rain lacks"),
        ({"features": (Last(Rain, ("city",), ("fell",), "never"),)}, "got 'never' in feature"),
        ({"features": (Field("price"), Field("price"))}, r"got \['price'\] more than once"),
        ({"features": (Ewma("label", Ended, (), "late", 0.1, 0.0, "1d"),)}, r"got \['label'\]"),
        ({"crosses": (("city", "price"),)}, "must pair categorical columns .* got 'price'"),
        ({"events": (Ended, Rain)}, "'rides' must list Asked among its events"),
        ({"label": replace(stream.label, on=Elsewhere)}, "must list Elsewhere among its events"),
        ({"label": replace(stream.label, of="ride")}, "label names field 'ride' that Ended lacks"),
        ({"label": replace(stream.label, delay="long")}, "got 'long' in label.delay"),
        ({"lateness": "-5m"}, "got '-5m' in lateness"),
        ({"dedup": ""}, "got '' in dedup"),
        ({"key": "driver"}, "key names field 'driver' that Rain lacks"),
        ({"partitions": 4}, "has 4 partitions: name a key"),
    ],
)  # fmt: skip
def test_a_wrong_definition_is_refused_with_the_name_of_what_is_wrong(changes, message):
    with pytest.raises(StreamError, match=message):
        replace(stream, **changes)


def test_every_column_has_a_place_in_the_order_of_the_features():
    names = [column.name for column in stream.columns]
    assert names[:9] == ["city", "car", "hour", "weekday", "minute_of_day", "day_of_year", "price",
                         "ride_minutes", "all_ended_10m"]  # fmt: skip
    assert names[-4:] == ["fell", "wind", "streak", "since_ride"]
    assert [c.name for c in stream.columns if c.categorical] == ["city", "car", "hour", "weekday"]
    assert {c.name: c.transform for c in stream.columns if c.transform != "identity"} == {
        "price": "log1p",
        "all_ended_10m": "log1p",
        "all_ended_1h": "log1p",
        "city_driver_count_30m": "log1p",
        "city_driver_count_2h": "log1p",
        "city_open_20m": "log1p",
        "city_open_1h": "log1p",
        "driver_known_1h": "log1p",
        "driver_late_1h": "logit",
        "usual": "logit",
    }


def test_the_horizon_is_the_longest_window():
    assert stream.horizon_us == 2 * HOUR_US
    assert replace(stream, features=(Field("price"),), crosses=()).horizon_us == HOUR_US


def test_what_an_event_says_of_the_future_lies_within_what_was_declared():
    check = stream.check()
    good = Asked(id="a", time=START_US, city="b", driver=1, price=1.0,
                 pickup=START_US + HOUR_US // 2, arrive=START_US + HOUR_US)  # fmt: skip
    change = msgspec.structs.replace
    assert check(good) is None
    assert check(change(good, pickup=0, arrive=0)) is None
    assert check(change(good, pickup=good.pickup + 1)) == "pickup must be at most 30m after time"
    limit = START_US + 2 * HOUR_US - 10 * 60_000_000
    assert check(change(good, arrive=limit)) is None
    assert check(change(good, arrive=limit + 1)) == (
        "the label's deadline must be at most 2h after time"
    )


def test_every_event_of_the_history_passes_and_comes_back_the_same():
    decode, check = stream.decoder().decode, stream.check()
    for record in records(200):
        event = decode(record.value)
        assert check(event) is None
        assert encode(event) == record.value


class Counted(Event, frozen=True, kw_only=True):
    """Its number has no bounds."""

    city: str
    number: int
    other: int | None = None


@pytest.mark.parametrize("name", ["number", "other"])
def test_a_whole_number_without_bounds_must_fit_64_bits(name):
    check = replace(stream, events=(*stream.events, Counted)).check()
    event = Counted(id="a", time=0, city="b", number=0)
    assert check(event) is None
    for number in (2**63 - 1, -(2**63)):
        assert check(msgspec.structs.replace(event, **{name: number})) is None
    for number in (2**63, -(2**63) - 1, 10**400):
        wrong = check(msgspec.structs.replace(event, **{name: number}))
        assert wrong == f"{name} must fit 64 bits"


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (b'{"type":"rain","time":5,"city":"ber"}', (5, b"ber")),
        (b'{"city":"b\xc3\xa9r","time":0,"more":[1,{"a":2}]}', (0, "bér".encode())),
        (b'{"time":5}', (None, b"")),
        (b'{"time":5,"city":7}', (None, b"")),
        (b'{"time":"5","city":"ber"}', (None, b"")),
        (b'{"time":-5,"city":"ber"}', (None, b"")),
        (b'{"time":4102444800000000,"city":"ber"}', (None, b"")),
        (b'{"time":1' + b"0" * 400 + b',"city":"ber"}', (None, b"")),
        (b"[" * 100_000, (None, b"")),
        (b'{"a":' * 100_000, (None, b"")),
        (b'{"time":5,"city":"\xff"}', (None, b"")),
        (b"\0", (None, b"")),
        (b"", (None, b"")),
    ],
)
def test_peeking_finds_time_and_key_or_nothing(value, seen):
    assert replace(stream, key="city", partitions=3).peek()(value) == seen


def test_without_a_key_only_the_time_is_peeked():
    assert stream.peek()(b'{"time":5}') == (5, b"")
