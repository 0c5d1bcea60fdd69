"""Durations in text form ("90s", "5m", "6h", "7d"), stored as microseconds."""

import re
from fractions import Fraction
from reprlib import repr as shortened
from typing import Self

from state.events import DAY_US, HOUR_US, MINUTE_US, SECOND_US

_UNIT_US = {"ms": 1_000, "s": SECOND_US, "m": MINUTE_US, "h": HOUR_US, "d": DAY_US}
_FORM = re.compile(r"(\d{1,100}(?:\.\d{1,100})?)(ms|s|m|h|d)", re.ASCII)
_MOST_DAYS = 50_000


class Duration(int):
    """A whole number of microseconds, parsed from and shown as text.

    The shown text parses to the same duration.

    Example:
        >>> Duration.parse("90m"), int(Duration.parse("1.5h"))
        (Duration('90m'), 5400000000)
        >>> str(Duration.parse("24h"))
        '1d'
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a duration.

        Raises:
            ValueError: `text` is not a number followed by ms, s, m, h or d, or is more than `MOST`.
        """
        duration = cls._parsed(text)
        if duration is None:
            got = shortened(text)
            msg = f"duration must be a number and a unit (ms, s, m, h, d); got {got}"
            raise ValueError(msg)
        if duration > _MOST_DAYS * DAY_US:
            msg = f"duration must be at most {_MOST_DAYS}d; got {shortened(text)}"
            raise ValueError(msg)
        return duration

    @classmethod
    def bounded(cls, text: str) -> str:
        """Limit a text with a duration to `MOST`; return any other text unchanged.

        Example:
            >>> Duration.bounded("60000d"), Duration.bounded("90m"), Duration.bounded("gbm")
            ('50000d', '90m', 'gbm')
        """
        duration = cls._parsed(text)
        return text if duration is None or duration <= MOST else str(MOST)

    @classmethod
    def _parsed(cls, text: str) -> Self | None:
        match = _FORM.fullmatch(text)
        if match is None:
            return None
        number, unit = match.groups()
        return cls(round(Fraction(number) * _UNIT_US[unit]))

    def __str__(self) -> str:
        """The shortest exact text, in the largest unit that divides it."""
        for unit, size in reversed(_UNIT_US.items()):
            if self % size == 0 and self:
                return f"{self // size}{unit}"
        return f"{self // SECOND_US}.{self % SECOND_US:06d}".rstrip("0").rstrip(".") + "s"

    def __repr__(self) -> str:
        """The text as a constructor call."""
        return f"Duration({str(self)!r})"


MOST = Duration(_MOST_DAYS * DAY_US)
"""Longest duration: it spans 1970 to 2100, so no two event times are further apart."""
