"""A topic as frames, one after the other, in bounded memory and with progress."""

from collections.abc import Callable, Iterator, Sequence

import polars as pl

from flows.reading import declared
from state.log import Log
from state.outputs.history import History
from state.outputs.topic_rows import rows_of

Progress = Callable[[str, int, int], None]
"""Called with the topic, the number of records read so far, and of all."""


def topic_frames(
    log: Log,
    topic: str,
    names: Sequence[str] | None,
    on_progress: Progress,
    since: int | None = None,
) -> Iterator[pl.DataFrame]:
    """Read a topic in the order of append times.

    Args:
        log: The log.
        topic: Name of the topic.
        names: Columns; None: all.
        on_progress: Called for each frame.
        since: First append time, µs UTC; None: from the start.
    """
    table_of = rows_of(topic, declared(topic)).reader(names)
    history = History(log, topic, since)
    done, total = 0, len(history)
    on_progress(topic, done, total)
    for piece in history.pieces():
        yield pl.DataFrame(table_of(piece))
        done += len(piece)
        on_progress(topic, done, total)


def within(frame: pl.DataFrame, since: int | None, until: int | None) -> pl.DataFrame:
    """Rows with an event time from `since` on and before `until` (µs UTC)."""
    time = pl.col("event_time").dt.timestamp("us")
    if since is not None:
        frame = frame.filter(time >= since)
    return frame if until is None else frame.filter(time < until)
