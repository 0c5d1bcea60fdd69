"""Robust slope of a series, and a test of growth against noise."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import theilslopes

_LEAST_BLOCKS = 3
_CONFIDENCE = 0.95
_ALLOWED_SHARE = 0.02
"""Of the level: so much more at the end than at the beginning is no growth."""


class Slope(NamedTuple):
    """Result for a quantity after the warm-up.

    Attributes:
        level: Its median.
        per_hour: The Theil-Sen estimate.
        low: Lower end of the 95 % confidence interval, per hour.
        high: Likewise.
        grows: True if it has grown by more than the limit, even at the interval's low end.
    """

    level: float
    per_hour: float
    low: float
    high: float
    grows: bool


def slope_of(
    hours: Sequence[float], values: Sequence[float], allowed: float, cycle: float
) -> Slope:
    """The slope of a series.

    What is cut back once a cycle is a sawtooth, and samples that follow each other are not
    independent: so the slope and its interval are those of the medians of whole cycles.

    Args:
        hours: When each value was taken, ascending; three at least.
        values: As many.
        allowed: Growth over the whole series that is none; 2 % of the level if that is more.
        cycle: How long one lasts (hours).
    """
    count = max(_LEAST_BLOCKS, min(round((hours[-1] - hours[0]) / cycle), len(values)))
    at = [float(np.median(block)) for block in np.array_split(np.array(hours), count)]
    medians = [float(np.median(block)) for block in np.array_split(np.array(values), count)]
    per_hour, _, low, high = theilslopes(medians, at, alpha=_CONFIDENCE)
    level = float(np.median(values))
    grown = low * (hours[-1] - hours[0])
    return Slope(level, per_hour, low, high, grown > max(allowed, _ALLOWED_SHARE * level))
