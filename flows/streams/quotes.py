"""The quotes stream: will this quote be filled before it expires?

The request is the quote. The label comes when it is filled or, some seconds after expiry, when it
was not; one in five of those never comes. The hidden rule drifts within hours.
"""

import math

from flows.streams.quotes_events import Filled, Quote, Trade
from state.events import SECOND_US
from state.features import Category, Count, Elapsed, Ewma, Field, Labelled, Mean, Rate, Rolling
from state.stream import Label, Stream

__all__ = ["Filled", "Quote", "Trade", "stream"]


def is_filled(event: Filled) -> bool:
    """Whether someone took the quote."""
    return event.filled == 1


def log_amount(event: Trade) -> float:
    """Natural log of the amount, as amounts differ by factors."""
    return math.log(event.amount)


SIGNALS = ("spread", "depth", "imbalance", "momentum", "volatility", "size", "skew", "distance")

stream = Stream(
    name="quotes",
    events=(Quote, Trade, Filled),
    request=Quote,
    label=Label(
        on=Filled,
        of="of",
        value=is_filled,
        deadline=lambda request: request.expires + 10 * SECOND_US,
        silence=False,
        delay="6m",
    ),
    features=(
        Category("symbol"),
        Category("venue"),
        *map(Field, SIGNALS),
        Elapsed("minutes_to_expiry", since="time", until="expires", transform="log1p"),
        Rolling(
            over=Trade,
            by=("symbol",),
            windows=("5m", "30m"),
            stats=(Count("trades"), Mean("log_amount", log_amount, prior=4.6, strength=5.0)),
            bucket="30s",
        ),
        Rolling(
            over=Labelled,
            by=("symbol",),
            windows=("30m",),
            stats=(Rate("filled", "label", prior=0.4, strength=10.0),),
            bucket="30s",
        ),
        Ewma(
            "account_usual_amount",
            over=Trade,
            by=("account",),
            of=log_amount,
            rate=0.1,
            prior=4.6,
            forget="2h",
        ),
    ),
    crosses=(("symbol", "venue"),),
    key="symbol",
    partitions=8,
    lateness="1s",
    dedup="31m",
)
