"""The stream of the golden logs. It must stay as it is, or they mean something else."""

from typing import Annotated

from msgspec import Meta

from state.events import MINUTE_US, Event
from state.features import Category, Count, Ewma, Field, Labelled, Last, Mean, Rolling
from state.stream import Label, Stream

Amount = Annotated[float, Meta(ge=0, le=1000)]


class Asked(Event, frozen=True, kw_only=True):
    """A trip begins: will there be a tip?"""

    zone: str
    distance: Amount


class Ended(Event, frozen=True, kw_only=True):
    """It is over."""

    of: str
    zone: str
    tip: Amount


class Rained(Event, frozen=True, kw_only=True):
    """In this zone, so much."""

    zone: str
    fell: Amount


stream = Stream(
    name="trips",
    events=(Asked, Ended, Rained),
    request=Asked,
    label=Label(
        on=Ended,
        of="of",
        value=lambda event: event.tip > 0,
        deadline=lambda request: request.time + 40 * MINUTE_US,
        silence=False,
        delay="40m",
    ),
    features=(
        Category("zone"),
        Field("distance", transform="log1p"),
        Rolling(
            over=Ended,
            by=("zone",),
            windows=("1h",),
            stats=(Count("ended"), Mean("tip", "tip", prior=1.0, strength=2.0)),
        ),
        Ewma("usual", over=Labelled, by=("zone",), of="label", rate=0.2, prior=0.4,
             forget="3h", transform="logit"),
        Last(over=Rained, by=("zone",), values=("fell",), expires="1h"),
    ),
    key="zone",
    partitions=2,
    lateness="1m",
    dedup="2h",
)  # fmt: skip
