"""The form of a record in Kafka: sequence, append time and writer in one header.

Kafka's own offsets have gaps, as each transaction ends with a marker, and a copy of the topic by
MirrorMaker has other offsets. The sequence is the offset in the protocol of `state.log`.

A value is stored unchanged, or as MessagePack if it comes back byte for byte; a second header marks
that, so readers need no setting.
"""

from collections.abc import Callable, Iterable
from operator import methodcaller
from struct import Struct
from typing import NamedTuple

import msgspec
from confluent_kafka import Message

from state.log import MAX_VALUE_BYTES, LogError, Record

_HEADER, _FORM = "headwater", "headwater-format"
_PACKED = b"msgpack"
_NUMBERS = Struct("<qq")
# With more brackets, whether a decoder gives up depends on its caller's stack depth.
_MOST_BRACKETS = 200

_Headers = list[tuple[str, str | bytes | None]]

# Python skips the check for errors of a method that it calls often, unless it is called like this.
_given: Callable[[Message], Iterable[tuple[str, str | bytes | None]] | None]
_given = methodcaller("headers")
_to_json, _from_json = msgspec.json.Encoder().encode, msgspec.json.Decoder().decode
_to_msgpack, _from_msgpack = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode


class FoundRecord(NamedTuple):
    """A record with its place and writer.

    Attributes:
        physical: Offset in Kafka.
        record: The record.
        writer: Description of its writer.
    """

    physical: int
    record: Record
    writer: str


def header_of(sequence: int, append_time: int, writer: bytes) -> _Headers:
    """The headers of a record whose value is stored unchanged.

    Example:
        >>> [(name, content)] = header_of(1, 2, b"host")
        >>> name, list(content[:16]), content[16:]
        ('headwater', [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0], b'host')
    """
    return [(_HEADER, _NUMBERS.pack(sequence, append_time) + writer)]


def packed(value: bytes) -> tuple[bytes, _Headers]:
    r"""Encode a value as MessagePack, with its header; unchanged if bytes could not be restored.

    That holds for JSON with spaces, numbers that msgspec writes differently, and invalid JSON; deep
    or long values stay unchanged too.

    Example:
        >>> packed(b'{"size":3}')
        (b'\x81\xa4size\x03', [('headwater-format', b'msgpack')])
        >>> packed(b'{"size": 3}')
        (b'{"size": 3}', [])
    """
    if value.count(b"[") + value.count(b"{") > _MOST_BRACKETS:
        return value, []
    try:
        small = _to_msgpack(_from_json(value))
    except (ValueError, OverflowError):  # invalid JSON, or a number of more than 64 bits
        return value, []
    if len(small) > MAX_VALUE_BYTES or _to_json(_from_msgpack(small)) != value:
        return value, []
    return small, [(_FORM, _PACKED)]


def record_of(message: Message) -> Record:
    """Decode a message to a record.

    Raises:
        LogError: It is not one of Headwater's.
    """
    content, form = _headers(message)
    sequence, append_time = _NUMBERS.unpack_from(content)
    value = message.value() or b""
    if form is not None:
        value = _unpacked(form, value, message)
    return Record(sequence, append_time, message.key() or b"", value)


def found(message: Message) -> FoundRecord:
    """Decode a message to a record with place and writer; raises as `record_of` does."""
    physical = message.offset()
    assert physical is not None
    writer = _headers(message)[0][_NUMBERS.size :].decode("utf-8", "replace")
    return FoundRecord(physical, record_of(message), writer)


def _unpacked(form: str | bytes, value: bytes, message: Message) -> bytes:
    if form != _PACKED:
        msg = f"{_FORM} must be {_PACKED!r}; got {form!r} in {_place(message)}"
        raise LogError(msg)
    try:
        return _to_json(_from_msgpack(value))
    except (ValueError, TypeError, RecursionError) as error:  # cut short, or not possible in JSON
        msg = f"value must be MessagePack of what JSON has; got '{error}' in {_place(message)}"
        raise LogError(msg) from error


def headers_of(message: Message) -> dict[str, str | bytes | None]:
    """All headers of a message, the last one of a repeated name; call it once.

    None if a name is not UTF-8: confluent_kafka fails then, and would end the process if it were
    asked again.
    """
    try:
        return dict(_given(message) or ())
    except SystemError:
        return {}


def _headers(message: Message) -> tuple[bytes, str | bytes | None]:
    """The headers of a record: numbers and writer, and the form of the value if it is not JSON."""
    headers = headers_of(message)
    content = headers.get(_HEADER)
    if isinstance(content, bytes) and len(content) >= _NUMBERS.size:
        return content, headers.get(_FORM)
    msg = (
        f"record must have the header {_HEADER!r}; got one without in {_place(message)}: "
        "did another program write it?"
    )
    raise LogError(msg)


def _place(message: Message) -> str:
    return f"topic {message.topic()!r}, partition {message.partition()}, offset {message.offset()}"
