"""Check state restored from bytes, before compiled code uses it."""

import reprlib
from collections.abc import Mapping
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
"""A count, an offset or an address."""

MOST_US = 2**60
"""Bound on the distance of times and deadlines from 1970, µs."""


def check(holds: object, rule: str, got: object) -> None:
    """Refuse state that breaks a rule.

    Args:
        holds: Whether the rule holds.
        rule: `<what> must be <rule>`.
        got: Value to show.

    Raises:
        ValueError: The rule does not hold.

    Example:
        >>> check(len("ab") == 3, "names must be of 3 letters", "ab")
        Traceback (most recent call last):
        ValueError: names must be of 3 letters; got 'ab'
    """
    if not holds:
        msg = f"{rule}; got {reprlib.repr(got)}"
        raise ValueError(msg)


def floats(content: bytes, what: str) -> NDArray[np.float64]:
    """Bytes as numbers, without copying.

    Raises:
        ValueError: The bytes end within a number.
    """
    check(len(content) % 8 == 0, f"{what} must be whole numbers of 8 bytes", len(content))
    return np.frombuffer(content)


def check_levels(rows: NDArray[np.float64], levels: Mapping[int, int]) -> None:
    """Refuse vectors with an unknown level.

    Args:
        rows: float64[n, width].
        levels: Number of levels of each categorical column.

    Raises:
        ValueError: A vector has an unknown level.
    """
    for column, count in levels.items():
        known = rows[~np.isnan(rows[:, column]), column]
        one_of = (known >= 0) & (known < count) & (known == np.floor(known))
        check(one_of.all(), f"levels of column {column} must be below {count}", known)
