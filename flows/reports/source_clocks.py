"""The sources' clocks, estimated from `events`: event time against append time."""

from typing import NamedTuple

import msgspec

from state.events import TimeUs
from state.log import EVENTS, Log
from state.outputs.history import History


class SourceClock(NamedTuple):
    """Figures on the clock of one source.

    Attributes:
        source: Name of the source.
        records: Number of its events.
        least_lag_us: Smallest append time minus event time, µs; negative: the clock is ahead.
        last_lag_us: Append time minus event time of its newest event, µs.
        quarantined: Number of events from the future, beyond the tolerance.
    """

    source: str
    records: int
    least_lag_us: int
    last_lag_us: int
    quarantined: int


class _Stamped(msgspec.Struct):
    time: TimeUs
    source: str = ""


_decode = msgspec.json.Decoder(_Stamped).decode


def clocks_of(log: Log, tolerance_us: int, since: int, until: int | None) -> list[SourceClock]:
    """The clocks of all sources in a range of append time, the smallest lag first.

    A clock that is ahead shows as a negative lag, reduced by the delay of transport. A clock that
    is behind looks like a slow transport.

    Args:
        log: Log with the events.
        tolerance_us: Tolerance of the clock guard, µs.
        since: First append time to read, microseconds UTC.
        until: Append time before which to stop, microseconds UTC; None: to the end.
    """
    seen: dict[str, SourceClock] = {}
    for _, record in History(log, EVENTS, since, until):
        try:
            event = _decode(record.value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue  # a dead letter already
        lag = record.append_time - event.time
        old = seen.get(event.source, SourceClock(event.source, 0, lag, lag, 0))
        seen[event.source] = SourceClock(
            event.source,
            old.records + 1,
            min(old.least_lag_us, lag),
            lag,
            old.quarantined + (lag < -tolerance_us),
        )
    return sorted(seen.values(), key=lambda clock: clock.least_lag_us)
