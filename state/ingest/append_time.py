"""Derive append times of imported history from the order of the file.

Event i was appended at `max(a[i-1], min(t[i], median of t[i] .. t[i+8]))`: at its own time, unless
the events after it show that its clock was ahead. So a single jump stands out against its append
time, while a quiet night, after which all later events follow, does not.

No append time is after now: a later event time does not count for neighbours, and its event gets
the median of those after it, or the previous append time.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator

LOOKAHEAD = 8
"""Number of later events with a time that are compared with each event."""

NEVER = 2**63 - 1
"""A time later than any other: without a clock to compare with."""

# After this many lines without a time the lookahead ends, which bounds the memory.
_MAX_PENDING = 1000


def append_times(
    event_times: Iterable[int | None],
    floor: int,
    now: int = NEVER,
    is_full: Callable[[], bool] = lambda: False,
) -> Iterator[int]:
    """Append times of events in file order, never decreasing.

    An event without a time gets the previous append time and does not count for its neighbours. The
    last events have fewer after them: a jump at the very end of a file, up to now, is not noticed.

    Args:
        event_times: Microseconds UTC in file order; None for lines that are not events.
        floor: The last append time in the log, 0 for an empty log.
        now: Upper bound of all append times.
        is_full: Whether the caller can keep no more lines; then the lookahead ends.

    Yields:
        Microseconds UTC, at least `floor`, at most the highest of `floor` and the event times up to
            `now`.

    Example:
        >>> list(append_times([10, 20, 10_000, 30, None, 40], floor=0))
        [10, 20, 40, 40, 40, 40]
        >>> list(append_times([10, 20, 30, 10_000], floor=0, now=50))
        [10, 20, 30, 30]
    """
    pending: deque[int | None] = deque()
    known: deque[int] = deque()  # times of the pending events, up to now
    last = floor
    for event_time in event_times:
        pending.append(event_time)
        if event_time is not None and event_time <= now:
            known.append(event_time)
        while pending and (len(known) > LOOKAHEAD or len(pending) > _MAX_PENDING or is_full()):
            last = _next(pending, known, last, now)
            yield last
    while pending:
        last = _next(pending, known, last, now)
        yield last


def _next(pending: deque[int | None], known: deque[int], last: int, now: int) -> int:
    event_time = pending.popleft()
    if event_time is None:
        return last
    if event_time > now:
        return max(last, _lower_median(known)) if known else last
    time = append_time(known, last)
    known.popleft()
    return time


def append_time(event_times: Collection[int], last: int) -> int:
    """Compute the append time of one event.

    Args:
        event_times: Event time of the event, and those of up to `LOOKAHEAD` later events.
        last: The previous append time.

    Example:
        >>> append_time([10_000, 30, 40], last=20)
        40
    """
    return max(last, min(next(iter(event_times)), _lower_median(event_times)))


def _lower_median(times: Collection[int]) -> int:
    return sorted(times)[(len(times) - 1) // 2]
