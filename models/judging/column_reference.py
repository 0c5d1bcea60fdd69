"""A profile as compiled code reads it: bins, limits, and counts at the same hours of the week."""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from models.judging.column_profile import BINS, HOURS, LEVELS, OTHERS, UNSEEN, Profile
from models.judging.profile_build import Floats, Ints, around

DAY = 24
POOLS = HOURS + DAY + 1
"""Counts of each hour of the week, of each hour of the day, and of all hours."""
_ENOUGH = 200
"""Rows from which the counts of an hour of the week, or of the day, stand for themselves."""
_ENOUGH_NULLS = 100


class Nulls(NamedTuple):
    """The nulls of a column in the training window.

    Attributes:
        share: Share of nulls.
        rows: Number of rows behind it.
        spread: Variance of the number of nulls in an hour, by that of independent rows.
    """

    share: float
    rows: float
    spread: float


def is_as_long_as(profile: Profile, season: int) -> bool:
    """Whether a training window holds a whole season (µs), up to a tenth of it."""
    return (profile.end - profile.start) * 10 >= season * 9


class Reference:
    """The profile of a model's columns, for one shard.

    Args:
        profile: The profile.
        columns: Names of the vector's columns.
        levels: Level names of each categorical column, by number; the lists may grow.
        partition: Partition of the shard. A partition has its own shares of the bins, and the
            hours of all partitions.

    Attributes:
        profile: The profile.
        places: Number of each of the profile's columns in the vector.
        edges: Upper ends of bins, filled up with infinity; float64[columns, BINS].
        edge_counts: Number of edges of each column.
        limits: `ColumnProfile.limits`; float64[columns, 3].
        codes: Bin of each level of all categorical columns, one column after the other.
        ranges: First and last code of each column; -1 for numbers; int64[columns, 2].
        shares: Shares of the bins by pool and column; float64[POOLS, columns, BINS].
        pool_rows: Rows of each pool, of all partitions.
        own_rows: Rows of the partition; those of all, if it has too few.
        pool_of: Pool that stands for each hour of the week.

    Raises:
        ValueError: The vector lacks a column, or has it as another type.
    """

    def __init__(
        self,
        profile: Profile,
        columns: Sequence[str],
        levels: Mapping[int, Sequence[str]],
        partition: int = 0,
    ) -> None:
        self.profile = profile
        places = {name: i for i, name in enumerate(columns)}
        for column in profile.columns:
            place = places.get(column.name, -1)
            if place < 0 or (column.levels is None) == (place in levels):
                msg = f"columns of a profile must be the vector's; got {column.name!r}"
                raise ValueError(msg)
        self.places = np.array([places[one.name] for one in profile.columns], np.int64)
        n = len(profile.columns)
        self.edges = np.full((n, BINS), np.inf)
        self.edge_counts = np.array([len(one.edges) for one in profile.columns], np.int64)
        self.limits = np.array([one.limits for one in profile.columns]).reshape(n, 3)
        for own, column in zip(self.edges, profile.columns, strict=True):
            own[: len(column.edges)] = column.edges
        self._names = [levels.get(place) for place in self.places.tolist()]
        self._bins = [
            {name: i + 1 if i < LEVELS else OTHERS for i, name in enumerate(one.levels or ())}
            for one in profile.columns
        ]
        self._known = -1
        self.learn_levels()
        self._count_hours()
        self._count_partition(partition)

    def learn_levels(self) -> None:
        """Find the bins of levels that are new to the shard."""
        known = sum(len(names) for names in self._names if names is not None)
        if known == self._known:
            return
        self._known = known
        codes: list[int] = []
        self.ranges = np.full((len(self.places), 2), -1, np.int64)
        for own, names, bins in zip(self.ranges, self._names, self._bins, strict=True):
            if names is not None:
                begin = len(codes)
                codes += [bins.get(name, UNSEEN) for name in names]
                own[:] = begin, len(codes)
        self.codes = np.array(codes, np.int64)

    def level(self, column: int, number: int) -> str | None:
        """The name of a level by its number in the shard; None: it has none."""
        names = self._names[column]
        return names[number] if names is not None and 0 <= number < len(names) else None

    @cached_property
    def null_rows(self) -> tuple[Floats, Floats]:
        """Rows and nulls around each hour of the week; float64[HOURS], float64[HOURS, columns]."""
        hours = self._pools[:HOURS]
        return around(hours[:, 0].sum(axis=1)), around(hours[:, :, 0])

    @cached_property
    def usual(self) -> Floats:
        """Shares of nulls and of new values that need no look; float64[2, columns]."""
        columns = self.profile.columns
        nulls = [
            0.0 if one.hourly_spread is not None else int(n) / self.own_rows
            for one, n in zip(columns, self._own[:, 0], strict=True)
        ]
        beyond = [one.beyond / max(one.beyond_rows, 1) for one in columns]
        return np.array([nulls, beyond])

    def nulls(self, column: int, hours: Ints) -> "Nulls":
        """The nulls that a column should have in some hours of the week.

        Where their share depends on the hour, and each of these hours has rows enough, it is that
        of the same hours and their neighbours; else it is that of the whole window.

        Args:
            column: Number of the column.
            hours: Number of live rows in each hour of the week.
        """
        of = self.profile.columns[column]
        rows, nulls = self.null_rows
        live = np.flatnonzero(hours).tolist()
        whole = sum(int(hours[h]) for h in live)
        own = int(self._own[column, 0]) / self.own_rows
        if of.hourly_spread is None or not all(rows[h] >= _ENOUGH_NULLS for h in live) or not whole:
            return Nulls(own, float(self.own_rows), of.null_spread)
        share = math.fsum(int(hours[h]) / whole * float(nulls[h, column] / rows[h]) for h in live)
        noise = math.fsum((int(hours[h]) / whole) ** 2 / float(rows[h]) for h in live)
        of_all = int(self._pools[-1, column, 0]) / max(self.profile.rows, 1)
        share = min(share * own / of_all, 1.0) if of_all else share
        return Nulls(share, 1.0 / noise, of.hourly_spread)

    def _count_hours(self) -> None:
        columns = self.profile.columns
        self._pools = np.zeros((POOLS, len(columns), BINS), np.int64)
        for i, column in enumerate(columns):
            own = np.array(column.hours, np.int64).reshape(HOURS, column.bins)
            self._pools[:HOURS, i, : column.bins] = own
        hours = self._pools[:HOURS]
        self._pools[HOURS:-1] = hours.reshape(-1, DAY, *hours.shape[1:]).sum(axis=0)
        self._pools[-1] = hours.sum(axis=0)
        self.pool_rows = self._pools[:, :1].sum(axis=(1, 2))
        self.pool_of = np.array([self._pool(h) for h in range(HOURS)], np.int64)

    def _count_partition(self, partition: int) -> None:
        whole = self._pools[-1]
        own = np.zeros_like(whole)
        for row, column in zip(own, self.profile.columns, strict=True):
            counts = column.partitions.get(partition, [])
            row[: len(counts)] = counts
        rows = int(own[:1].sum())
        if rows < _ENOUGH:
            own, rows = whole, max(int(whole[:1].sum()), 1)
        self._own, self.own_rows = own, rows
        # Bins as frequent as in this partition, at hours as in all partitions.
        scaled = self._pools * (own / np.maximum(whole, 1))
        sums = scaled.sum(axis=2, keepdims=True)
        self.shares = np.where(sums > 0.0, scaled / np.where(sums > 0.0, sums, 1.0), own / rows)

    def _pool(self, hour: int) -> int:
        day = HOURS + hour % DAY
        own = (pool for pool in (hour, day) if self.pool_rows[pool] >= _ENOUGH)
        return next(own, POOLS - 1)
