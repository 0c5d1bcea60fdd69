"""Local clock readings of UTC times, daylight saving included."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from operator import attrgetter
from typing import Any, Literal

from state.events import DAY_US, HOUR_US, MINUTE_US, SECOND_US

CalendarPart = Literal["minute_of_day", "day_of_year", "weekday", "hour"]
CATEGORIES = frozenset({"weekday", "hour"})
"""Parts that are names instead of numbers."""

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = tuple(f"h{hour:02d}" for hour in range(24))
_FIRST_DAY = date(1970, 1, 1).toordinal()
_QUARTER_US = 15 * MINUTE_US
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def local_clock(tz: tzinfo) -> Callable[[int], int]:
    """A function from UTC to local wall time, both in µs since 1970.

    Offsets change on quarter hours only, so those of recent quarters are cached.

    Example:
        >>> from zoneinfo import ZoneInfo
        >>> local = local_clock(ZoneInfo("America/New_York"))
        >>> (local(1_357_034_400_000_000) - 1_357_034_400_000_000) // HOUR_US
        -5
    """

    @lru_cache(maxsize=1024)
    def offset(quarter: int) -> int:
        moment = _EPOCH + timedelta(seconds=quarter * 15 * 60)
        difference = moment.astimezone(tz).utcoffset()
        assert difference is not None
        return round(difference.total_seconds()) * SECOND_US

    def local(time_us: int) -> int:
        return time_us + offset(time_us // _QUARTER_US)

    return local


def calendar_readings(
    parts: Sequence[CalendarPart], of: str, tz: tzinfo
) -> Callable[[Any], tuple[int | str, ...]]:
    """A function from an event to parts of the local calendar of its field `of`.

    No part changes within a local minute, so those of recent minutes are cached.
    """
    time_of, local = attrgetter(of), local_clock(tz)
    readings = [_PARTS[part] for part in parts]

    @lru_cache(maxsize=4096)
    def at(minute: int) -> tuple[int | str, ...]:
        day, time = divmod(minute * MINUTE_US, DAY_US)
        return tuple(reading(day, time) for reading in readings)

    return lambda event: at(local(time_of(event)) // MINUTE_US)


@lru_cache(maxsize=64)
def _day_of_year(day: int) -> int:
    number = _FIRST_DAY + day
    return number - date(date.fromordinal(number).year, 1, 1).toordinal() + 1


_PARTS: dict[CalendarPart, Callable[[int, int], int | str]] = {
    "minute_of_day": lambda _, time: time // MINUTE_US,
    "hour": lambda _, time: _HOURS[time // HOUR_US],
    "weekday": lambda day, _: _WEEKDAYS[(day + 3) % 7],
    "day_of_year": lambda day, _: _day_of_year(day),
}
"""Functions of the day since 1970 and the time of day (µs)."""
