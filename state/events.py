"""Events: facts with an id, a type and an event time, each a frozen msgspec struct."""

from typing import Annotated, Literal

import msgspec

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US

TimeUnit = Literal["s", "ms", "us", "ns"]
"""The unit of numeric times."""

EventId = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
TimeUs = Annotated[int, msgspec.Meta(ge=0, lt=4_102_444_800 * SECOND_US, extra={"unit": "us"})]
"""Microseconds since 1970-01-01 UTC, before the year 2100."""


MOST_SOURCE = 250
"""Most characters of a source's name; a topic of Kafka has 249 at most."""


class Event(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    gc=False,
    tag_field="type",
    tag=str.lower,
    omit_defaults=True,
    forbid_unknown_fields=True,
):
    """The envelope of every event of every stream.

    A stream's events are subclasses; the class name in lower case is the event's `type` in JSON.

    Attributes:
        id: Unique within the stream's deduplication window.
        time: Time of the event by its source's clock.
        source: Name of that clock, of `MOST_SOURCE` characters at most; the clock guard checks each
            source separately.

    Example:
        >>> class Ping(Event, frozen=True, kw_only=True):
        ...     host: str
        >>> msgspec.json.encode(Ping(id="a", time=0, host="x"))
        b'{"type":"ping","id":"a","time":0,"host":"x"}'
    """

    id: EventId
    time: TimeUs
    source: str = ""
