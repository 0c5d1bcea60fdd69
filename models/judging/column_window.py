"""Counts of the live vectors since the last look, column by column.

Counts are whole numbers, so they do not depend on when rows are counted.
"""

import math
from typing import Annotated, Any

import msgspec
import numpy as np

from models.judging.betting import Floats, jit
from models.judging.column_profile import BINS, HOURS, UNSEEN
from models.judging.column_reference import Reference
from models.judging.profile_build import HOUR_US, Ints

AT_ONCE = 256
LAGS = 64
"""Bins of the time between a request and its record, by its binary exponent in µs."""
NULLS = 0
SHORT_RUN = 50
"""A value that is repeated no more often is no reason for a look."""
_BEYOND, _TINY, _SIZES, _SIZED, _RUN, _SINCE = range(6)
_KINDS = 6
_MOST_EXPONENT = 1100
_MOST_US = 2**57
_Whole = Annotated[int, msgspec.Meta(ge=-(2**60), le=2**60)]
_State = tuple[list[_Whole], list[_Whole], list[_Whole], list[_Whole], list[float]]


@jit
def _number_bins(column: Any, edges: Any, limits: Any, sums: Any, out: Any) -> None:
    low, high, tiny = limits
    beyond, small = 0, 0
    for r in range(len(column)):
        value, size = column[r], abs(column[r])
        out[r] = value == value  # noqa: PLR0124 - a null is no number
        beyond += (value < low) | (value > high)
        small += (size < tiny) & (size > 0.0)
    for e in range(len(edges)):
        edge = edges[e]
        for r in range(len(column)):
            out[r] += column[r] > edge
    sums[_BEYOND] += beyond
    sums[_TINY] += small


@jit
def _level_bins(column: Any, codes: Any, sums: Any, out: Any) -> None:
    for r in range(len(column)):
        value = column[r]
        out[r] = NULLS
        if not math.isnan(value):
            code = int(value)
            out[r] = codes[code] if 0 <= code < len(codes) else UNSEEN
            sums[_BEYOND] += out[r] == UNSEEN


@jit
def _note_beyond(column: Any, limits: Any, bins: Any, sums: Any, kept: Any) -> None:
    """Note the newest value that training did not have, and the sizes of numbers."""
    for r in range(len(column)):
        value, size = column[r], abs(column[r])
        if bins[r] == UNSEEN:
            kept[1] = value
        elif value < limits[0] or value > limits[1] or 0.0 < size < limits[2]:
            kept[1] = value
            if value != 0.0:
                sums[_SIZES] += math.frexp(value)[1]
                sums[_SIZED] += 1


@jit
def _run(column: Any, times: Any, sums: Any, kept: Any) -> None:
    n = len(column)
    last = column[n - 1]
    is_null = math.isnan(last)
    first = n - 1
    while first > 0 and (column[first - 1] == last or (is_null and math.isnan(column[first - 1]))):
        first -= 1
    goes_on = first == 0 and (kept[0] == last or (is_null and math.isnan(kept[0])))
    if goes_on and sums[_RUN] > 0:
        sums[_RUN] += n
    else:
        sums[_RUN], sums[_SINCE] = n - first, times[first]
    kept[0] = last  # the newest one, as 0 and -0 are equal and not the same bytes


@jit
def _count(rows: Any, times: Any, of: Any, counts: Any, sums: Any, values: Any) -> None:
    places, edges, edge_counts, limits, codes, ranges = of
    n = len(times)
    column, bins = np.empty(n), np.empty(n, np.int64)
    for c in range(len(places)):
        for r in range(n):
            column[r] = rows[r, places[c]]
        before = sums[c, _BEYOND] + sums[c, _TINY]
        if ranges[c, 0] < 0:
            _number_bins(column, edges[c, : edge_counts[c]], limits[c], sums[c], bins)
        else:
            _level_bins(column, codes[ranges[c, 0] : ranges[c, 1]], sums[c], bins)
        for r in range(n):
            counts[c, bins[r]] += 1
        if sums[c, _BEYOND] + sums[c, _TINY] > before:
            _note_beyond(column, limits[c], bins, sums[c], values[c])
        _run(column, times, sums[c], values[c])


class ColumnWindow:
    """Counts of the vectors of one shard, by the bins of one profile.

    Args:
        reference: The profile.
        width: Length of a vector.

    Attributes:
        counts: Rows by column and bin; int64[columns, BINS].
        hours: Rows by hour of the week; int64[HOURS].
        lags: Rows by exponent of the time between request and record, those of a late record
            first; int64[2, LAGS].
    """

    def __init__(self, reference: Reference, width: int) -> None:
        self._reference = reference
        n = len(reference.places)
        self.counts = np.zeros((n, BINS), np.int64)
        self.hours = np.zeros(HOURS, np.int64)
        self.lags = np.zeros((2, LAGS), np.int64)
        self._sums = np.zeros((n, _KINDS), np.int64)
        self._values = np.zeros((n, 2))
        self._rows: Floats = np.empty((AT_ONCE, width))
        self._times: list[int] = []
        self._lags: list[int] = []

    def add(self, row: Floats, event_time: int, append_time: int) -> None:
        """Count the vector of a request; times in µs."""
        times = self._times
        self._rows[len(times)] = row
        times.append(event_time)
        self._lags.append(append_time - event_time)
        if len(times) == AT_ONCE:
            self.settle()

    def settle(self) -> None:
        """Count what was added."""
        if not self._times:
            return
        of = self._reference
        times, lags = np.array(self._times), np.array(self._lags)
        self._times, self._lags = [], []
        of.learn_levels()
        tables = (of.places, of.edges, of.edge_counts, of.limits, of.codes, of.ranges)
        _count(self._rows, times, tables, self.counts, self._sums, self._values)
        self.hours += np.bincount(times // HOUR_US % HOURS, minlength=HOURS)
        exponents = np.frexp(np.abs(lags).astype(np.float64))[1]
        places = (lags < 0) * LAGS + np.minimum(exponents, LAGS - 1)
        self.lags += np.bincount(places, minlength=2 * LAGS).reshape(2, LAGS)

    def stand_out(self, shares: Floats) -> Ints:
        """The columns that have a reason to be looked at more closely.

        Args:
            shares: Shares of nulls and of values beyond training that need no look, by column;
                float64[2, columns].
        """
        most = shares * self.rows
        beyond = self._sums[:, _BEYOND] + self._sums[:, _TINY]
        found = (self.counts[:, NULLS] > most[0]) | (beyond > most[1])
        return np.flatnonzero(found | (self._sums[:, _RUN] > SHORT_RUN))

    @property
    def rows(self) -> int:
        """Number of rows since `restart`, once they are settled."""
        return int(self.hours.sum())

    def nulls(self, column: int) -> int:
        """Number of nulls."""
        return int(self.counts[column, NULLS])

    def beyond(self, column: int) -> int:
        """Number of values that the training window did not have.

        Numbers that are too small count if most are: some come by chance where a scale crosses 0.
        """
        beyond, small = self._sums[column, [_BEYOND, _TINY]].tolist()
        known = self.rows - self.nulls(column)
        return int(beyond + small if 2 * small >= known else beyond)

    def example(self, column: int) -> float:
        """The newest of these values."""
        return float(self._values[column, 1])

    def size(self, column: int) -> float | None:
        """Mean binary exponent of these values other than 0; None: there are none."""
        n = int(self._sums[column, _SIZED])
        return int(self._sums[column, _SIZES]) / n if n else None

    def run(self, column: int) -> tuple[int, int, float]:
        """Number of newest rows with the same value, the first one's event time, and the value."""
        of = self._sums[column]
        return int(of[_RUN]), int(of[_SINCE]), float(self._values[column, 0])

    def restart(self) -> None:
        """Forget the counts; runs go on."""
        for of in (self.counts, self.hours, self.lags):
            of[:] = 0
        self._sums[:, : _SIZED + 1] = 0
        self._values[:, 1] = 0.0

    def snapshot(self) -> bytes:
        """Encode the counts."""
        self.settle()
        whole = (self.counts, self.hours, self.lags, self._sums)
        parts = [of.ravel().tolist() for of in whole]
        return msgspec.msgpack.encode((*parts, self._values.ravel().tolist()))

    def restore(self, state: bytes) -> None:
        """Restore a `snapshot`.

        Raises:
            ValueError: A length or a number is invalid.
            msgspec.DecodeError: The bytes have another form.
        """
        found = msgspec.msgpack.decode(state, type=_State)
        parts = (self.counts, self.hours, self.lags, self._sums, self._values)
        lengths, expected = [len(of) for of in found], [of.size for of in parts]
        if lengths != expected:
            msg = f"counts of columns must be {expected}; got {lengths}"
            raise ValueError(msg)
        for part, of in zip(parts, found, strict=True):
            part[:] = np.reshape(of, part.shape)
        self._times, self._lags = [], []
        if not self._is_whole():
            msg = "counts of columns must be of the same rows; got others"
            raise ValueError(msg)

    def _is_whole(self) -> bool:
        """Whether the counts can be those of some rows."""
        rows, nulls = self.rows, self.counts[:, NULLS]
        beyond, small, sizes, sized, run, since = self._sums.T
        last, example = self._values.T
        unusual = beyond + small
        counts = (self.counts, self.hours, self.lags, beyond, small, sized, run, since)
        return bool(
            all((of >= 0).all() for of in counts)
            and (self.counts.sum(axis=1) == rows).all()
            and self.lags.sum() == rows
            and ((sized <= unusual) & (unusual + nulls <= rows)).all()
            and (np.abs(sizes) <= sized * _MOST_EXPONENT).all()
            and (since <= _MOST_US).all()
            and not np.isinf(last).any()
            and np.isfinite(example).all()
        )
