"""Histograms of requests by label and predicted logit, and figures computed from them.

A histogram is `[2, BINS]`: row 0 counts label 0, row 1 label 1; each column is `WIDTH` of logit.
Histograms of partitions and periods can be added. Figures treat all requests of a column as having
one probability: two requests of a column tie.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.judging.betting import Floats, jit
from models.logits import LEAST

WIDTH = 0.1
_HALF = 140
BINS = 2 * _HALF
"""Number of columns, from 1e-6, the limit of probabilities, to 1 - 1e-6."""

_EDGES = (np.arange(BINS + 1) - _HALF) * WIDTH
MIDDLES = 1.0 / (1.0 + np.exp(-(_EDGES[:-1] + WIDTH / 2)))
"""The probability in the middle of each column."""

LOWEST = 1.0 / (1.0 + np.exp(-_EDGES[:-1]))
"""The lowest probability of each column."""

GROUPS = 10
NORMAL_95 = 1.959964
"""A normal value is within so many standard deviations of its mean in 95 % of cases."""

Counts = NDArray[np.int64] | Floats


@jit
def column(probability: float) -> int:
    """The column of a probability.

    Example:
        >>> column(0.5), column(0.0), column(1.0)
        (140, 1, 278)
    """
    p = min(max(probability, LEAST), 1.0 - LEAST)
    return int(np.floor(np.log(p / (1.0 - p)) / WIDTH)) + _HALF


@jit
def count(histogram: Any, label: int, probability: float) -> None:
    """Add one request."""
    histogram[label, column(probability)] += 1


@jit
def _count_all(histogram: Any, labels: Any, said: Any) -> None:
    for i in range(len(labels)):
        count(histogram, labels[i], said[i])


def histogram_of(labels: NDArray[np.int64], said: Floats) -> Counts:
    """The histogram of some requests.

    Args:
        labels: 0 or 1, one per request.
        said: P(label is 1), one per request.

    Example:
        >>> found = histogram_of(np.array([0, 1, 1]), np.array([0.5, 0.5, 1.0]))
        >>> found[:, 140].tolist(), found[:, 278].tolist(), found.shape
        ([1, 1], [0, 1], (2, 280))
    """
    histogram = np.zeros((2, BINS), np.int64)
    _count_all(histogram, labels, said)
    return histogram


class Decided(NamedTuple):
    """Counts of decisions, if probabilities from a threshold on are positive."""

    true_positives: float
    false_positives: float
    true_negatives: float
    false_negatives: float

    @property
    def precision(self) -> float | None:
        """Share of positive decisions that are right; None if there are none."""
        return _share(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float | None:
        """Share of positives with a positive decision; None if there are none."""
        return _share(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def accuracy(self) -> float | None:
        """Share of right decisions."""
        right = self.true_positives + self.true_negatives
        return _share(right, right + self.false_positives + self.false_negatives)

    def f(self, beta: float) -> float | None:
        """The F-measure in which recall weighs `beta` times as much as precision.

        Example:
            >>> Decided(8, 2, 85, 5).f(1)
            0.6956521739130435
        """
        weight = beta * beta
        hits = (1 + weight) * self.true_positives
        return _share(hits, hits + weight * self.false_negatives + self.false_positives)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


class Estimate(NamedTuple):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


def auc(histogram: Counts) -> Estimate | None:
    """The probability that a positive row has the higher probability; a tie counts half.

    The interval is DeLong's (1988), on the log odds of the figure. None if there is only one label.
    """
    zeros, ones = histogram.astype(np.float64)
    n, m = zeros.sum(), ones.sum()
    if not n or not m:
        return None
    beaten = (np.cumsum(zeros) - zeros / 2) / n
    beating = (np.cumsum(ones[::-1])[::-1] - ones / 2) / m
    value = float(dot(ones, beaten) / m)
    spread = dot(ones, (beaten - value) ** 2) / m**2 + dot(zeros, (beating - value) ** 2) / n**2
    if not 0.0 < value < 1.0:
        return Estimate(value, value, value)
    step = NORMAL_95 * float(np.sqrt(spread)) / (value * (1.0 - value))
    odds = math.log(value / (1.0 - value))
    low, high = (1.0 / (1.0 + math.exp(-(odds + s))) for s in (-step, step))
    return Estimate(value, low, high)


def dot(one: Counts, other: Counts) -> float:
    """The sum of products, exactly rounded, so that it is the same on every machine."""
    return math.fsum((one * other).tolist())


def calibration(histogram: Counts) -> list[tuple[float, float, int]]:
    """Mean probability, share of label 1, and count, in up to ten groups of about equal size."""
    counts = histogram.sum(axis=0)
    total = counts.sum()
    if not total:
        return []
    middle = np.cumsum(counts) - counts / 2
    group = np.minimum((middle * GROUPS / total).astype(np.int64), GROUPS - 1)
    found = []
    for g in range(GROUPS):
        of = (group == g) & (counts > 0)
        if of.any():
            size = counts[of].sum()
            said = float(dot(MIDDLES[of], counts[of]) / size)
            found.append((said, float(histogram[1, of].sum() / size), int(size)))
    return found


def calibration_error(histogram: Counts) -> float:
    """Mean distance of probability and share over the groups, weighted by their size (ECE)."""
    groups = calibration(histogram)
    total = sum(size for *_, size in groups)
    return sum(abs(said - share) * size for said, share, size in groups) / max(total, 1)
