"""The rows that a fit may use, by the times of request and label."""

from typing import NamedTuple

import polars as pl


class TimeRange(NamedTuple):
    """Rows with `start <= event_time < end` and `label_time < known`, all in ms UTC."""

    start: int
    end: int
    known: int

    def in_polars(self) -> pl.Expr:
        """The condition as a polars expression."""
        event, label = (pl.col(name).dt.timestamp("ms") for name in ("event_time", "label_time"))
        return (event >= self.start) & (event < self.end) & (label < self.known)

    def in_rapids(self, source: str) -> str:
        """The condition as an H2O (Rapids) expression.

        Example:
            >>> TimeRange(1, 2, 3).in_rapids("f")  # doctest: +NORMALIZE_WHITESPACE
            "(& (& (>= (cols_py f 'event_time') 1) (< (cols_py f 'event_time') 2))
             (< (cols_py f 'label_time') 3))"
        """
        event, label = (f"(cols_py {source} '{name}')" for name in ("event_time", "label_time"))
        asked = f"(& (>= {event} {self.start}) (< {event} {self.end}))"
        return f"(& {asked} (< {label} {self.known}))"


class TimeSplit(NamedTuple):
    """Rows to fit on, the newest slice to validate on, and both together for the final fit."""

    training: TimeRange
    validation: TimeRange
    whole: TimeRange


def spans(boundary: int, window: int, validation: int, embargo: int) -> TimeSplit:
    """Split the time before a boundary.

    Args:
        boundary: Boundary (µs UTC); no row from then on is used.
        window: Length of the time before the boundary that is used, µs.
        validation: Length of the newest slice, µs.
        embargo: Gap between training and validation, µs: the longest delay of a label.

    Example:
        >>> spans(100_000, window=90_000, validation=30_000, embargo=5_000).training
        TimeRange(start=10, end=65, known=70)
    """
    end = boundary // 1000
    start, split, gap = end - window // 1000, end - validation // 1000, embargo // 1000
    return TimeSplit(
        training=TimeRange(start, split - gap, split),
        validation=TimeRange(split, end, end),
        whole=TimeRange(start, end, end),
    )
