"""Local clock readings of UTC times, daylight saving included."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from operator import attrgetter
from typing import Any

from state.events import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from state.features import CalendarPart

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_QUARTER_US = 15 * MINUTE_US
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def local_clock(tz: tzinfo) -> Callable[[int], int]:
    """A function from UTC to local wall time, both in µs since 1970.

    Offsets change on quarter hours only, so the last quarter's offset is kept.

    Example:
        >>> from zoneinfo import ZoneInfo
        >>> local = local_clock(ZoneInfo("America/New_York"))
        >>> (local(1_357_034_400_000_000) - 1_357_034_400_000_000) // HOUR_US
        -5
    """
    kept = (-1, 0)

    def local(time_us: int) -> int:
        nonlocal kept
        quarter = time_us // _QUARTER_US
        if quarter != kept[0]:
            moment = _EPOCH + timedelta(seconds=quarter * 15 * 60)
            offset = moment.astimezone(tz).utcoffset()
            assert offset is not None
            kept = (quarter, round(offset.total_seconds()) * SECOND_US)
        return time_us + kept[1]

    return local


def calendar_reading(part: CalendarPart, of: str, tz: tzinfo) -> Callable[[Any], Any]:
    """A function from an event to one part of the local calendar of its field `of`."""
    time_of, local = attrgetter(of), local_clock(tz)
    match part:
        case "minute_of_day":
            return lambda event: local(time_of(event)) % DAY_US // MINUTE_US
        case "hour":
            return lambda event: f"h{local(time_of(event)) % DAY_US // HOUR_US:02d}"
        case "weekday":
            return lambda event: _WEEKDAYS[(local(time_of(event)) // DAY_US + 3) % 7]
        case "day_of_year":
            return lambda event: (
                (_EPOCH + timedelta(days=local(time_of(event)) // DAY_US)).timetuple().tm_yday
            )
