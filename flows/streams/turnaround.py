"""The aircraft's previous leg: a late machine makes the next departure late."""

import math

import msgspec

from flows.streams.flights_events import Arrived, Departed, Scheduled
from state.events import MINUTE_US


class Leg(msgspec.Struct):
    """One flight of an aircraft out of New York.

    Attributes:
        of: Id of its `Scheduled` event.
        block_us: Planned time from gate to gate.
        touched: Event time of the newest event about it.
        delay_out: Minutes late at departure.
        delay_in: Minutes late at arrival; None while in the air.
        due: When it will reach, or has reached, its gate (µs).
    """

    of: str
    block_us: int
    touched: int
    delay_out: float
    delay_in: float | None
    due: int


class Turnaround:
    """What the previous leg of the request's aircraft says, by tail number."""

    columns = ("leg_delay_out", "leg_delay_in", "leg_in_air", "turnaround_slack")
    observes = (Scheduled, Departed, Arrived)

    def __init__(self) -> None:
        self._planned: dict[str, Scheduled] = {}
        self._flown: dict[str, Leg] = {}

    def observe(self, event: Scheduled | Departed | Arrived) -> None:
        """Follow the aircraft through plan, departure and arrival."""
        match event:
            case Scheduled(tail=tail):
                self._planned[tail] = event
            case Departed(tail=tail):
                self._depart(event)
            case Arrived(tail=tail, of=of, time=time, delay=delay):
                leg = self._flown.get(tail)
                if leg is not None and leg.of == of:
                    leg.touched, leg.delay_in, leg.due = time, delay, time

    def values(self, request: Scheduled) -> tuple[float, ...]:
        """Delay out and in (minutes), in the air (0/1), minutes to spare if it flies back too."""
        leg = self._flown.get(request.tail)
        if leg is None or request.time - leg.touched > FORGET_US:
            return (math.nan,) * 4
        slack = (request.planned - leg.due - leg.block_us) / MINUTE_US
        in_air = leg.delay_in is None
        return leg.delay_out, math.nan if leg.delay_in is None else leg.delay_in, in_air, slack

    def forget(self, before: int) -> None:
        """Drop plans and legs last touched before this event time."""
        self._planned = {t: plan for t, plan in self._planned.items() if plan.time >= before}
        self._flown = {t: leg for t, leg in self._flown.items() if leg.touched >= before}

    def snapshot(self) -> bytes:
        """Plans and legs."""
        return msgspec.msgpack.encode((self._planned, self._flown))

    def restore(self, state: bytes) -> None:
        """Take the state from `snapshot`."""
        self._planned, self._flown = msgspec.msgpack.decode(
            state, type=tuple[dict[str, Scheduled], dict[str, Leg]]
        )

    def _depart(self, event: Departed) -> None:
        plan = self._planned.get(event.tail)
        known = plan is not None and plan.id == event.of
        block_us = plan.planned_arrival - plan.planned if plan is not None and known else 0
        due = event.time + block_us
        self._flown[event.tail] = Leg(event.of, block_us, event.time, event.delay, None, due)


FORGET_US = 36 * 60 * MINUTE_US
"""Age of a leg at which it says nothing any more."""
