"""The stream of the soak: will a visitor who asks for an offer take it? Visitors come and go.

Every event is a function of its number, so whoever feeds the log keeps nothing.
"""

import random
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from state.events import MINUTE_US, SECOND_US, Event
from state.features import Category, Count, Ewma, Field, Last, Mean, Rolling
from state.stream import Label, Stream

KEPT_US = 10 * MINUTE_US
"""Time for which the state keeps a visitor: 8 minutes, one for late events, one for its turn."""

_TURN = 25
_ASKED, _TAKEN = 2, 4
SEEN_SHARE = (_TURN - _TAKEN) / _TURN
"""Of all events: each of these brings a new visitor, at most."""

_LABEL_AFTER_S = 20
_PAGES = ("home", "search", "basket", "account", "help")

Visitor = Annotated[str, Meta(min_length=1, max_length=20)]
Amount = Annotated[float, Meta(ge=0, le=1e6)]


class Seen(Event, frozen=True, kw_only=True):
    """A visitor looks at a page."""

    visitor: Visitor
    page: str
    amount: Amount


class Asked(Event, frozen=True, kw_only=True):
    """A visitor wants an offer: the request."""

    visitor: Visitor
    page: str
    price: Amount


class Taken(Event, frozen=True, kw_only=True):
    """A visitor took an offer or left it: the label."""

    of: str
    visitor: Visitor
    paid: bool


stream = Stream(
    name="visits",
    events=(Seen, Asked, Taken),
    request=Asked,
    label=Label(
        on=Taken,
        of="of",
        value=lambda taken: taken.paid,
        deadline=lambda asked: asked.time + MINUTE_US,
        silence=False,
        delay="1m",
    ),
    features=(
        Category("page"),
        Field("price", transform="log1p"),
        Rolling(over=Seen, by=("page",), windows=("1m",), stats=(Count(), Mean("spent", "amount"))),
        Ewma("usual", over=Seen, by=("visitor",), of="amount", rate=0.3, prior=50.0, forget="8m"),
        Last(over=Seen, by=("visitor",), values=("amount",), expires="8m"),
    ),
    key="visitor",
    partitions=2,
    dedup="2m",
)  # fmt: skip


class Visits(NamedTuple):
    """All events from a moment on.

    Attributes:
        start_us: Event time of the first.
        rate: Events a second.
        keys: Number of visitors that the state shall hold.
    """

    start_us: int
    rate: int
    keys: int

    def time(self, number: int) -> int:
        """When an event happens (µs)."""
        return self.start_us + number * SECOND_US // self.rate

    def number(self, time: int) -> int:
        """The event that happens at a moment (µs)."""
        return (time - self.start_us) * self.rate // SECOND_US

    def event(self, number: int) -> Event:
        """The event of a number."""
        kind = number % _TURN
        if kind < _ASKED:
            return self.asked(f"a{number}", number)
        if kind < _TAKEN:
            return self._taken(number)
        chance = random.Random(number)
        return Seen(
            id=f"s{number}",
            time=self.time(number),
            visitor=self._newest(number),
            page=chance.choice(_PAGES),
            amount=round(chance.lognormvariate(3, 1), 2),
        )

    def asked(self, name: str, number: int) -> Asked:
        """A request, at the time of an event, of a visitor who was seen a little before."""
        chance = random.Random(number)
        return Asked(
            id=name,
            time=self.time(number),
            visitor=self._newest(number - chance.randrange(5 * self.rate)),
            page=chance.choice(_PAGES),
            price=round(chance.lognormvariate(3, 1), 2),
        )

    def _newest(self, number: int) -> str:
        """The visitors seen last before an event."""
        seen = number // _TURN * (_TURN - _TAKEN) + max(number % _TURN - _TAKEN, 0)
        return f"v{seen * self.keys // round(SEEN_SHARE * self.rate * KEPT_US / SECOND_US)}"

    def _taken(self, number: int) -> Event:
        of = number - _ASKED - _LABEL_AFTER_S * self.rate // _TURN * _TURN
        asked = self.asked(f"a{of}", of)
        likely = 0.1 + 0.4 * (asked.page == "basket") + 0.4 * (asked.price > 30)
        paid = random.Random(-of).random() < likely
        return Taken(
            id=f"t{number}", time=self.time(number), of=asked.id, visitor=asked.visitor, paid=paid
        )


encode = msgspec.json.Encoder().encode
