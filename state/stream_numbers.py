"""The numbers of a stream's features: finite, and within what they can mean."""

from typing import NamedTuple

_FARTHEST = 1e100
"""Sums of as many numbers as a window can hold stay finite."""


class Bound(NamedTuple):
    """A number and what it may be.

    Attributes:
        what: In words.
        value: As declared.
        least: At least this.
        most: At most this.
    """

    what: str
    value: float
    least: float = -_FARTHEST
    most: float = _FARTHEST

    @property
    def wrong(self) -> str:
        """The error; empty if there is none. A NaN lies within no bounds."""
        number = isinstance(self.value, int | float)
        if number and self.least <= self.value <= self.most:
            return ""
        return f"{self.what} must lie from {self.least:g} to {self.most:g}; got {self.value!r}"
