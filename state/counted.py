"""The inputs of features: events, and requests whose label has become known."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from state.events import Event, TimeUs


class Labelled(NamedTuple):
    """A request whose label has become known; features count it like an event of that time.

    Key fields are the request's; readings refer to this tuple, so `"label"` reads the label.

    Attributes:
        request: The request event.
        label: 0 or 1.
        time: Time at which the label became known (µs): its event's time, or the deadline.
    """

    request: Any
    label: int
    time: TimeUs


Counted = type[Event] | type[Labelled]
"""The inputs that rolling features can count."""

Reading = str | Callable[[Any], float]
"""A value of an event: the name of a field, or a function of the event."""


def reading(of: Reading) -> Callable[[Any], float]:
    """Make a function of a reading; null reads as missing."""
    if not isinstance(of, str):
        return of
    get = attrgetter(of)

    def read(event: Any) -> float:
        value = get(event)
        return np.nan if value is None else value

    return read
