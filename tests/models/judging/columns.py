"""Training windows and live vectors of made-up columns."""

import numpy as np

from models.judging.column_profile import Profile, read_profile
from models.judging.column_reference import Reference
from models.judging.column_window import ColumnWindow
from models.judging.profile_build import levels_profile, numbers_profile, training_rows

HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000


def evenly(n, days):
    """Times of `n` requests over some days."""
    return np.arange(n, dtype=np.int64) * (days * DAY_US // n)


def profile(columns, times, partitions=None, importance=0.1):
    """The profile of columns: arrays of numbers, or lists of level names, by partition."""
    known = training_rows(
        np.zeros(len(times), np.int64) if partitions is None else partitions, times
    )
    made = [
        (levels_profile if isinstance(of, list) else numbers_profile)(name, of, known, importance)
        for name, of in columns.items()
    ]
    found = Profile(start=int(times.min()), end=int(times.max()), rows=len(times), columns=made)
    return read_profile(found.encode())


def reference(found, levels=None, partition=0):
    """A profile bound to a vector of just its columns."""
    return Reference(found, [one.name for one in found.columns], levels or {}, partition)


def window(of, vectors, times, lags=None):
    """A window that has counted these vectors."""
    made = ColumnWindow(of, vectors.shape[1])
    lags = np.zeros(len(times), np.int64) if lags is None else lags
    for row, at, lag in zip(vectors, times.tolist(), lags.tolist(), strict=True):
        made.add(row, at, at + lag)
    made.settle()
    return made
