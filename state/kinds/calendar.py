"""`Calendar`: position of a time of the request in the local day, week and year."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from reprlib import repr as shortened
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from state.events import Event
from state.field_types import TIME
from state.kinds.kind import Column, Compiled, FieldUse, Kind, Scope
from state.kinds.local_calendar import CATEGORIES, CalendarPart, calendar_readings


@dataclass(frozen=True)
class Calendar(Kind):
    """Position of a time of the request in the local day, week and year.

    `weekday` (mon … sun) and `hour` (h00 … h23) are categories, the other parts numbers.

    Args:
        of: Field with the time (µs UTC).
        tz: IANA time zone of the local clock.
        parts: Parts to use, one column each.
    """

    of: str
    tz: str
    parts: tuple[CalendarPart, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        """The parts."""
        return tuple(Column(part, part in CATEGORIES) for part in self.parts)

    def uses(self, request: type[Event]) -> Iterator[FieldUse]:
        """The time."""
        yield FieldUse(request, self.of, TIME)

    def wrong(self, scope: Scope) -> str:
        """Refuse a time zone that this machine does not know."""
        try:
            ZoneInfo(self.tz)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            near = get_close_matches(self.tz, available_timezones(), 1, 0.5)
            hint = f": {near[0]!r}?" if near else ""
            return (
                "tz must be an IANA time zone, such as 'Europe/Berlin'; got "
                f"{shortened(self.tz)} in feature {self.title}{hint}"
            )
        return ""

    def compiled(self, scope: Scope) -> Compiled:
        """The parts of the local time."""
        return Compiled(all_given=calendar_readings(self.parts, self.of, ZoneInfo(self.tz)))
