"""A topic as frames, one after the other, in bounded memory and with progress."""

from collections.abc import Callable, Iterator, Sequence

import polars as pl

from flows.errors.user_errors import CommandError, as_command_errors
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

    Raises:
        CommandError: A record is not one of the topic, or was altered: another stream's home?
    """
    rows = rows_of(topic, declared(topic))
    table_of = rows.reader(names)
    history = History(log, topic, since)
    done, total = 0, len(history)
    on_progress(topic, done, total)
    for piece in history.pieces():
        with as_command_errors():
            if not done:  # with all its fields: another stream may have the wanted ones too
                rows.reader()(piece[:1])
            table = table_of(piece)
        frame = pl.DataFrame(table)
        if "event_time" in frame.columns and frame["event_time"].null_count():
            msg = f"event time must be in each record of {topic}; got none: was the log altered?"
            raise CommandError(msg)
        yield frame
        done += len(piece)
        on_progress(topic, done, total)


def within(frame: pl.DataFrame, since: int | None, until: int | None) -> pl.DataFrame:
    """Rows with an event time from `since` on and before `until` (µs UTC)."""
    time = pl.col("event_time").dt.timestamp("us")
    if since is not None:
        frame = frame.filter(time >= since)
    return frame if until is None else frame.filter(time < until)
