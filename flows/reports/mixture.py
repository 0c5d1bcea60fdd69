"""Weights of the mixture over time, from `metrics`."""

from collections.abc import Iterable

import numpy as np
import polars as pl

from flows.reports.periods import Periods

GROUPS = {
    "online": ("shares_online",),
    "newest": ("shares_offline", "shares_residual"),
    "older": ("shares_older_offline", "shares_older_residual"),
    "stacks": ("shares_stacks",),
}
"""The parts of the mixture: the online learners, the newest offline model with the learners that
correct it, the model before it with its own, and the stacks over all of these."""

COLUMNS = ("time", *(name for names in GROUPS.values() for name in names))


def weights(frames: Iterable[pl.DataFrame], periods: Periods) -> list[tuple[int, dict[str, float]]]:
    """Mean weight of each part in each period with metrics.

    Args:
        frames: Rows of `metrics` with `COLUMNS`.
        periods: The periods.

    Returns:
        Start of the period, µs UTC, and weights by group, with sum 1.
    """
    size = len(periods.starts)
    sums = {name: np.zeros(size) for name in GROUPS}
    begin, length = periods.starts[0], periods.length
    for frame in frames:
        some = frame.drop_nulls("shares_online")
        place = (some["time"].dt.timestamp("us").to_numpy() - begin) // length
        inside = (place >= 0) & (place < size)
        for name, columns in GROUPS.items():
            for column in columns:
                share = some[column].fill_null(0.0).to_numpy()
                np.add.at(sums[name], place[inside], share[inside])
    total = np.sum([*sums.values()], axis=0)
    return [
        (periods.starts[i], {name: float(of[i] / total[i]) for name, of in sums.items()})
        for i in range(size)
        if total[i] > 0
    ]
