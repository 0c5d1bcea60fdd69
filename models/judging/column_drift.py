"""The distance of each column's distribution from that of the training window.

The population stability index (PSI) of live shares q and training shares p is the sum of
(q - p) · ln(q / p) over the bins. If both are samples of one distribution, of n and m independent
rows in B bins, then PSI is χ² with B - 1 degrees of freedom, times 1/n + 1/m: Yurdakul and Naranjo,
Statistical properties of the population stability index, Journal of Risk Model Validation 14, 2020.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from models.judging.betting import Floats, jit
from models.judging.column_reference import Reference
from models.judging.profile_build import Ints

FLOOR = 0.1
"""Smallest PSI that counts as drift; by convention, a smaller one is no shift."""
_Z = 3.090232306167813
"""Quantile of the normal distribution at 0.999."""
_HALF = 0.5


class ColumnDrift(NamedTuple):
    """The distance of a column from the training window.

    Attributes:
        psi: The population stability index.
        critical: Value that it exceeds by chance in one of a thousand windows.
    """

    psi: float
    critical: float

    @property
    def is_drift(self) -> bool:
        """Whether it is beyond chance, and large enough to count."""
        return self.psi > max(self.critical, FLOOR)


def critical(bins: int, live: float, training: float) -> float:
    """The value that PSI exceeds by chance in one of a thousand windows.

    By the approximation of χ² of Wilson and Hilferty, 1931.

    Args:
        bins: Number of bins that have rows.
        live: Number of live rows.
        training: Number of rows of the training window.

    Example:
        >>> round(critical(10, 500.0, 10_000.0) / (1 / 500 + 1 / 10_000), 1)  # exactly 27.9
        28.1
    """
    free = max(bins - 1, 1)
    part = 2.0 / (9.0 * free)
    chi2 = free * (1.0 - part + _Z * math.sqrt(part)) ** 3
    return chi2 * (1.0 / live + 1.0 / training)


@jit
def _psi(counts: Any, weights: Any, shares: Any, out: Any) -> None:
    """PSI and number of bins of each column, with half a row more in each bin."""
    columns, bins = counts.shape
    expected = np.zeros(bins)
    for c in range(columns):
        n, used, rows = 0, 0, out[c, 1]
        expected[:] = 0.0
        for i in range(len(weights)):
            for b in range(bins):
                expected[b] += weights[i] * shares[i, c, b]
        for b in range(bins):
            n += counts[c, b]
            used += counts[c, b] > 0 or expected[b] > 0.0
        psi = 0.0
        for b in range(bins):
            if counts[c, b] > 0 or expected[b] > 0.0:
                q = (counts[c, b] + _HALF) / (n + _HALF * used)
                p = (expected[b] * rows + _HALF) / (rows + _HALF * used)
                psi += (q - p) * math.log(q / p)
        out[c, 0] = psi
        out[c, 1] = used


class Drifts(NamedTuple):
    """The distances of all columns.

    Attributes:
        found: PSI and number of bins of each column; float64[columns, 2].
        live: Number of live rows.
        training: Number of rows of a sample with the variance of the expected shares.
    """

    found: Floats
    live: int
    training: float

    def of(self, column: int) -> ColumnDrift:
        """The distance of a column."""
        psi, bins = self.found[column].tolist()
        return ColumnDrift(psi, critical(int(bins), float(self.live), self.training))


def drift(reference: Reference, counts: Ints, hours: Ints) -> Drifts:
    """Compare each column with the training window at the same hours of the week.

    The expected shares are those of the training window, mixed as the live rows' hours are.

    Args:
        reference: The training window.
        counts: Live rows by column and bin; int64[columns, BINS].
        hours: Live rows by hour of the week, at least one row.
    """
    live = int(hours.sum())
    shares: dict[int, float] = {}
    for hour in np.flatnonzero(hours).tolist():
        pool = int(reference.pool_of[hour])
        shares[pool] = shares.get(pool, 0.0) + int(hours[hour]) / live
    mixed, weights = np.array([*shares]), np.array([*shares.values()])
    rows = reference.pool_rows[mixed]
    noise = math.fsum((weights * weights / rows).tolist())
    if reference.own_rows < reference.profile.rows:
        noise += 1.0 / reference.own_rows
    training = 1.0 / noise
    found: Floats = np.full((len(counts), 2), training)
    _psi(counts, weights, reference.shares[mixed], found)
    return Drifts(found, live, training)
