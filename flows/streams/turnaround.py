"""The aircraft's previous leg, whose delay makes the next departure late."""

import math
from typing import Annotated

import msgspec

from flows.streams.flights_events import Arrived, Departed, Scheduled
from state.events import HOUR_US, MINUTE_US
from state.restored import MOST_US

FORGET_US = 36 * HOUR_US
"""Age at which a leg is no longer used."""

_CANCELLED_US = 6 * HOUR_US
"""A departure overdue by more is taken to be cancelled."""


_Us = Annotated[int, msgspec.Meta(ge=-MOST_US, le=MOST_US)]
_Minutes = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]


class AircraftLeg(msgspec.Struct):
    """One flight of an aircraft out of New York.

    Attributes:
        of: Id of its `Scheduled` event.
        planned: Planned departure (µs).
        block_us: Planned time from gate to gate.
        touched: Event time of the newest event about it (µs).
        delay_out: Minutes late at departure; None before departure.
        delay_in: Minutes late at arrival; None before arrival.
        due: Time at its gate, actual or expected (µs).
    """

    of: str
    planned: _Us
    block_us: _Us
    touched: _Us
    due: _Us
    delay_out: _Minutes | None = None
    delay_in: _Minutes | None = None


class Turnaround:
    """Features of the previous leg of the request's aircraft, by tail number."""

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
        self._legs: dict[str, AircraftLeg] = {}

    def observe(self, event: Scheduled | Departed | Arrived) -> None:
        """Update the aircraft's leg by plan, departure or arrival."""
        leg = self._legs.get(event.tail)
        match event:
            case Scheduled(id=of, planned=planned, planned_arrival=arrival):
                self._legs[event.tail] = AircraftLeg(
                    of, planned, arrival - planned, event.time, arrival
                )
            case Departed(of=of) if leg is not None and leg.of == of:
                leg.touched, leg.delay_out = event.time, event.delay
                leg.due = event.time + leg.block_us
            case Arrived(of=of) if leg is not None and leg.of == of:
                leg.touched = leg.due = event.time
                leg.delay_in = event.delay

    def values(self, request: Scheduled) -> tuple[float, ...]:
        """Delay out and in, in the air (0/1), overdue at the gate, time to spare, time short.

        All in minutes. Time to spare is the time from the aircraft's return, after a leg back as
        long as the leg out, to this departure. Time short is what is missing to an hour on the
        ground; linear models need it, as for them a night on the ground would dominate time to
        spare.
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
        """Drop legs without an event since this event time."""
        self._legs = {tail: leg for tail, leg in self._legs.items() if leg.touched >= before}

    def snapshot(self) -> bytes:
        """Encode all legs."""
        return msgspec.msgpack.encode(self._legs)

    def restore(self, state: bytes) -> None:
        """Restore a `snapshot`."""
        self._legs = msgspec.msgpack.decode(state, type=dict[str, AircraftLeg])
