"""Build the profile of a training window, one column at a time."""

from collections import Counter
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.judging.column_profile import (
    BINS,
    HOURS,
    LEVELS,
    OTHERS,
    QUANTILES,
    UNSEEN,
    ColumnProfile,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

HOUR_US = 3_600_000_000
_LEAST_OF_HOUR = 10
_DIGITS = 6
"""Digits of figures; the last ones of a sum depend on the machine."""
_EVEN = 2.0
"""Spread of the nulls up to which their share does not depend on the hour."""
_WEEKS = 20 * 24 * HOUR_US
"""Length of a window with each hour of the week some three times, so that they can differ."""


class TrainingRows(NamedTuple):
    """The rows of a training window, those of each partition in log order.

    Attributes:
        partitions: Partition of each row.
        times: Event times, µs.
        hours: Hour of the week of each row.
        is_late: Whether a row is of the last fifth by event time.
        blocks: Number of each row's block: the rows of an hour of one partition, and of a day.
    """

    partitions: Ints
    times: Ints
    hours: Ints
    is_late: Bools
    blocks: tuple[Ints, Ints]


def training_rows(partitions: Ints, times: Ints) -> TrainingRows:
    """Describe the rows of a window, at least one, by partition and event time (µs)."""
    late = np.sort(times)[len(times) * 4 // 5]
    hours = times // HOUR_US
    blocks = _blocks(partitions, hours), _blocks(partitions, hours // 24)
    return TrainingRows(partitions, times, hours % HOURS, times >= late, blocks)


def _blocks(partitions: Ints, periods: Ints) -> Ints:
    span = int(periods.max()) - int(periods.min()) + 1
    numbers = partitions * span + (periods - int(periods.min()))
    return np.asarray(np.unique(numbers, return_inverse=True)[1].reshape(-1), np.int64)


def numbers_profile(
    name: str, values: Floats, rows: TrainingRows, importance: float
) -> ColumnProfile:
    """The profile of a column of numbers; null is NaN."""
    known = np.sort(values[~np.isnan(values)])
    last = np.arange(1, QUANTILES + 1) * len(known) // QUANTILES - 1
    edges = np.unique(known[np.maximum(last, 0)]) if len(known) else np.empty(0)
    bins = np.where(np.isnan(values), 0, 1 + np.searchsorted(edges, values))
    sizes = np.abs(known[known != 0.0])
    late = rows.is_late
    earlier = values[~late]
    earlier = earlier[~np.isnan(earlier)]
    beyond = np.zeros(len(values), bool)
    if len(earlier):
        before = ColumnProfile(
            name=name,
            edges=[float(earlier.max())],
            least=float(earlier.min()),
            hours=[],
        )
        low, high, _ = before.limits
        beyond = (values < low) | (values > high)
    return _profile(
        ColumnProfile(
            name=name,
            edges=edges.tolist(),
            least=float(known[0]) if len(known) else None,
            tiny=float(sizes.min()) if len(sizes) else 0.0,
            size=round(int(np.frexp(sizes)[1].sum()) / len(sizes), _DIGITS) if len(sizes) else 0.0,
            hours=_by_hour(bins, rows, len(edges) + 2),
            partitions=_by_partition(bins, rows, len(edges) + 2),
            importance=round(importance, _DIGITS),
        ),
        values, beyond & late, rows,
    )  # fmt: skip


def levels_profile(
    name: str, values: list[str | None], rows: TrainingRows, importance: float
) -> ColumnProfile:
    """The profile of a categorical column."""
    counts = Counter(value for value in values if value is not None)
    levels = sorted(counts, key=lambda level: (-counts[level], level))
    numbers = {level: i for i, level in enumerate(levels)}
    codes = np.array([np.nan if value is None else numbers[value] for value in values])
    bins = level_bins(codes)
    late = rows.is_late
    earlier = np.isin(codes, codes[~late])
    return _profile(
        ColumnProfile(
            name=name,
            levels=levels,
            hours=_by_hour(bins, rows, OTHERS + 1),
            partitions=_by_partition(bins, rows, OTHERS + 1),
            importance=round(importance, _DIGITS),
        ),
        codes, late & ~earlier & ~np.isnan(codes), rows,
    )  # fmt: skip


def level_bins(codes: Floats) -> Ints:
    """Bins of levels, which are numbered by frequency; NaN is null, and -1 was not in training.

    Example:
        >>> level_bins(np.array([0.0, 11.0, 12.0, 800.0, np.nan, -1.0])).tolist()
        [1, 12, 13, 13, 0, 14]
    """
    bins = np.minimum(np.where(np.isnan(codes), -1.0, codes), LEVELS) + 1
    bins = np.where(codes == -1.0, UNSEEN, bins)
    assert LEVELS + 1 == OTHERS
    assert bins.max(initial=0) < BINS
    return bins.astype(np.int64)


def _by_hour(bins: Ints, rows: TrainingRows, width: int) -> list[int]:
    counts: list[int] = np.bincount(rows.hours * width + bins, minlength=HOURS * width).tolist()
    return counts


def _by_partition(bins: Ints, rows: TrainingRows, width: int) -> dict[int, list[int]]:
    return {
        partition: np.bincount(bins[rows.partitions == partition], minlength=width).tolist()
        for partition in np.unique(rows.partitions).tolist()
    }


def _profile(of: ColumnProfile, values: Floats, beyond: Bools, rows: TrainingRows) -> ColumnProfile:
    """Add what is counted row by row."""
    is_null, late = np.isnan(values), rows.is_late
    every = np.ones(len(is_null), bool)
    spread = _spread(is_null, rows, every)
    hourly = None
    if spread > _EVEN and int(np.ptp(rows.times)) >= _WEEKS:
        hourly = _spread(is_null, rows, every, by_hour=True)
    longest, longest_us, changes = _runs(values, rows)
    return msgspec.structs.replace(
        of,
        null_spread=spread,
        hourly_spread=hourly,
        beyond=int(beyond.sum()),
        beyond_rows=int(late.sum()),
        beyond_spread=_spread(beyond, rows, late),
        longest=longest,
        longest_us=longest_us,
        changes=changes,
    )


def _spread(hits: Bools, rows: TrainingRows, used: Bools, *, by_hour: bool = False) -> float:
    """Variance of the number of hits in a while, by that of independent rows.

    Args:
        hits: Rows that count.
        rows: All rows.
        used: The rows to look at.
        by_hour: The share may vary by the hour of the week; else it may by partition.

    Returns:
        The larger one of those of an hour and of a day, at least 1.
    """
    of = (rows.hours if by_hour else rows.partitions)[used]
    size = HOURS if by_hour else int(of.max()) + 1
    counts = (np.bincount(of, weights, size) for weights in (None, hits[used]))
    n, k = (around(x) if by_hour else np.asarray(x, np.float64) for x in counts)
    share = k[of] / n[of]
    found = (_excess(hits[used], share, blocks[used]) for blocks in rows.blocks)
    return round(max(1.0, *found), _DIGITS)


def _excess(hits: Bools, share: Floats, blocks: Ints) -> float:
    """Mean squared difference of the hits of blocks from those expected, by its variance."""
    n, found, expected, variance = (
        np.bincount(blocks, weights) for weights in (None, hits, share, share * (1.0 - share))
    )
    used = (n >= _LEAST_OF_HOUR) & (variance > 0.0)
    if not used.any():
        return 1.0
    return float(((found - expected)[used] ** 2 / variance[used]).mean())


def around(of: NDArray[np.generic]) -> NDArray[np.float64]:
    """Sums over each hour of the week and its two neighbours, along the first axis.

    Daylight saving moves what happens by the hour of a day.
    """
    return np.asarray(np.roll(of, 1, 0) + of + np.roll(of, -1, 0), np.float64)


def _runs(values: Floats, rows: TrainingRows) -> tuple[int, int, int]:
    """The longest run of one value in rows, the longest in time, and the number of changes."""
    if not len(values):
        return 0, 0, 0
    same = (values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
    same &= rows.partitions[1:] == rows.partitions[:-1]
    run = np.append(0, np.cumsum(~same))
    begin = np.append(0, np.flatnonzero(~same) + 1)
    times = np.maximum.reduceat(rows.times, begin) - np.minimum.reduceat(rows.times, begin)
    changes = len(begin) - len(np.unique(rows.partitions))
    return int(np.bincount(run).max()), int(times.max()), changes
