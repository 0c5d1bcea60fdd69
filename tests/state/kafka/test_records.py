"""A value comes back from Kafka byte for byte, however it lies there."""

import json

import msgspec
import pytest
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from state.kafka.records import header_of, packed, record_of
from state.log import MAX_VALUE_BYTES, LogError, Record

IN_64_BITS = st.integers(-(2**63), 2**64 - 1)
NUMBERS = IN_64_BITS | st.floats(allow_nan=False, allow_infinity=False)


def documents(leaves):
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    )


PLAIN = documents(st.none() | st.booleans() | st.text() | NUMBERS)
ANY = documents(st.none() | st.booleans() | st.text() | st.integers() | st.floats())
VALUES = (
    st.binary()
    | PLAIN.map(msgspec.json.encode)
    | ANY.map(lambda document: json.dumps(document).encode())
    | ANY.map(lambda document: json.dumps(document, separators=(",", ":")).encode())
)


def sent(value):
    """A value as a reader gets it."""
    lies, form = packed(value)
    return Message("t", 0, 5, b"key", lies, header_of(7, 8, b"me") + form)


@given(VALUES)
def test_any_value_comes_back_as_it_was(value):
    assert record_of(sent(value)) == Record(7, 8, b"key", value)


@given(PLAIN)
def test_what_msgspec_wrote_lies_there_as_messagepack_that_others_read(document):
    message = sent(msgspec.json.encode(document))
    assert dict(message.headers())["headwater-format"] == b"msgpack"
    assert msgspec.msgpack.decode(message.value()) == document


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"no JSON",
        b'{"a": 1}',
        b'{"a":1} ',
        b'{"a":1,"a":2}',
        b'"\\u0041"',
        b"1e5",
        b"1.10",
        b"18446744073709551616",
        b"[" * 5_000 + b"]" * 5_000,
        b"[" + b"0.0," * (MAX_VALUE_BYTES // 4 - 1) + b"0]",
        b'"\xff"',
    ],
    ids=lambda value: value[:20].decode("latin-1"),
)
def test_what_would_change_lies_there_as_it_is(value):
    assert sent(value).value() == value
    assert record_of(sent(value)).value == value


def test_a_form_of_a_later_version_is_an_error_and_not_read_as_something_else():
    headers = [*header_of(1, 2, b""), ("headwater-format", b"cbor")]
    with pytest.raises(LogError, match=r"b'msgpack'; got b'cbor' in topic 't', partition 0, off"):
        record_of(Message("t", 0, 5, b"", b"\xa0", headers))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xc1",
        b"\xa1\xff",  # a text that is not UTF-8
        b"\xdd\xff\xff\xff\xff",  # a list of four milliards
        b"\x91" * 10_000,
        b"\xc7\x01\x05\x00",  # an extension
        b"\x81\xc0\x01",  # a map by null
        b"\x81\x91\x01\x01",  # by a list
        b"\xd7\xff" + b"\xff" * 8,  # a time that is none
    ],
)
def test_what_others_wrote_and_call_messagepack_is_refused_by_its_place(value):
    headers = [*header_of(7, 8, b"me"), ("headwater-format", b"msgpack")]
    with pytest.raises(LogError, match=r"value must be MessagePack .* in topic 't', partition 0"):
        record_of(Message("t", 0, 5, b"", value, headers))
