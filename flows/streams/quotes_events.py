"""The events of the quotes stream: orders quoted, trades seen, and what became of the quotes."""

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
    """What became of a quote, told by 5 s after it expires; silence means not filled."""

    of: str  # id of its Quote event
    symbol: Code  # of its Quote event, so that both are in one partition
    filled: Annotated[int, Meta(ge=0, le=1)]
    pad: str = ""
