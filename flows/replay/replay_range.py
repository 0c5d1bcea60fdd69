"""The range of a log that is replayed."""

from datetime import datetime
from typing import NamedTuple

from flows.runtime.app import parse_day
from flows.terminal.time_format import format_time
from state.log import EVENTS, ReadableLog, newest_append_time, offset_at

Moment = datetime | str | None


class ReplayRange(NamedTuple):
    """Append times, and by partition the offsets of `events` between them.

    Attributes:
        since: µs UTC, inclusive; None: from the first record that is left.
        until: µs UTC, exclusive; None: to the current end of the log.
        firsts: First offset, by partition.
        ends: Offset after the last record, by partition.
    """

    since: int | None
    until: int | None
    firsts: list[int]
    ends: list[int]

    def __str__(self) -> str:
        """Format the two times for people."""
        return f"{format_time(self.since) or 'the start'} to {format_time(self.until) or 'the end'}"


def span_of(log: ReadableLog, since: Moment, until: Moment) -> ReplayRange:
    """The range between two append times (UTC).

    Raises:
        ValueError: The range is empty, not a time, or outside the log.
    """
    low, high = _us(since), _us(until)
    if low is not None and high is not None and low >= high:
        msg = f"--from must be before --to; got {format_time(low)} to {format_time(high)}"
        raise ValueError(msg)
    partitions = range(log.partitions(EVENTS))
    held = [p for p in partitions if log.end(EVENTS, p) > log.start(EVENTS, p)]
    if not held:
        msg = "log must hold events; got none: fill it with `headwater ingest FILE`"
        raise ValueError(msg)
    oldest = min(log.read(EVENTS, p, log.start(EVENTS, p))[0].append_time for p in held)
    newest = newest_append_time(log, EVENTS)
    for name, time in (("--from", low), ("--to", high)):
        outside = time is not None and (time > newest if name == "--from" else time <= oldest)
        if outside:
            held_span = f"{format_time(oldest)} to {format_time(newest)}"
            msg = f"{name} must be within the log, {held_span}; got {format_time(time)}"
            raise ValueError(msg)
    firsts = [log.start(EVENTS, p) if low is None else offset_at(log, EVENTS, p, low)
              for p in partitions]  # fmt: skip
    ends = [log.end(EVENTS, p) if high is None else offset_at(log, EVENTS, p, high)
            for p in partitions]  # fmt: skip
    return ReplayRange(low, high, firsts, ends)


def _us(moment: Moment) -> int | None:
    if isinstance(moment, str):
        moment = parse_day(moment)
    return None if moment is None else round(moment.timestamp() * 1e6)


def headless(log: ReadableLog, partition: int) -> ValueError:
    """The error for a replay that would need records which were deleted."""
    start = log.start(EVENTS, partition)
    time = log.read(EVENTS, partition, start)[0].append_time
    return ValueError(
        f"replay must begin at a checkpoint or at offset 0; got no usable checkpoint before "
        f"--from, and the first offset left in events/{partition} is {start} ({format_time(time)})"
    )
