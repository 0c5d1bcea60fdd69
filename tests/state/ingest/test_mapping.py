"""Foreign records become the stream's events, or say why not."""

from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from state.ingest.mapping import Foreign, Mapper, Refused
from state.settings import settings_from
from tests.rides import Rain, stream
from tests.state.ingest.test_rows import stream as tables

CONNECT = {
    "topic": "weather.gauges",
    "event": "rain",
    "id": "key:gauge",
    "time": {"from": "payload.after.ts", "unit": "ms"},
    "source": "header:host",
    "fields": {"city": "payload.after.place.0", "fell": "payload.after.mm", "wind": 3},
}
BODY = {"payload": {"op": "c", "after": {"ts": 1_711_828_800_123, "place": ["ber"], "mm": 4.5}}}
RECORD = Foreign(
    "weather.gauges", 2, 17, 1_711_828_801_000_000, b'{"gauge":7}', {"host": b"g1"}, b""
)


def mapper(*topics):
    return Mapper(stream, settings_from({"ingest": {"topics": list(topics)}}).ingest.topics)


def body(value, **more):
    return RECORD._replace(value=msgspec.json.encode(value), **more)


def mapped(topic, record):
    """The event, and its key."""
    outcome = mapper(topic).map(record)
    assert not isinstance(outcome, Refused), outcome
    key, raw = outcome
    return key, stream.decoder().decode(raw)


def test_an_envelope_of_connect_becomes_an_event():
    _, event = mapped(CONNECT, body(BODY))
    assert event == Rain(
        id="7", time=1_711_828_800_123_000, source="g1", city="ber", fell=4.5, wind=3.0
    )


def test_what_is_not_mapped_has_its_own_name_its_record_s_time_and_its_place_as_id():
    value = {"city": "ber", "fell": None, "wind": "12.5", "more": [1]}
    key, event = mapped({"topic": "weather.gauges", "event": "rain"}, body(value))
    assert event == Rain(
        id="weather.gauges-2-17",
        time=1_711_828_801_000_000,
        source="weather.gauges",
        city="ber",
        fell=None,
        wind=12.5,
    )
    assert key == b""  # the stream has one partition


MOMENT_US = round(datetime(2024, 3, 30, 20, 0, 0, 250_000, tzinfo=UTC).timestamp() * 1e6)


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (1_711_828_800.25, "s"),
        ("1711828800.25", "s"),
        (1_711_828_800_250, "ms"),
        (1_711_828_800_250_000, "us"),
        (1_711_828_800_250_000_999, "ns"),
        ("2024-03-30T20:00:00.250Z", "ms"),
        ("2024-03-30T21:00:00.250+01:00", "s"),
        ("2024-03-30 20:00:00.250", "us"),
    ],
)
def test_times_come_in_every_unit(value, unit):
    topic = CONNECT | {"time": {"from": "at", "unit": unit}, "fields": {"city": "const:ber"}}
    _, event = mapped(topic, body({"at": value, "fell": 1, "wind": 2}))
    assert event.time == MOMENT_US


def test_a_timestamp_of_message_pack_is_a_time():
    value = {"at": datetime(2024, 3, 30, 20, 0, 0, 250_000, tzinfo=UTC), "fell": 1, "wind": 2}
    topic = CONNECT | {"format": "msgpack", "time": "at", "id": "offset", "source": ""}
    topic["fields"] = {"city": "const:ber"}
    _, event = mapped(topic, RECORD._replace(value=msgspec.msgpack.encode(value)))
    assert event.time == MOMENT_US


def test_a_time_without_a_unit_is_in_the_stream_s():
    topics = settings_from({"ingest": {"topics": [CONNECT | {"time": "at"}]}}).ingest.topics
    in_ms = Mapper(replace(stream, time_unit="ms"), topics)
    _, raw = in_ms.map(body({**BODY, "at": MOMENT_US // 1000}))
    assert stream.decoder().decode(raw).time == MOMENT_US
    refused = Mapper(stream, topics).map(body({**BODY, "at": MOMENT_US // 1000}))
    assert refused.reason == "invalid"
    assert "it looks like milliseconds" in refused.detail


@pytest.mark.parametrize(
    ("value", "scale", "number"),
    [
        ("MDk=", 3, 12.345),  # 0x3039
        ("AP8=", 0, 255.0),  # 0x00ff: without its first byte it would be -1
        ({"scale": 2, "value": "MDk="}, 0, 123.45),
        ("AA==", 0, 0.0),
    ],
)
def test_a_decimal_of_connect_is_a_number(value, scale, number):
    fields = CONNECT["fields"] | {"fell": {"from": "mm", "scale": scale}, "wind": 1}
    _, event = mapped(
        CONNECT | {"fields": fields, "time": "timestamp"}, body({**BODY, "mm": value})
    )
    assert event.fell == number


@pytest.mark.parametrize("value", ["", "M", "MDk", 7, [], {"value": "MDk="}, "A" * 101, "ü"])
def test_what_is_no_decimal_of_connect_is_invalid(value):
    fields = CONNECT["fields"] | {"fell": {"from": "mm", "scale": 2}}
    refused = mapper(CONNECT | {"fields": fields}).map(body({**BODY, "mm": value}))
    assert refused.reason == "invalid"
    assert "fell must be a decimal of Connect, bytes in base64; got" in refused.detail


@pytest.mark.parametrize("value", ["Infinity", "-inf", "1e400"])
def test_an_infinite_number_is_no_null(value):
    topics = settings_from({"ingest": {"topics": [{"topic": "t", "event": "asked"}]}}).ingest.topics
    asked = Mapper(tables, topics)
    refused = asked.map(body({"text": "x", "number": value}, topic="t"))
    assert refused.reason == "invalid"
    assert "number" in refused.detail
    assert b'"number":null' in asked.map(body({"text": "x", "number": "nan"}, topic="t"))[1]


@pytest.mark.parametrize("value", [True, [1], {"a": 1}, "noon", "", 1e300, -5])
def test_what_is_no_time_is_invalid(value):
    topic = CONNECT | {"time": "at"}
    refused = mapper(topic).map(body({**BODY, "at": value}))
    assert isinstance(refused, Refused)
    assert refused.reason == "invalid"


def test_the_first_mapping_that_fits_is_taken():
    created = CONNECT | {"when": {"payload.op": "c"}}
    told = {
        "topic": "weather.gauges",
        "event": "rain",
        "when": {"header:kind": "told", "live": True},
        "fields": {"city": "const:muc"},
    }
    both = mapper(created, told)
    live = {"live": True, "fell": 1, "wind": 1}
    assert b'"ber"' in both.map(body(BODY))[1]
    assert b'"muc"' in both.map(body(live, headers={"kind": b"told"}))[1]
    assert both.map(body(live)).reason == "unknown_type"
    assert both.map(body(live | {"live": 1}, headers={"kind": b"told"})).reason == "unknown_type"


def test_message_pack_and_the_frame_of_a_schema_registry_are_read():
    value = {"city": "ber", "fell": 1, "wind": 2}
    plain = {"topic": "weather.gauges", "event": "rain"}
    packed = RECORD._replace(value=msgspec.msgpack.encode(value))
    framed = RECORD._replace(value=b"\0\0\0\0\7" + msgspec.json.encode(value))
    _, one = mapped(plain | {"format": "msgpack"}, packed)
    _, other = mapped(plain, framed)
    assert one == other == mapped(plain, body(value))[1]


@pytest.mark.parametrize(
    ("record", "reason", "detail"),
    [
        (RECORD._replace(value=None), "malformed", "tombstone"),
        (RECORD._replace(value=b"{"), "malformed", "truncated"),
        (RECORD._replace(value=b"[" * 500), "malformed", "brackets"),
        (body([]), "invalid", "`id`|`time`|`city`"),
        (body(BODY, key=b"nobody"), "invalid", "malformed"),
        (body(BODY, key=b"{}"), "invalid", "`id`"),
        (body(BODY, headers={"host": b"\xff"}), "invalid", "utf-8"),
        (body(BODY, topic="other"), "unknown_type", "'other'"),
    ],
)
def test_what_is_refused_says_why(record, reason, detail):
    refused = mapper(CONNECT).map(record)
    assert isinstance(refused, Refused)
    assert refused.reason == reason
    assert any(part in refused.detail for part in detail.split("|"))


def test_an_event_that_the_stream_would_refuse_is_refused_here():
    topic = CONNECT | {"event": "asked", "fields": {"pickup": {"from": "p", "unit": "ms"}}}
    refused = mapper(topic).map(body({**BODY, "p": 1}))
    assert refused == Refused("invalid", "Object missing required field `city`")
    big = CONNECT | {"fields": {"city": "const:ber", "fell": "n", "wind": "n"}}
    assert mapper(big).map(body({**BODY, "n": 10**400})).reason == "invalid"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"event": "rains"}, r"must be one of .*'rain'\]; got 'rains' in .*topics\[0\]\.event"),
        ({"fields": {"town": "a"}}, r"of city, fell, wind; got 'town' in .*\[0\]\.fields"),
        ({"fields": {"time": "a"}}, r"got 'time' in ingest\.topics\[0\]\.fields"),
        ({"fields": {"city": "head:a"}}, r"got 'head:a' in ingest\.topics\[0\]\.fields\.city"),
        ({"id": "key:"}, r"got 'key:' in ingest\.topics\[0\]\.id"),
        ({"fields": {"wind": {"from": "a"}}}, r"unit must be of a time; got one for 'wind'"),
        ({"time": {"from": "a", "scale": 2}}, r"scale must be of a decimal; .* the time 'time' in"),
        ({"time": {"from": "a", "unit": "h"}}, r"'h' - at `\$\.ingest\.topics\[0\]\.time\.unit`"),
        ({"fild": {}}, r"unknown field `fild` - at `\$\.ingest\.topics\[0\]`"),
        ({"topic": "a/b"}, r"\$\.ingest\.topics\[0\]\.topic"),
    ],
)  # fmt: skip
def test_a_wrong_mapping_is_refused_with_its_path(change, message):
    with pytest.raises(ValueError, match=message):
        mapper(CONNECT | change)


def test_a_mapping_that_no_record_can_reach_is_refused():
    with pytest.raises(ValueError, match=r"reachable; .* in ingest\.topics\[1\]"):
        mapper(CONNECT, CONNECT)
    with pytest.raises(ValueError, match=r"in ingest\.topics\[1\]\.format"):
        mapper(CONNECT | {"when": {"a": 1}}, CONNECT | {"format": "msgpack"})


def test_a_password_for_the_foreign_cluster_comes_from_the_environment():
    options = {"sasl.password": "secret"}
    with pytest.raises(ValueError, match=r"got the secret itself in ingest\.options"):
        settings_from({"ingest": {"options": options}})


garbage = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["ber", "2024-03-30T20:00:00Z", "nan", "1e400", "9" * 5000, 1e308]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
places = st.fixed_dictionaries(
    {},
    optional={
        "ts": garbage,
        "place": garbage | st.lists(st.just("ber"), min_size=1),
        "mm": garbage | st.floats(0, 500),
    },
)
MAPPERS = [
    mapper(CONNECT | {"format": form, "time": time, "id": key})
    for form in ("json", "msgpack")
    for time in ({"from": "payload.after.ts", "unit": "s"}, "payload.after.ts", "timestamp")
    for key in ("key", "key:a", "payload.after.mm", "offset")
]


def is_event_or_refused(mapper, record):
    outcome = mapper.map(record)
    if isinstance(outcome, Refused):
        assert outcome.detail
    else:
        event = stream.decoder().decode(outcome[1])
        assert stream.check()(event) is None


@given(st.sampled_from(MAPPERS), places, garbage | st.binary())
def test_any_value_becomes_an_event_or_a_reason(mapper, after, key):
    form = next(iter(mapper._rules.values()))[0].format
    encode = msgspec.json.encode if form == "json" else msgspec.msgpack.encode
    try:
        value = encode({"payload": {"after": after}})
        raw_key = key if isinstance(key, bytes) else encode(key)
    except (OverflowError, UnicodeEncodeError):
        return
    is_event_or_refused(mapper, RECORD._replace(value=value, key=raw_key))


@given(st.sampled_from(MAPPERS), st.binary(), st.binary(), st.binary())
@example(MAPPERS[-1], b"\x81\x80\x01", b"", b"")  # a list as a key
@example(MAPPERS[-1], b"\x81\x81\x01\x01\x01", b"", b"")  # a map as a key
def test_any_bytes_become_an_event_or_a_reason(mapper, value, key, host):
    record = RECORD._replace(value=value, key=key, headers={"host": host})
    is_event_or_refused(mapper, record)


def test_values_too_large_to_decode_are_refused_before():
    for form, least in (("json", 2**24), ("msgpack", 2**22)):
        topic = {"topic": "weather.gauges", "event": "rain", "format": form}
        value = {"json": b" " * least + b"{}", "msgpack": b"\xdd" + bytes(4) + bytes(least)}[form]
        refused = mapper(topic).map(RECORD._replace(value=value))
        assert refused == Refused("malformed", f"no {form}: more than {least} bytes")


def test_a_time_of_a_million_digits_is_refused_without_reckoning():
    value = {"payload": {"after": BODY["payload"]["after"] | {"ts": "9" * 10_000_000}}}
    refused = mapper(CONNECT).map(body(value))
    assert refused == Refused("invalid", "time must be at most 100 characters; got 10000000")


def test_a_time_that_may_be_null_is_read_like_any_other():
    topic = {"topic": "t", "event": "asked", "fields": {"when": {"from": "at", "unit": "s"}}}
    mapped = Mapper(tables, settings_from({"ingest": {"topics": [topic]}}).ingest.topics)
    asked = {"text": "a", "number": 1.5}
    times = []
    for at in (1_772_368_200, "2026-03-01T12:30:00Z", None):
        outcome = mapped.map(
            RECORD._replace(topic="t", value=msgspec.json.encode(asked | {"at": at}))
        )
        assert not isinstance(outcome, Refused), outcome
        times.append(tables.decoder().decode(outcome[1]).when)
    assert times == [1_772_368_200_000_000] * 2 + [None]
