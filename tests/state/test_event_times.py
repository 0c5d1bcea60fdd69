"""Times of events in every form that people bring."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest

from state.event_times import TimeUnitError, likely_unit, microseconds, parse_time
from state.stream import StreamError
from tests.rides import Asked, stream

NOON = datetime(2026, 1, 2, 12, 30, tzinfo=UTC)
NOON_US = 1_767_357_000_000_000  # date -u -d 2026-01-02T12:30 +%s


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02T12:30:00Z",
        "2026-01-02t12:30:00z",
        "2026-01-02 12:30",
        "2026-01-02T13:30:00+01:00",
        "2026-01-02T07:00:00.000000000-05:30",
        "20260102T123000Z",
        "202601021230",
        "20260102123000",
        " 2026-01-02T12:30:00Z ",
        "2026-01-02T12:29:60Z",
    ],
)
def test_a_time_as_text_is_a_moment_and_utc_without_a_zone(text):
    assert parse_time(text) == NOON
    assert microseconds(text, "s", "time") == NOON_US


def test_eight_digits_are_a_date_unless_there_is_no_such_day():
    assert microseconds("20260102", "us", "time") == NOON_US - 45_000 * 10**6
    assert microseconds("20261302", "us", "time") == 20_261_302
    assert microseconds(20_260_102, "us", "time") == 20_260_102


@pytest.mark.parametrize("text", ["1.767357e15", "1.767357E+15", "1767357000000000."])
def test_a_number_in_text_may_have_an_exponent(text):
    assert microseconds(text, "us", "time") == NOON_US


@pytest.mark.parametrize(
    "text",
    [
        "",
        "noon",
        "1e999999999",
        "--5",
        "02/01/2026 12:30",
        "2026-02-30",
        "12:30",
        "9999-12-31T23:59:60Z",
    ],
)
def test_what_is_no_time_is_an_error(text):
    with pytest.raises(ValueError, match=r".*"):
        microseconds(text, "us", "time")


NUMBERS = {"s": 1_767_357_000, "ms": 1_767_357_000_000, "us": NOON_US, "ns": NOON_US * 1000 + 7}


@pytest.mark.parametrize("unit", NUMBERS)
def test_a_stream_says_in_which_unit_its_numbers_are(unit):
    times = changed(time_unit=unit).times()
    came = b'{"type":"rain","id":"r","time":%d,"fell": 1.50}' % NUMBERS[unit]
    assert json.loads(times.of(came))["time"] == NOON_US
    assert b'"fell":1.50' in times.of(came).replace(b" ", b"")  # all else byte for byte


@pytest.mark.parametrize("declared", NUMBERS)
@pytest.mark.parametrize("unit", NUMBERS)
def test_a_number_in_another_unit_is_refused_and_its_unit_named(declared, unit):
    times = changed(time_unit=declared).times()
    came = b'{"type":"rain","id":"r","time":%d}' % NUMBERS[unit]
    if unit == declared:
        times.of(came)
        return
    with pytest.raises(TimeUnitError, match=f'time_unit="{unit}" into the stream') as told:
        times.of(came)
    assert "\n" not in str(told.value)
    assert likely_unit(NUMBERS[unit]) == unit
    sure = changed(time_unit=declared).times(is_sure=True)
    assert json.loads(sure.of(came))["time"] == microseconds(NUMBERS[unit], declared, "time")


def changed(**changes):
    return replace(stream, **changes)


def test_a_time_before_1990_needs_a_word_of_the_stream():
    came = b'{"type":"rain","id":"r","time":315532800000000}'  # 1980
    with pytest.raises(TimeUnitError, match="earlier times need `times_from`"):
        stream.times().of(came)
    early = changed(times_from=datetime(1975, 1, 1, tzinfo=UTC))
    assert early.times().of(came) == came
    assert stream.times().of(came.replace(b"315532800000000", b'"1980-01-01"')) == came


def test_every_time_of_an_event_is_taken_as_text():
    event = {"type": "asked", "id": "a", "city": "ber", "driver": 1, "price": 1.5}
    event |= {"time": "2026-01-02T12:30Z", "pickup": "2026-01-02T12:30Z", "arrive": NOON_US}
    read = stream.decoder().decode(stream.times().of(msgspec.json.encode(event)))
    assert isinstance(read, Asked)
    assert (read.time, read.pickup, read.arrive) == (NOON_US, NOON_US, NOON_US)


@pytest.mark.parametrize(
    "value",
    [
        b'{"type":"rain","id":"r","time":1767357000000000}',
        b'{"type":"rain","id":"r","time":"noon"}',
        b'{"type":"rain","id":"r","time":-1}',
        b'{"type":"rain","id":"r","time":4200000000000000000000}',
        b'{"type":"rain","id":"r","time":true}',
        b'{"type":7,"time":null}',
        b"[1]",
        b"{",
        b"\xff",
        b'{"time":' + b"[" * 5000,
    ],
)
def test_what_has_no_other_time_stays_byte_for_byte(value):
    assert stream.times().of(value) == value


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"time_unit": "m"}, "time_unit must be one of s, ms, us, ns; got 'm'"),
        ({"times_from": datetime(1980, 1, 1)}, "times_from must have a time zone"),  # noqa: DTZ001
    ],
)
def test_a_wrong_unit_is_refused_when_the_stream_is_made(change, said):
    with pytest.raises(StreamError, match=said):
        changed(**change)
