"""How a record lies in Kafka: its sequence, append time and writer in one header.

Kafka's own offsets have gaps, for each transaction ends with a marker, and a copy of the topic by
MirrorMaker has other offsets. The sequence is what the protocol of `state.log` calls the offset.
"""

from struct import Struct
from typing import NamedTuple

from confluent_kafka import Message

from state.log import LogError, Record

_HEADER = "headwater"
_NUMBERS = Struct("<qq")


class Found(NamedTuple):
    """A record as it was found.

    Attributes:
        physical: Kafka's offset.
        record: Ours.
        writer: Who wrote it.
    """

    physical: int
    record: Record
    writer: str


def header_of(
    sequence: int, append_time: int, writer: bytes
) -> list[tuple[str, str | bytes | None]]:
    """The headers of a record to be written.

    Example:
        >>> [(name, content)] = header_of(1, 2, b"host")
        >>> name, list(content[:16]), content[16:]
        ('headwater', [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0], b'host')
    """
    return [(_HEADER, _NUMBERS.pack(sequence, append_time) + writer)]


def record_of(message: Message) -> Record:
    """A message as a record.

    Raises:
        LogError: It is not one of Headwater's.
    """
    sequence, append_time = _NUMBERS.unpack_from(_content(message))
    return Record(sequence, append_time, message.key() or b"", message.value() or b"")


def found(message: Message) -> Found:
    """A message with all that is known of it; errors as for `record_of`."""
    physical = message.offset()
    assert physical is not None
    writer = _content(message)[_NUMBERS.size :].decode("utf-8", "replace")
    return Found(physical, record_of(message), writer)


def _content(message: Message) -> bytes:
    for header in message.headers() or ():
        content = header[1]
        if header[0] == _HEADER and isinstance(content, bytes) and len(content) >= _NUMBERS.size:
            return content
    msg = (
        f"record must have the header {_HEADER!r}; got one without in topic {message.topic()!r}, "
        f"partition {message.partition()}, offset {message.offset()}: did another program write it?"
    )
    raise LogError(msg)
