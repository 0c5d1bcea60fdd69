"""The aircraft's previous leg: a late machine makes the next departure late."""

import math
from typing import Annotated

import msgspec

from flows.streams.flights_events import Arrived, Departed, Scheduled
from state.events import HOUR_US, MINUTE_US
from state.restored import MOST_US

FORGET_US = 36 * HOUR_US
"""Age of a leg at which it says nothing any more."""

_CANCELLED_US = 6 * HOUR_US
"""A departure overdue by more will not happen."""


_Us = Annotated[int, msgspec.Meta(ge=-MOST_US, le=MOST_US)]
_Minutes = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]


class Leg(msgspec.Struct):
    """One flight of an aircraft out of New York.

    Attributes:
        of: Id of its `Scheduled` event.
        planned: Planned departure (µs).
        block_us: Planned time from gate to gate.
        touched: Event time of the newest event about it.
        delay_out: Minutes late at departure; None while at the gate.
        delay_in: Minutes late at arrival; None while not arrived.
        due: When it will reach, or has reached, its gate (µs), as far as is known.
    """

    of: str
    planned: _Us
    block_us: _Us
    touched: _Us
    due: _Us
    delay_out: _Minutes | None = None
    delay_in: _Minutes | None = None


class Turnaround:
    """What the previous leg of the request's aircraft says, by tail number."""

    columns = (
        "leg_delay_out",
        "leg_delay_in",
        "leg_in_air",
        "leg_overdue",
        "turnaround_slack",
        "turnaround_short",
    )
    observes = (Scheduled, Departed, Arrived)

    def __init__(self) -> None:
        self._legs: dict[str, Leg] = {}

    def observe(self, event: Scheduled | Departed | Arrived) -> None:
        """Follow the aircraft through plan, departure and arrival."""
        leg = self._legs.get(event.tail)
        match event:
            case Scheduled(id=of, planned=planned, planned_arrival=arrival):
                self._legs[event.tail] = Leg(of, planned, arrival - planned, event.time, arrival)
            case Departed(of=of) if leg is not None and leg.of == of:
                leg.touched, leg.delay_out = event.time, event.delay
                leg.due = event.time + leg.block_us
            case Arrived(of=of) if leg is not None and leg.of == of:
                leg.touched = leg.due = event.time
                leg.delay_in = event.delay

    def values(self, request: Scheduled) -> tuple[float, ...]:
        """Delay out and in, in the air (0/1), overdue at the gate, time to spare, time short.

        All in minutes. Time to spare is what is left between the leg's way there and back, as
        long each, and this departure. Time short is what is missing to an hour on the ground, for
        the linear models: to them a night on the ground would drown what matters.
        """
        leg = self._legs.get(request.tail)
        now = request.time
        if leg is None or now - leg.touched > FORGET_US:
            return math.nan, math.nan, math.nan, 0.0, math.nan, 0.0
        due, overdue = leg.due, 0
        if leg.delay_out is None:
            overdue = max(now - leg.planned, 0)
            due += overdue
            if overdue > _CANCELLED_US:
                return math.nan, math.nan, math.nan, 0.0, math.nan, 0.0
        slack = (request.planned - due - leg.block_us) / MINUTE_US
        return (
            math.nan if leg.delay_out is None else leg.delay_out,
            math.nan if leg.delay_in is None else leg.delay_in,
            leg.delay_out is not None and leg.delay_in is None,
            overdue / MINUTE_US,
            slack,
            min(max(60.0 - slack, 0.0), 150.0),
        )

    def forget(self, before: int) -> None:
        """Drop legs last touched before this event time."""
        self._legs = {tail: leg for tail, leg in self._legs.items() if leg.touched >= before}

    def snapshot(self) -> bytes:
        """All legs."""
        return msgspec.msgpack.encode(self._legs)

    def restore(self, state: bytes) -> None:
        """Take the state from `snapshot`."""
        self._legs = msgspec.msgpack.decode(state, type=dict[str, Leg])
