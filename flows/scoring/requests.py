"""Read requests exactly as the flow would read them from the log."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from operators.shard.predictor import ASKED
from state.event_times import (
    WORDS,
    YEAR_1990_US,
    is_number,
    likely_unit,
    microseconds,
    time_fields,
)
from state.events import Event
from state.field_types import fields_of_bytes
from state.log import partition_of
from state.stream import Stream
from state.stream_functions import raise_blamed
from state.user_code import USER_CODE_ERRORS

_BYTES = frozenset({bytes, bytearray, memoryview})
_UNREADABLE = (msgspec.MsgspecError, TypeError, UnicodeError, RecursionError)
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw] | list[dict[str, msgspec.Raw]]).decode
_decode_text = msgspec.json.Decoder(str).decode


class RequestError(ValueError):
    """A request that the flow would refuse, or whose partition this scorer does not follow.

    Attributes:
        row: Row of a batch; None: it was a single request.
    """

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message if row is None else f"{message} in row {row}")
        self.row = row


class RoutedRequest(NamedTuple):
    """A request with its partition.

    Attributes:
        event: The request as the flow would read it.
        partition: Partition of `events`.
        key: Partition key.
    """

    event: Event
    partition: int
    key: str


class Requests:
    """Reads requests and finds their partitions.

    Args:
        stream: Stream of the requests.
        count: Number of partitions.
        followed: Partitions whose requests can be answered.
    """

    def __init__(self, stream: Stream, count: int, followed: Collection[int]) -> None:
        self._stream, self._request, self._key = stream, stream.request, stream.key_of()
        self._named = stream.key_fields[stream.request]
        self._count, self._followed = count, followed
        self._of_bytes = fields_of_bytes(stream.request)
        self._time_fields = time_fields(stream.request)
        since = stream.times_from
        self._since = YEAR_1990_US if since is None else round(since.timestamp() * 1e6)
        self._decode = msgspec.json.Decoder(stream.request).decode
        self._decode_all = msgspec.json.Decoder(list[stream.request]).decode  # type: ignore[name-defined]
        self._encode = msgspec.json.Encoder().encode

    def read(self, request: Event | Mapping[str, Any], row: int | None = None) -> RoutedRequest:
        """Read one request as the flow reads events.

        Args:
            request: An event, or its fields as JSON values; times in microseconds or RFC 3339.
            row: Row for the error's message.

        Raises:
            RequestError: The flow would refuse it, or its partition is not followed.
            StreamFunctionError: The flow would raise it.
        """
        self._check_kind(request, row)
        try:
            event = self._decoded(self._encode(request))
        except _UNREADABLE as error:
            raise RequestError(str(error), row) from None
        except USER_CODE_ERRORS as error:
            raise_blamed(self._stream, error, ASKED)
            raise
        if event != request:
            self._check_bytes(request, row)
        return self._placed(event, row)

    def read_many(
        self, requests: Sequence[Event | Mapping[str, Any]], first: int
    ) -> list[RoutedRequest]:
        """Read several requests as `read` does, in a third of the time.

        Args:
            requests: Requests as for `read`.
            first: Row of the first request.

        Raises:
            RequestError: As for `read`.
        """
        for row, request in enumerate(requests, first):
            self._check_kind(request, row)
        try:
            events = self._decode_all(self._encode(requests))
        except (*_UNREADABLE, *USER_CODE_ERRORS):
            # Reading them one by one finds the invalid one more easily than parsing the message.
            return [self.read(request, row) for row, request in enumerate(requests, first)]
        for row, (request, event) in enumerate(zip(requests, events, strict=True), first):
            if event != request:
                self._check_bytes(request, row)
        return [self._placed(event, row) for row, event in enumerate(events, first)]

    def with_times(self, raw: bytes) -> bytes:
        """A request in JSON, or an array of them, with times in RFC 3339 as microseconds.

        Whatever it lacks or has beside them, stays; so does a text that is no time.
        """
        try:
            found = _decode_fields(raw)
        except _UNREADABLE:
            return raw
        for fields in found if isinstance(found, list) else [found]:
            for name in self._time_fields & fields.keys():
                if bytes(fields[name])[:1] == b'"':
                    fields[name] = _in_microseconds(name, fields[name])
        return self._encode(found)

    def _decoded(self, raw: bytes) -> Event:
        try:
            return self._decode(raw)
        except msgspec.ValidationError:
            return self._decode(self.with_times(raw))

    def _check_kind(self, request: Event | Mapping[str, Any], row: int | None) -> None:
        if type(request) is not self._request and not isinstance(request, dict):
            name = self._request.__name__
            msg = f"request must be a {name} or a dict; got {type(request).__name__}"
            raise RequestError(msg, row)

    def _check_bytes(self, request: Event | Mapping[str, Any], row: int | None) -> None:
        """Refuse bytes for a text field: JSON encodes them as base64, so they would change."""
        fields = msgspec.structs.asdict(request) if isinstance(request, Event) else request
        for name, value in fields.items():
            if type(value) in _BYTES and name not in self._of_bytes:
                msg = f"Expected `str`, got `{type(value).__name__}` - at `$.{name}`"
                raise RequestError(msg, row)

    def _placed(self, event: Event, row: int | None) -> RoutedRequest:
        if event.time < self._since and (unit := likely_unit(event.time)) is not None:
            msg = (
                f"time must be microseconds since 1970 UTC or RFC 3339; got {event.time}, which "
                f"looks like {WORDS[unit]}"
            )
            raise RequestError(msg, row)
        key = self._key(event)
        partition = partition_of(key.encode(), self._count)
        if partition not in self._followed:
            msg = (
                "partition of the request must be followed "
                f"{sorted(self._followed)}; got {partition} for {self._named} {key!r}"
            )
            raise RequestError(msg, row)
        return RoutedRequest(event, partition, key)


def _in_microseconds(name: str, raw: msgspec.Raw) -> msgspec.Raw:
    """A text in JSON as a number, if it is a time; a number as text is none."""
    try:
        text = _decode_text(raw)
        return raw if is_number(text) else msgspec.Raw(b"%d" % microseconds(text, "us", name))
    except (*_UNREADABLE, ValueError):
        return raw
