"""The sources' clocks, told from `events`: when it is said to have happened and when it came."""

from typing import NamedTuple

import msgspec

from state.events import TimeUs
from state.log import EVENTS, Log
from state.outputs.history import History


class SourceClock(NamedTuple):
    """What was seen of the clock of one source.

    Attributes:
        source: Whose.
        records: How many of its events came.
        least_lag_us: The least append time less event time; negative: the clock is ahead.
        last_lag_us: That of its newest event.
        quarantined: How many events were from the future beyond tolerance.
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
    """The clocks of all sources with events in a span of append time, worst first.

    A clock that is ahead shows in a negative lag; by how much it is ahead, less the way to the log.
    One that is behind cannot be told from a slow way.

    Args:
        log: Where.
        tolerance_us: Of the clock guard.
        since: Only events that were appended at or after this, microseconds UTC.
        until: Only those before.
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
