"""Faults of columns in words."""

from datetime import UTC, datetime
from typing import NamedTuple

from models.judging.column_faults import FaultKind, Sign
from models.judging.column_reference import Reference
from models.judging.column_window import ColumnWindow

SHORT: dict[FaultKind, str] = {
    "clock": "times far from those of the records",
    "stopped": "no value",
    "constant": "one value only",
    "unseen_levels": "levels not seen in training",
    "out_of_range": "out of the range of training",
    "nulls": "more nulls than in training",
}
"""Each fault in a few words."""


class Seen(NamedTuple):
    """The rows in which a fault was seen.

    Attributes:
        reference: The training window.
        window: The live rows.
        column: Number of the column in both; -1: the fault is not one of a column.
        model: Id of the model whose training window it is.
    """

    reference: Reference
    window: ColumnWindow
    column: int
    model: str


def fault_text(sign: Sign, since: int, seen: Seen) -> str:
    """A fault as the end of a sentence that begins with the column and the partition."""
    rows, at, there = f"{seen.window.rows:,} requests", moment(since), "in the training window of"
    of = f"{sign.live:.1%} of {rows} since {at}"
    match sign.kind:
        case "clock":
            return f"{of} come far from the time that they name{_lag(seen)}: a clock is wrong"
        case "stopped":
            return (
                f"no value in {sign.live:,.0f} requests since {at}; {sign.training:.1%} nulls "
                f"{there} {seen.model}"
            )
        case "constant":
            return (
                f"always {_value(seen, seen.window.run(seen.column)[2])} in {sign.live:,.0f} "
                f"requests since {at}; at most {sign.training:,.0f} in a row {there} {seen.model}"
            )
        case "unseen_levels":
            name = _value(seen, seen.window.example(seen.column))
            return f"{of} have levels that are not {there} {seen.model}, such as {name}"
        case "out_of_range":
            own = seen.reference.profile.columns[seen.column]
            span = f"{own.least:g} to {own.edges[-1]:g}" if own.least is not None else "none"
            return (
                f"{of} are out of range, such as {seen.window.example(seen.column):g}"
                f"{_times(seen)}; {span} {there} {seen.model}"
            )
    return f"{of} are null; {sign.training:.1%} at these hours {there} {seen.model}"


def moment(time: int) -> str:
    """An event time (µs) to the minute.

    Example:
        >>> moment(1_704_067_200_000_000)
        '2024-01-01 00:00'
    """
    return f"{datetime.fromtimestamp(time // 1_000_000, UTC):%Y-%m-%d %H:%M}"


def _value(seen: Seen, value: float) -> str:
    if seen.reference.profile.columns[seen.column].levels is None:
        return f"{value:g}"
    return repr(seen.reference.level(seen.column, int(value)))


def _times(seen: Seen) -> str:
    """By how much such numbers are larger or smaller than all in training, as a power of ten."""
    size = seen.window.size(seen.column)
    if size is None:
        return ""
    ten = round((size - seen.reference.profile.columns[seen.column].size) * 0.30103)
    if not ten:
        return ""
    return f", about {10 ** abs(ten):,} times as {'large' if ten > 0 else 'small'} as usual"


def _lag(seen: Seen) -> str:
    """The most frequent binary order of the time between these requests and their records."""
    late, early = (of.tolist() for of in seen.window.lags)
    most, is_early, exponent = max(
        (n, of is early, exponent)
        for of in (late, early)
        for exponent, n in enumerate(of)
        if exponent
    )
    if not most:
        return ""
    way = "before" if is_early else "after"
    return f", most by {2.0 ** (exponent - 1) / 6e7:,.0f} to {2.0**exponent / 6e7:,.0f} min {way}"
