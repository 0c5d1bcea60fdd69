"""Times without a zone: the moments that they stand for, and how many stand for two or for none."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

_BACK = timedelta(minutes=30)
_NIGHT = 3 * _BACK


@dataclass
class LocalTimes:
    """Gives a zone to times that have none, and counts them.

    A time in the hour that comes twice when clocks go back is of the earlier one. But where events
    come in order, and one of this hour is half an hour or more before those before it, it is of the
    later one, and so are those after it.

    Attributes:
        zone: The zone.
        count: Number of times that had none.
        twice: Number of times in the hour that comes twice, which were taken for the earlier one.
        second: Number of those that were taken for the later one.
        never: Number of times that clocks skip when they go forward.
        is_in_order: Whether the next time is that of an event, in the order of the file.

    Example:
        >>> from zoneinfo import ZoneInfo
        >>> times = LocalTimes(ZoneInfo("Europe/Berlin"))
        >>> times.moment(datetime(2026, 10, 25, 2, 30)).isoformat()
        '2026-10-25T02:30:00+02:00'
        >>> times.count, times.twice, times.never
        (1, 1, 0)
        >>> times.is_in_order = True
        >>> [times.moment(datetime(2026, 10, 25, 2, m)).isoformat() for m in (50, 10)]
        ['2026-10-25T02:50:00+02:00', '2026-10-25T02:10:00+01:00']
    """

    zone: tzinfo = UTC
    count: int = 0
    twice: int = 0
    second: int = 0
    never: int = 0
    is_in_order: bool = False
    _latest: datetime = datetime.min  # noqa: DTZ901
    _turned: datetime = datetime.min  # noqa: DTZ901
    _is_sorted: bool = True

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
            self.never += earlier < later
            is_twice = earlier > later
            if self.is_in_order and self._is_second(time, is_twice=is_twice):
                self.second += 1
                return first.replace(fold=1)
            self.twice += is_twice
        return first

    def _is_second(self, time: datetime, *, is_twice: bool) -> bool:
        """Whether clocks have gone back before an event, by the times of those before it."""
        back = self._latest - time
        if back > _BACK and not self._is_of_night(time):
            is_turn = is_twice and self._is_sorted and back < _NIGHT
            self._is_sorted = is_turn
            self._turned = time if is_turn else datetime.min  # noqa: DTZ901
        self._latest = max(self._latest, time)
        return is_twice and self._is_of_night(time)

    def _is_of_night(self, time: datetime) -> bool:
        return abs(time - self._turned) < _NIGHT
