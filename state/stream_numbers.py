"""Bounds on the numbers in a stream's features."""

from typing import NamedTuple

_FARTHEST = 1e100
"""Bound that keeps sums over the largest window finite."""


class Bound(NamedTuple):
    """A number and its bounds.

    Attributes:
        what: Name of the number, for messages.
        value: Declared value.
        least: Lowest valid value.
        most: Highest valid value.
    """

    what: str
    value: float
    least: float = -_FARTHEST
    most: float = _FARTHEST

    @property
    def wrong(self) -> str:
        """The error message; empty if the number is valid. NaN is never valid."""
        number = isinstance(self.value, int | float)
        if number and self.least <= self.value <= self.most:
            return ""
        return f"{self.what} must lie from {self.least:g} to {self.most:g}; got {self.value!r}"
