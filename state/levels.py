"""The numbers that stand for the levels of a categorical column, in order of first sight."""

import math

MOST_LEVELS = 4096
"""A column takes no more levels than this; what comes later reads as missing."""


class Levels:
    """Level names and their numbers.

    Attributes:
        names: All levels, the number of each its place.

    Example:
        >>> levels = Levels()
        >>> levels.number("JFK"), levels.number("EWR"), levels.number("JFK")
        (0.0, 1.0, 0.0)
    """

    __slots__ = ("_numbers", "names")

    def __init__(self) -> None:
        self.names: list[str] = []
        self._numbers: dict[str, float] = {}

    def number(self, name: str | None) -> float:
        """The level's number as the vector holds it; NaN for null or one level too many."""
        if name is None:
            return math.nan
        number = self._numbers.get(name)
        if number is None:
            number = self._add(name)
        return number

    def restore(self, names: list[str]) -> None:
        """Take these levels instead."""
        self.names[:] = names
        self._numbers = {name: float(i) for i, name in enumerate(names)}

    def _add(self, name: str) -> float:
        if len(self.names) == MOST_LEVELS:
            return math.nan
        number = self._numbers[name] = float(len(self.names))
        self.names.append(name)
        return number
