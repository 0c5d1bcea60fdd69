"""The events of the quotes stream: quotes, trades, and the outcomes of quotes."""

from typing import Annotated

from msgspec import Meta

from state.events import Event, TimeUs

Code = Annotated[str, Meta(min_length=1, max_length=16)]
Score = Annotated[float, Meta(ge=-20, le=20)]
"""Standard deviations from the sender's mean."""


class Quote(Event, frozen=True, kw_only=True):
    """An order was quoted: the request."""

    account: Code
    symbol: Code
    venue: Code
    expires: TimeUs
    spread: Score
    depth: Score
    imbalance: Score
    momentum: Score
    volatility: Score
    size: Score
    skew: Score
    distance: Score
    pad: str = ""


class Trade(Event, frozen=True, kw_only=True):
    """Someone traded: an observation."""

    account: Code
    symbol: Code
    amount: Annotated[float, Meta(gt=0, le=1e9)]
    pad: str = ""


class Filled(Event, frozen=True, kw_only=True):
    """Outcome of a quote, at most 5 s after its expiry; silence means not filled."""

    of: str  # id of its Quote event
    symbol: Code  # of its Quote event, so that both are in one partition
    filled: Annotated[int, Meta(ge=0, le=1)]
    pad: str = ""
