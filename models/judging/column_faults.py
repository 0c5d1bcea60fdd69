"""The faults of a column's live values against the training window: named, and beyond chance.

A share of rows (nulls, new levels, numbers out of range) is a fault if it is higher than in the
training window by a point at least, and by evidence of so many nats: half of the G statistic of the
two samples (Sokal and Rohlf, Biometry, 1995), divided by the spread of the training window's hours
around independent rows (quasi-likelihood: McCullagh and Nelder, 1989).
"""

import math
from typing import Literal, NamedTuple, get_args

from models.judging.column_profile import ColumnProfile
from models.judging.column_reference import Reference
from models.judging.column_window import SHORT_RUN, ColumnWindow
from models.judging.profile_build import Ints

FaultKind = Literal["clock", "stopped", "constant", "unseen_levels", "out_of_range", "nulls"]
KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
"""Kinds of faults; one that explains others comes before them."""

TIME = "(time)"
"""Name under which the times of the requests stand beside the columns."""

LEAST_ROWS = 100
"""Rows from which a window is looked at."""
_POINT = 0.01
_NATS = 18.0
_NEVER = 0.99
"""Share of nulls from which a partition never had a value."""
_CHANGES, _TIMES = 30, 4
_LATE_SHARE, _LATE = 0.05, 29
"""By less than 2^29 µs, nine minutes, no clock is wrong."""


class Sign(NamedTuple):
    """A figure by which a fault is told.

    Attributes:
        kind: Kind of the fault.
        is_fault: Whether it is beyond chance.
        is_well: Whether it is as in the training window; neither may be.
        live: The figure in the live window.
        training: The figure in the training window.
        since: Event time since which it is so (µs); None: since the window began.
    """

    kind: FaultKind
    is_fault: bool
    is_well: bool
    live: float
    training: float
    since: int | None = None


def evidence(hits: float, rows: float, before: float, rows_before: float) -> float:
    """Evidence that a share is higher than before, in nats; 0 if it is not.

    Args:
        hits: Live rows that count.
        rows: Live rows.
        before: Rows of the training window that count.
        rows_before: Rows of the training window.

    Example:
        >>> round(evidence(10, 200, 12, 12_000), 1)
        26.4
    """
    if hits * rows_before <= before * rows:
        return 0.0
    share = (hits + before) / (rows + rows_before)
    return math.fsum(
        _part(k, n * share) + _part(n - k, n * (1.0 - share))
        for k, n in ((hits, rows), (before, rows_before))
    )


def _part(found: float, expected: float) -> float:
    return found * math.log(found / expected) if found > 0.0 else 0.0


def share_sign(
    kind: FaultKind, hits: int, rows: int, before: float, rows_before: float, spread: float
) -> Sign:
    """The sign of a share of rows; `before` is the share in the training window."""
    share = hits / rows
    more = share - before
    nats = evidence(hits, rows, before * rows_before, rows_before) / spread
    is_fault = rows_before > 0 and more >= _POINT and nats >= _NATS
    return Sign(kind, is_fault, rows_before > 0 and more < _POINT / 2, share, before)


def run_sign(of: ColumnProfile, rows: int, since: int, until: int) -> Sign:
    """The sign of a column that has had one value for long.

    Args:
        of: The column in the training window.
        rows: Number of newest rows with the same value.
        since: Event time of the first of them, µs.
        until: Event time of now, µs.
    """
    long = rows > max(_TIMES * of.longest, SHORT_RUN) and until - since > _TIMES * of.longest_us
    is_fault = long and of.changes >= _CHANGES
    return Sign("constant", is_fault, not is_fault, float(rows), float(of.longest), since)


def column_signs(reference: Reference, window: ColumnWindow, column: int, until: int) -> list[Sign]:
    """The signs of a column, the one that explains others first.

    Args:
        reference: The training window.
        window: The live rows, at least one.
        column: Number of the column in both.
        until: Event time of now, µs.
    """
    of, rows = reference.profile.columns[column], window.rows
    before = reference.nulls(column, window.hours)
    nulls = share_sign("nulls", window.nulls(column), rows, *before)
    run, since, value = window.run(column)
    long_run = run_sign(of, run, since, until)
    is_null, is_empty = math.isnan(value), nulls.live == 1.0
    stopped = Sign(
        "stopped",
        is_empty and (nulls.is_fault or (long_run.is_fault and nulls.training < _NEVER)),
        not is_empty,
        float(run if is_null else rows),
        nulls.training,
        since if is_null else None,
    )
    constant = long_run._replace(is_fault=long_run.is_fault and not is_null)
    kind: FaultKind = "out_of_range" if of.levels is None else "unseen_levels"
    known = rows - window.nulls(column)
    late = float(of.beyond_rows)
    usual = of.beyond / max(of.beyond_rows, 1)
    beyond = (
        [share_sign(kind, window.beyond(column), known, usual, late, of.beyond_spread)]
        if known
        else []
    )
    return [stopped, constant, *beyond, nulls]


_WINDOWS = 24
"""Number of windows from which the usual time is known."""


class Lateness(NamedTuple):
    """The usual time between a request and its record, by binary exponent of µs.

    Attributes:
        windows: Number of windows behind it.
        late: The exponent that one row in a hundred exceeds, in the worst window.
        early: That of requests from the future.
    """

    windows: int = 0
    late: int = 0
    early: int = 0

    @property
    def is_known(self) -> bool:
        """Whether there were enough windows."""
        return self.windows >= _WINDOWS

    def after(self, lags: Ints) -> "Lateness":
        """The usual time, with one more window in which nothing was wrong."""
        rows = int(lags.sum())
        late, early = (_exceeded(of, rows) for of in lags)
        return Lateness(self.windows + 1, max(self.late, late), max(self.early, early))

    def sign(self, lags: Ints) -> Sign:
        """The sign of requests whose time is far from that of their record."""
        late, early = (max(of + 1, _LATE) for of in (self.late, self.early))
        off = int(lags[0, late + 1 :].sum() + lags[1, early + 1 :].sum())
        share = off / max(int(lags.sum()), 1)
        return Sign("clock", self.is_known and share >= _LATE_SHARE, share < 0.01, share, 0.0)


def _exceeded(of: Ints, rows: int) -> int:
    """The lowest exponent that at most one in a hundred rows exceeds."""
    above = of[::-1].cumsum()[::-1] * 100 > rows
    above[0] = True
    return int(above.nonzero()[0][-1])
