"""Which rows a fit may see: by when they were asked and when their label was known."""

from typing import NamedTuple

import polars as pl


class Span(NamedTuple):
    """Rows asked in `start <= event_time < end` with `label_time < known`, all in ms UTC."""

    start: int
    end: int
    known: int

    def in_polars(self) -> pl.Expr:
        """The condition for a polars frame."""
        event, label = (pl.col(name).dt.timestamp("ms") for name in ("event_time", "label_time"))
        return (event >= self.start) & (event < self.end) & (label < self.known)

    def in_rapids(self, source: str) -> str:
        """The condition for a frame in H2O.

        Example:
            >>> Span(1, 2, 3).in_rapids("f")  # doctest: +NORMALIZE_WHITESPACE
            "(& (& (>= (cols_py f 'event_time') 1) (< (cols_py f 'event_time') 2))
             (< (cols_py f 'label_time') 3))"
        """
        event, label = (f"(cols_py {source} '{name}')" for name in ("event_time", "label_time"))
        asked = f"(& (>= {event} {self.start}) (< {event} {self.end}))"
        return f"(& {asked} (< {label} {self.known}))"


class Spans(NamedTuple):
    """The rows to fit on, the newest slice to judge by, and both for the final fit."""

    training: Span
    validation: Span
    whole: Span


def spans(boundary: int, window: int, validation: int, embargo: int) -> Spans:
    """Cut the time before a boundary.

    Args:
        boundary: µs UTC; nothing from then on is seen.
        window: How far back to look, µs.
        validation: Length of the newest slice, µs.
        embargo: Kept free between training and validation, µs: as long as a label may take.

    Example:
        >>> spans(100_000, window=90_000, validation=30_000, embargo=5_000).training
        Span(start=10, end=65, known=70)
    """
    end = boundary // 1000
    start, split, gap = end - window // 1000, end - validation // 1000, embargo // 1000
    return Spans(Span(start, split - gap, split), Span(split, end, end), Span(start, end, end))
