"""When imported history would have been appended, told from the order of the file alone.

Event i was appended at `max(a[i-1], min(t[i], median of t[i] .. t[i+8]))`: as soon as it had
happened, unless the events after it say that its clock was ahead. So a lone jump stands out
against its append time while a quiet night, after which all later events follow, does not.

Nothing was appended later than now: a time beyond it says when nothing happened, and counts for
no neighbour. Its event gets the median of those after it, or the append time before it.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator

LOOKAHEAD = 8
"""How many events with a time are looked at after each."""

NEVER = 2**63 - 1
"""Later than any time: where there is no clock to compare with."""

# Beyond so many lines without a time the lookahead ends: memory stays bounded.
_MAX_PENDING = 1000


def append_times(
    event_times: Iterable[int | None],
    floor: int,
    now: int = NEVER,
    is_full: Callable[[], bool] = lambda: False,
) -> Iterator[int]:
    """Append times of events in the order of a file, one for each, never running backwards.

    What has no time gets the append time before it and does not count for its neighbours. The
    last events have fewer after them: a jump at the very end of a file, up to now, goes unnoticed.

    Args:
        event_times: Microseconds UTC in file order; None for what is no event.
        floor: The last append time already in the log, 0 for an empty one.
        now: The latest time that any of them can have.
        is_full: Whether the caller can keep no more of what is looked at: then the lookahead ends.

    Yields:
        Microseconds UTC, at least `floor`, never above the highest of `floor` and the event times
        up to `now`.

    Example:
        >>> list(append_times([10, 20, 10_000, 30, None, 40], floor=0))
        [10, 20, 40, 40, 40, 40]
        >>> list(append_times([10, 20, 30, 10_000], floor=0, now=50))
        [10, 20, 30, 30]
    """
    pending: deque[int | None] = deque()
    known: deque[int] = deque()  # the times among the pending, up to now
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
    """When the first of these was appended.

    Args:
        event_times: Its own, and those of up to `LOOKAHEAD` after it.
        last: The append time before it.

    Example:
        >>> append_time([10_000, 30, 40], last=20)
        40
    """
    return max(last, min(next(iter(event_times)), _lower_median(event_times)))


def _lower_median(times: Collection[int]) -> int:
    return sorted(times)[(len(times) - 1) // 2]
