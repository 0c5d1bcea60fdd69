"""Map foreign records to events, by declarations that are checked against the stream.

A short text gives the place of a value: `a.b.0` or `field:a.b.0` is a path in the record's value,
through objects by name and lists by index; `header:host` a header as text; `key` the record's key
as text, `key:a.b` a path in it; `timestamp` its own time; `offset` a unique text of topic,
partition and offset; `const:x` the text x. A place that is not text is the value itself.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from state.event_times import Times, time_fields
from state.events import Event, TimeUnit
from state.field_types import TEXT, declared, nullable
from state.ingest.connect_decimals import connect_decimal
from state.ingest.paths import at_path
from state.log import MAX_VALUE_BYTES
from state.outputs.records import DeadLetterReason
from state.settings import ForeignTopic, Option, Place, Scaled
from state.stream import Stream
from state.stream_functions import raise_blamed
from state.user_code import USER_CODE_ERRORS, words_of

_KINDS = ("field", "header", "key", "const")
_ENVELOPE = ("id", "time", "source")
# Prefix of values by Confluent's serializers: a zero and the schema's id.
_MAGIC, _FRAME_BYTES = b"\0", 5
_from_json = msgspec.json.Decoder().decode
_from_msgpack = msgspec.msgpack.Decoder().decode
# Beyond so many, whether a decoder gives up depends on the depth of its caller.
_MOST_BRACKETS = 200
# An object may take 70 bytes of memory for one of MessagePack.
_MOST_BYTES = MAX_VALUE_BYTES // 4


class Foreign(NamedTuple):
    """A record of a foreign topic.

    Attributes:
        topic: Name in Kafka.
        partition: Partition of the topic.
        offset: Offset in Kafka.
        timestamp: Timestamp of its producer or broker, microseconds UTC.
        key: Key; empty if the record has none.
        headers: Headers by name; the last one of a repeated name.
        value: Value; None for a tombstone.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes
    headers: Mapping[str, bytes]
    value: bytes | None


class Refused(NamedTuple):
    """The reason why a record was refused: a word to count by, and a sentence."""

    reason: DeadLetterReason
    detail: str


class Decode(Protocol):
    """Decodes a key or a value.

    Raises:
        ValueError: It cannot be decoded.
    """

    def __call__(self, content: bytes, record: Foreign, *, is_key: bool) -> Any:
        """Plain values: objects, lists, texts, numbers, moments, decimals, bytes."""


class _Body(NamedTuple):
    record: Foreign
    value: Any
    decode: Decode


_Read = Callable[[_Body], Any]
_TimesOf = Callable[[TimeUnit | None], Times]


class _Rule(NamedTuple):
    event: type[Event]
    format: str
    decode: Decode
    when: list[tuple[_Read, Option]]
    fields: list[tuple[str, _Read]]


class Mapper:
    """Maps records of foreign topics to events.

    Args:
        stream: Stream of the events.
        topics: Mappings; of several for one topic, the first that fits a record is used.
        decoders: Decoders of formats that need more than the record, such as Avro's schemas.

    Attributes:
        digest: Hash of the mappings; other mappings could map a record to another event.

    Raises:
        ValueError: A mapping is invalid; the message has its path.
    """

    def __init__(
        self,
        stream: Stream,
        topics: Iterable[ForeignTopic],
        decoders: Mapping[str, Decode] | None = None,
    ) -> None:
        self._stream = stream
        known = {**_DECODERS, **(decoders or {})}
        self._decode, self._check = stream.decoder().decode, stream.check()
        self._key = stream.key_of()
        self._rules: dict[str, list[_Rule]] = {}
        topics = list(topics)
        self.digest = _digest(topics)
        events = {str(event.__struct_config__.tag): event for event in stream.events}
        for i, topic in enumerate(topics):
            where = f"ingest.topics[{i}]"
            if topic.event not in events:
                msg = f"event must be one of {sorted(events)}; got {topic.event!r} in {where}.event"
                raise ValueError(msg)
            rules = self._rules.setdefault(topic.topic, [])
            if rules and not rules[-1].when:
                msg = f"mapping must be reachable; got one after another without `when` in {where}"
                raise ValueError(msg)
            if rules and rules[0].format != topic.format:
                msg = f"format must be the same for one topic; got another in {where}.format"
                raise ValueError(msg)
            if topic.format not in known:
                msg = f"format {topic.format!r} must have a schema registry; got none in {where}: "
                msg += "set kafka.schema_registry"
                raise ValueError(msg)
            decode = known[topic.format]
            rules.append(_rule(events[topic.event], topic, decode, stream.times, where))

    @property
    def topics(self) -> list[str]:
        """The topics that have a mapping."""
        return list(self._rules)

    def map(self, record: Foreign) -> tuple[bytes, bytes] | Refused:
        """Map a record to the key and value of an event, or return why it is refused.

        The shard will accept the event, as it is decoded here in the same way. Texts are converted
        to numbers if a number is wanted, and whole numbers to texts; a null becomes a missing field
        if the field has no null.
        """
        if record.value is None:
            return Refused("malformed", "no value: a tombstone")
        rules = self._rules.get(record.topic)
        if rules is None:
            return Refused("unknown_type", f"no mapping is of topic {record.topic!r}")
        decode = rules[0].decode
        try:
            value = decode(record.value, record, is_key=False)
        except (ValueError, RecursionError) as error:
            return Refused("malformed", f"no {rules[0].format}: {error}")
        body = _Body(record, value, decode)
        try:
            rule = next((rule for rule in rules if _fits(rule, body)), None)
            if rule is None:
                return Refused("unknown_type", f"no mapping of topic {record.topic!r} fits")
            return self._event(rule, body)
        except (ValueError, ArithmeticError, TypeError, RecursionError) as error:
            return Refused("invalid", words_of(error))
        except USER_CODE_ERRORS as error:
            raise_blamed(self._stream, error, _placed(record))
            raise

    def _event(self, rule: _Rule, body: _Body) -> tuple[bytes, bytes] | Refused:
        found = {name: read(body) for name, read in rule.fields}
        fields = {name: value for name, value in found.items() if value is not UNSET}
        # Numbers may be text, in headers and from CSV; the event itself is checked strictly.
        event = msgspec.convert(fields, rule.event, strict=False)
        raw = msgspec.json.encode(event)
        if b"null" in raw and (name := _infinite(event)):
            return Refused("invalid", f"`{name}` must be a finite number; got an infinite one")
        if len(raw) > MAX_VALUE_BYTES:
            return Refused("invalid", f"event must be at most {MAX_VALUE_BYTES} bytes")
        checked: Any = self._decode(raw)
        try:
            wrong = self._check(checked)
        except USER_CODE_ERRORS as error:
            raise_blamed(self._stream, error, _placed(body.record))
            raise
        if wrong is not None:
            return Refused("invalid", wrong)
        return self._key(checked).encode(), raw


def _placed(record: Foreign) -> str:
    return f"in {record.topic}/{record.partition} at offset {record.offset}"


def _infinite(event: Event) -> str | None:
    """The first field with an infinite number at any depth, as JSON would make it null."""
    fields = msgspec.structs.asdict(event)
    return next((name for name, value in fields.items() if _is_infinite(value)), None)


def _is_infinite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isinf(value)
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    inner = value.values() if isinstance(value, dict) else value
    return isinstance(value, dict | list | tuple | set | frozenset) and any(
        map(_is_infinite, inner)
    )


def _digest(topics: list[ForeignTopic]) -> str:
    written = msgspec.json.encode(topics, order="deterministic")
    return blake2b(written, digest_size=8).hexdigest()


def _rule(
    event: type[Event], topic: ForeignTopic, decode: Decode, times: _TimesOf, where: str
) -> _Rule:
    names = [field.name for field in msgspec.structs.fields(event)]
    unknown = sorted(set(topic.fields) - set(names) | set(topic.fields) & set(_ENVELOPE))
    if unknown:
        own = ", ".join(name for name in names if name not in _ENVELOPE)
        msg = f"fields of {topic.event!r} must be of {own}; got {unknown[0]!r} in {where}.fields"
        raise ValueError(msg)
    places: dict[str, tuple[Place, str]] = {
        name: (f"field:{name}", where) for name in names if name not in _ENVELOPE
    }
    places |= {name: (place, f"{where}.fields.{name}") for name, place in topic.fields.items()}
    places |= {
        "id": (topic.id, f"{where}.id"),
        "time": (topic.time, f"{where}.time"),
        "source": (topic.source or f"const:{topic.topic}", f"{where}.source"),
    }
    return _Rule(
        event,
        topic.format,
        decode,
        [(_reader(at, f"{where}.when"), value) for at, value in topic.when.items()],
        [(name, _field(event, name, times, *place)) for name, place in places.items()],
    )


def _field(event: type[Event], name: str, times: _TimesOf, place: Place, where: str) -> _Read:
    """Make a reader of one field of an event, with its declared type."""
    kinds = declared(event)[name]
    is_time, is_text = name in time_fields(event), all(map(TEXT.takes, kinds))
    scaled = place if isinstance(place, Scaled) else Scaled(path="")
    if place is scaled and not is_time and scaled.scale is None:
        msg = f"unit must be of a time; got one for {name!r} in {where}"
        raise ValueError(msg)
    if is_time and scaled.scale is not None:
        msg = f"scale must be of a decimal; got one for the time {name!r} in {where}"
        raise ValueError(msg)
    time_of = times(scaled.unit).value
    read = _reader(scaled.path if isinstance(place, Scaled) else place, where)
    of_time = isinstance(place, str) and place == "timestamp"
    keeps_null = nullable(event, name)

    def field(body: _Body) -> Any:
        value = read(body)
        if value is None and not keeps_null:
            return UNSET
        if value is None or isinstance(value, UnsetType):
            return value
        if is_time:
            return value if of_time else time_of(name, _of_json(value))
        if scaled.scale is not None and not isinstance(value, Decimal):
            value = connect_decimal(value, scaled.scale, name)
        if isinstance(value, Decimal):
            value = int(value) if value == value.to_integral_value() and not is_text else value
            return format(value, "f")
        return _as_text(value) if is_text else _of_json(value)

    return field


def _of_json(value: Any) -> Any:
    """Convert a value that only some formats have to its JSON form."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    return str(value) if isinstance(value, date | time | UUID) else value


def _as_text(value: Any) -> Any:
    """A value for a field of text: whole numbers and bytes are texts too."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _of_json(value)


def _reader(place: Option, where: str) -> _Read:
    if not isinstance(place, str):
        return lambda _: place
    if place == "timestamp":
        return lambda body: body.record.timestamp
    if place == "offset":
        return lambda body: f"{body.record.topic}-{body.record.partition}-{body.record.offset}"
    if place == "key":
        return _key_text
    kind, colon, rest = place.partition(":")
    if not colon:
        kind, rest = "field", place
    if kind not in _KINDS or (not rest and kind != "const"):
        hint = "a path, 'field:…', 'header:…', 'key:…', 'const:…', 'key', 'timestamp' or 'offset'"
        msg = f"place must be {hint}; got {place!r} in {where}"
        raise ValueError(msg)
    if kind == "const":
        return lambda _: rest
    if kind == "header":
        return lambda body: _text(body.record.headers.get(rest))
    steps = rest.split(".")
    if kind == "key":
        return lambda body: at_path(body.decode(body.record.key, body.record, is_key=True), steps)
    return lambda body: at_path(body.value, steps)


def _key_text(body: _Body) -> Any:
    """The key as text; one that a schema frames is decoded, for it may be a text of its own."""
    key = body.record.key
    if key[:1] == _MAGIC and len(key) > _FRAME_BYTES:
        return body.decode(key, body.record, is_key=True)
    return key.decode() if key else UNSET


def _text(content: bytes | None) -> str | UnsetType:
    return UNSET if content is None else content.decode()


def _decode_json(content: bytes, record: Foreign, *, is_key: bool) -> Any:
    del record, is_key
    content = _unframed(content, MAX_VALUE_BYTES)
    if content.count(b"[") + content.count(b"{") > _MOST_BRACKETS:
        msg = f"more than {_MOST_BRACKETS} brackets"
        raise ValueError(msg)
    return _from_json(content)


def _decode_msgpack(content: bytes, record: Foreign, *, is_key: bool) -> Any:
    del record, is_key
    return _from_msgpack(_unframed(content, _MOST_BYTES))


def _unframed(content: bytes, most: int) -> bytes:
    if len(content) > most:
        msg = f"more than {most} bytes"
        raise ValueError(msg)
    is_framed = content[:1] == _MAGIC and len(content) > _FRAME_BYTES
    return content[_FRAME_BYTES:] if is_framed else content


_DECODERS: dict[str, Decode] = {"json": _decode_json, "msgpack": _decode_msgpack}


def _fits(rule: _Rule, body: _Body) -> bool:
    return all(_same(read(body), wanted) for read, wanted in rule.when)


def _same(value: Any, wanted: Option) -> bool:
    return bool(value == wanted) and isinstance(value, bool) == isinstance(wanted, bool)
