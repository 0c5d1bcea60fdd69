"""The numbers that stand for the levels of a categorical column, in order of first sight."""

import math
from collections.abc import Callable

from state.restored import check

MOST_LEVELS = 4096
"""A column takes no more levels than this; what comes later reads as missing."""

MOST_CHARACTERS = 256
"""A level's name is no longer; what is longer reads as missing."""


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
        """The level's number as the vector holds it; NaN for null, too long or one too many."""
        if name is None:
            return math.nan
        number = self._numbers.get(name)
        if number is None:
            number = self._add(name)
        return number

    def peeking(self, unseen: "list[tuple[Levels, str]]") -> Callable[[str | None], float]:
        """What `number` would say, as a function that adds nothing.

        For a new name it says the next number, and notes it in `unseen`.
        """

        def peek(name: str | None) -> float:
            if name is None:
                return math.nan
            number = self._numbers.get(name)
            if number is not None:
                return number
            if len(self.names) == MOST_LEVELS or len(name) > MOST_CHARACTERS:
                return math.nan
            unseen.append((self, name))
            return float(len(self.names))

        return peek

    def restore(self, names: list[str]) -> None:
        """Take these levels instead.

        Raises:
            ValueError: They are too many, one is too long, or one comes twice.
        """
        longest = max(map(len, names), default=0)
        check(longest <= MOST_CHARACTERS, f"level must be at most {MOST_CHARACTERS} long", longest)
        check(len(names) <= MOST_LEVELS, f"levels must be at most {MOST_LEVELS}", len(names))
        self.names[:] = names
        self._numbers = {name: float(i) for i, name in enumerate(names)}
        check(len(self._numbers) == len(names), "levels must be unique", names)

    def _add(self, name: str) -> float:
        if len(self.names) == MOST_LEVELS or len(name) > MOST_CHARACTERS:
            return math.nan
        number = self._numbers[name] = float(len(self.names))
        self.names.append(name)
        return number
