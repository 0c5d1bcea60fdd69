"""Figures of equal periods of event time."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.judging.estimates import expected
from models.judging.histograms import NORMAL_95, Counts, Estimate, auc, histogram_of
from models.scorecard import Floats
from state.durations import Duration
from state.events import DAY_US

_LENGTHS = [
    Duration.parse(text)
    for text in (
        "1m", "5m", "15m", "30m", "1h", "3h", "6h", "12h", "1d", "2d", "7d", "28d", "91d", "364d",
    )
]  # fmt: skip
_MOST, _ROWS = 72, 50
"""Most periods, and the rows that each should have."""
_MONDAY = 3 * DAY_US  # 1970 began on a Thursday
LEAST = 20
"""A period with fewer labels has no figures: they would be noise."""

Times = NDArray[np.int64]


class Periods(NamedTuple):
    """Periods of one length that cover some times.

    Attributes:
        length: Length, µs.
        starts: Start of each period, µs UTC; weeks begin on Mondays.
        of: Number of the period of each time.
    """

    length: int
    starts: list[int]
    of: Times

    @property
    def middles(self) -> list[int]:
        """Middle of each period, µs UTC."""
        return [start + self.length // 2 for start in self.starts]

    def counts(self) -> Times:
        """Number of rows of each period."""
        return np.bincount(self.of, minlength=len(self.starts))


def periods_of(times: Times) -> Periods:
    """Cut time into at most 74 periods of a round length, with some 50 rows each at least.

    Args:
        times: Event times, µs UTC, ascending, at least one.
    """
    begin, end = int(times[0]), int(times[-1])
    most = min(_MOST, max(1, len(times) // _ROWS))
    length = next((int(one) for one in _LENGTHS if (end - begin) / one < most), 0)
    if not length:
        length = int(_LENGTHS[-1]) * -(-(end - begin) // (most * int(_LENGTHS[-1])))
    shift = _MONDAY if length % (7 * DAY_US) == 0 else 0
    first = (begin + shift) // length
    count = (end + shift) // length - first + 1
    starts = [(first + i) * length - shift for i in range(count)]
    return Periods(length, starts, (times + shift) // length - first)


def means(periods: Periods, values: Floats) -> list[Estimate | None]:
    """Mean of each period with its 95 % interval (normal); None: fewer than `LEAST` values.

    Args:
        periods: The periods.
        values: One per row; NaN is left out.
    """
    known = ~np.isnan(values)
    of, x = periods.of[known], values[known]
    n = np.bincount(of, minlength=len(periods.starts))
    mean = np.bincount(of, x, len(periods.starts)) / np.maximum(n, 1)
    spread = np.bincount(of, (x - mean[of]) ** 2, len(periods.starts)) / np.maximum(n - 1, 1)
    error = NORMAL_95 * np.sqrt(spread / np.maximum(n, 1))
    return [
        Estimate(float(m), float(m - e), float(m + e)) if count >= LEAST else None
        for m, e, count in zip(mean, error, n, strict=True)
    ]


def aucs(periods: Periods, labels: Times, said: Floats) -> list[Estimate | None]:
    """AUC of each period; None: fewer than `LEAST` answers, or only one label.

    Args:
        periods: The periods.
        labels: 0 or 1, one per row.
        said: P(label is 1); NaN is left out.
    """
    of_each = _histograms(periods, labels, said)
    return [auc(counts) if counts.sum() >= LEAST else None for counts in of_each]


def expected_aucs(periods: Periods, said: Floats) -> list[Estimate | None]:
    """AUC to be expected in each period before its labels; None: too few labels of one kind are.

    Args:
        periods: The periods.
        said: P(label is 1), one per row.
    """
    of_each = _histograms(periods, np.zeros(len(said), np.int64), said)
    return [expected(counts).get("auc") for counts in of_each]


def _histograms(periods: Periods, labels: Times, said: Floats) -> list[Counts]:
    """Answers of each period by label and logit; NaN is left out."""
    known = np.flatnonzero(~np.isnan(said))
    order = known[np.argsort(periods.of[known], kind="stable")]
    ends = np.cumsum(np.bincount(periods.of[known], minlength=len(periods.starts)))
    return [histogram_of(labels[of], said[of]) for of in np.split(order, ends)[:-1]]


def values(of: Sequence[Estimate | None]) -> list[float | None]:
    """The values of estimates, without their intervals."""
    return [None if one is None else one.value for one in of]
