"""A small stream in which only labels and requests come: labels by id or by key."""

from typing import Annotated

from msgspec import Meta

from state.events import HOUR_US, MINUTE_US, Event
from state.features import Category, Count, Field, Labelled, Rate, Rolling
from state.stream import Label, Stream
from tests.rides import START_US, encode, numbered

Shop = Annotated[str, Meta(min_length=1, max_length=8)]


class Ask(Event, frozen=True, kw_only=True):
    """The request; by key it may be the label of the one before."""

    shop: Shop = "a"
    buyer: Shop = "b"
    amount: float = 1.0


class Tell(Event, frozen=True, kw_only=True):
    """The label."""

    of: str = ""
    shop: Shop = "a"
    yes: bool = True


def label(**changes):
    """Told within ten minutes by id, else no."""
    return Label(**({
        "on": Tell, "of": "of", "value": lambda tell: tell.yes,
        "deadline": lambda ask: ask.time + 10 * MINUTE_US, "silence": False, "delay": "10m",
    } | changes))  # fmt: skip


def by_key(**changes):
    """The next event of the shop tells."""
    return label(of=None, by=("shop",), **changes)


def stream_of(of=None, **changes):
    """With this label."""
    return Stream(**({
        "name": "asks", "events": (Ask, Tell), "request": Ask, "label": of or label(),
        "features": (
            Category("shop"),
            Field("amount"),
            Rolling(over=Labelled, by=("shop",), windows=("1h",),
                    stats=(Count("told"), Rate("yes", "label"))),
        ),
    } | changes))  # fmt: skip


def minute(number):
    """A time."""
    return START_US + 6 * HOUR_US + round(number * MINUTE_US)


def ask(request_id, at, **changes):
    return Ask(id=request_id, time=minute(at), **changes)


def tell(of, at, *, yes=True, name=None, **changes):
    return Tell(id=name or f"tell {of} {at}", time=minute(at), of=of, yes=yes, **changes)


def log(*events):
    """All appended when the newest so far had happened."""
    newest, entries = 0, []
    for event in events:
        newest = max(newest, event.time)
        entries.append((newest, b"", encode(event)))
    return numbered(entries)


plain = stream_of()
unknown = stream_of(label(silence=None))
