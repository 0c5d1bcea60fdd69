"""Durations as people write them ("90s", "5m", "6h", "7d"), held as microseconds."""

import re
from typing import Self

from state.events import DAY_US, HOUR_US, MINUTE_US, SECOND_US

_UNIT_US = {"ms": 1_000, "s": SECOND_US, "m": MINUTE_US, "h": HOUR_US, "d": DAY_US}
_FORM = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)


class Duration(int):
    """A whole number of microseconds, made from and shown as text.

    Example:
        >>> Duration.parse("90m"), int(Duration.parse("1.5h"))
        (Duration('90m'), 5400000000)
        >>> str(Duration.parse("24h"))
        '1d'
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """The duration that `text` names.

        Raises:
            ValueError: `text` is not a number followed by ms, s, m, h or d.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            msg = f"duration must be a number and a unit (ms, s, m, h, d); got {text!r}"
            raise ValueError(msg)
        number, unit = match.groups()
        return cls(round(float(number) * _UNIT_US[unit]))

    def __str__(self) -> str:
        """The shortest exact text, in the largest unit that divides it."""
        for unit, size in reversed(_UNIT_US.items()):
            if self % size == 0 and self:
                return f"{self // size}{unit}"
        return f"{self / SECOND_US:g}s"

    def __repr__(self) -> str:
        """The constructor's view of it."""
        return f"Duration({str(self)!r})"
