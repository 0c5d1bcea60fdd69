"""Route events to partitions, by a field of each event type or all of a type to one."""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import attrgetter, or_
from typing import Any

import msgspec

from state.events import Event, TimeUs

PartitionKey = str | Mapping[type[Event], str | None] | None
"""The routing field of all events, or by event type its field (None: all go to one partition).

None for the whole: there is one partition.
"""

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def key_fields(key: PartitionKey, events: Sequence[type[Event]]) -> dict[type[Event], str | None]:
    """The routing field of each event type; None for the empty key.

    Example:
        >>> key_fields("id", [Event])
        {<class 'state.events.Event'>: 'id'}
    """
    if isinstance(key, Mapping):
        return dict(key)
    return dict.fromkeys(events, key)


def key_reader(key: PartitionKey) -> Callable[[Any], str]:
    """A function that returns an event's partition key."""
    if key is None:
        return lambda _: ""
    if isinstance(key, str):
        return attrgetter(key)
    readers = {event: attrgetter(field) for event, field in key.items() if field is not None}

    def read(event: Any) -> str:
        reader = readers.get(type(event))
        return "" if reader is None else reader(event)

    return read


def key_peeker(key: PartitionKey) -> Callable[[bytes], tuple[int | None, bytes]]:
    """A function from raw bytes to event time and partition key; (None, b"") if invalid."""
    time_of = _decoder([("time", TimeUs)])
    if isinstance(key, Mapping):
        kinds = [_peeked(event, field) for event, field in key.items()]
        decode: Callable[[bytes], Any] = msgspec.json.Decoder(reduce(or_, kinds)).decode
        names = {kind: kind.__struct_fields__[1:] for kind in kinds}
    else:
        decode = time_of if key is None else _decoder([("time", TimeUs), (key, str)])
        names = {}

    def peek(raw: bytes) -> tuple[int | None, bytes]:
        try:
            event: Any = decode(raw)
        except _UNREADABLE:
            return None, b""
        fields = names[type(event)] if names else event.__struct_fields__[1:]
        return event.time, getattr(event, fields[0]).encode() if fields else b""

    return peek


def _decoder(fields: list[tuple[str, Any]]) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(msgspec.defstruct("Peeked", fields)).decode


def _peeked(event: type[Event], field: str | None) -> type[msgspec.Struct]:
    fields: list[tuple[str, Any]] = [("time", TimeUs)]
    if field is not None:
        fields.append((field, str))
    tag = event.__struct_config__.tag
    return msgspec.defstruct("Peeked", fields, tag_field="type", tag=tag)
