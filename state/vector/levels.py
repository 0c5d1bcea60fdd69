"""Numbers of the levels of a categorical column, in order of first occurrence."""

import math
from collections.abc import Callable

from state.restored import check

MOST_LEVELS = 4096
"""Most levels of a column; further levels read as missing."""

MOST_CHARACTERS = 256
"""Longest name of a level; longer ones read as missing."""


class Levels:
    """Level names and their numbers.

    Attributes:
        names: Names of all levels; a level's number is its index.

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
        """The level's number in the vector; NaN for null, a name too long, or a level too many."""
        if name is None:
            return math.nan
        number = self._numbers.get(name)
        if number is None:
            number = self._add(name)
        return number

    def peeking(self, unseen: "list[tuple[Levels, str]]") -> Callable[[str | None], float]:
        """A function like `number` that adds no level.

        A new level gets the next number and is appended to `unseen`.
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
        """Replace the levels.

        Raises:
            ValueError: There are too many, a name is too long, or a name is repeated.
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
