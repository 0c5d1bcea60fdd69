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
    """The rows to fit on, the newest slice to judge by, and those of the final fit."""

    training: TimeRange
    validation: TimeRange
    whole: TimeRange

    def narrowed(self, back: int, embargo: int) -> "TimeSplit":
        """Keep the validation slice, and shorten the training rows and those of the final fit.

        Args:
            back: Length of the time with rows, ms.
            embargo: Longest delay of a label, ms.

        Example:
            >>> spans(0, 100, split=70, end=100, embargo=1).narrowed(20, 1)[::2]
            (TimeRange(start=50, end=69, known=70), TimeRange(start=80, end=100, known=100))
        """
        split, end = self.validation.start, self.whole.known
        until = end if is_settled(back, embargo) else end - embargo
        return self._replace(
            training=self.training._replace(start=split - back),
            whole=TimeRange(until - back, until, end),
        )


def spans(start: int, boundary: int, *, split: int, end: int, embargo: int) -> TimeSplit:
    """Cut the time before a boundary; all in ms UTC.

    Args:
        start: Time of the oldest row.
        boundary: Time from which on no row or label is used.
        split: Begin of the validation slice.
        end: End of the validation slice and of the rows of the final fit.
        embargo: Gap between training and validation rows: the longest delay of a label.

    Example:
        >>> spans(10, 100, split=70, end=100, embargo=5).training
        TimeRange(start=10, end=65, known=70)
    """
    return TimeSplit(
        TimeRange(start, split - embargo, split),
        TimeRange(split, end, boundary),
        TimeRange(start, end, boundary),
    )


_LABEL_TIMES = 10


def is_settled(length: int, embargo: int) -> bool:
    """Whether rows of so long a time up to a boundary are few without a label.

    Labels that come soon are often of one kind: where they alone are known of the newest rows, a
    short time ends as long before the boundary as a label may take.

    Example:
        >>> is_settled(600, 60), is_settled(599, 60)
        (True, False)
    """
    return length >= _LABEL_TIMES * embargo
