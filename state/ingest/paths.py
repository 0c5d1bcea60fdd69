"""Paths into nested values: names and numbers with points between them, such as `order.lines.0`."""

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET


def at_path(value: Any, steps: Sequence[str]) -> Any:
    """The value at the end of a path; UNSET if there is none.

    Example:
        >>> at_path({"order": {"lines": [7, 8]}}, ["order", "lines", "1"])
        8
    """
    for step in steps:
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return UNSET
    return value
