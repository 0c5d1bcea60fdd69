"""Exact intervals of shares."""

from typing import NamedTuple

from models.judging.histograms import Estimate


class Counted(NamedTuple):
    """Number of hits among some rows."""

    hits: int
    rows: int


def exact_interval(of: Counted, confidence: float = 0.95) -> Estimate:
    """A share with its exact binomial interval (Clopper and Pearson, 1934).

    Args:
        of: The counts, at least one row.
        confidence: Confidence of the interval; for the intervals of n shares to hold together,
            let it be 1 - alpha / n (Bonferroni).

    Example:
        >>> value, low, high = exact_interval(Counted(3, 20))
        >>> round(value, 3), round(low, 3), round(high, 3)
        (0.15, 0.032, 0.379)
    """
    from scipy.special import betaincinv  # noqa: PLC0415 - slow to load, and every command would

    hits, rows = of
    tail = (1.0 - confidence) / 2
    low = float(betaincinv(hits, rows - hits + 1, tail)) if hits else 0.0
    high = float(betaincinv(hits + 1, rows - hits, 1.0 - tail)) if hits < rows else 1.0
    return Estimate(hits / rows, low, high)
