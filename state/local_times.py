"""Times without a zone: the moments that they stand for, and how many stand for two or for none."""

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo


@dataclass
class LocalTimes:
    """Gives a zone to times that have none, and counts them.

    Attributes:
        zone: The zone.
        count: Number of times that had none.
        twice: Number of times in the hour that comes twice when clocks go back, which were taken
            for the earlier one.
        never: Number of times that clocks skip when they go forward.

    Example:
        >>> from zoneinfo import ZoneInfo
        >>> times = LocalTimes(ZoneInfo("Europe/Berlin"))
        >>> times.moment(datetime(2026, 10, 25, 2, 30)).isoformat()
        '2026-10-25T02:30:00+02:00'
        >>> times.count, times.twice, times.never
        (1, 1, 0)
    """

    zone: tzinfo = UTC
    count: int = 0
    twice: int = 0
    never: int = 0

    def moment(self, time: datetime) -> datetime:
        """The time with its own zone, or with this one if it has none."""
        if time.tzinfo is not None:
            return time
        self.count += 1
        first = time.replace(tzinfo=self.zone)
        if self.zone is not UTC:
            earlier, later = first.utcoffset(), first.replace(fold=1).utcoffset()
            assert earlier is not None
            assert later is not None
            self.twice += earlier > later
            self.never += earlier < later
        return first
