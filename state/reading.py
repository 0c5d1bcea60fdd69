"""History as polars frames, for notebooks."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from polars.io.plugins import register_io_source

from state.log import Log
from state.log.sqlite import SqliteLog
from state.outputs.history import History
from state.outputs.topic_rows import Declared, rows_of
from state.topics import TOPICS

_PIECE_ROWS = 10_000


def read(
    topic: str,
    of: Declared | None = None,
    *,
    home: Path | str = "var",
    since: datetime | None = None,
    until: datetime | None = None,
) -> pl.LazyFrame:
    """A topic as a lazy frame, in order of append time.

    Data is read by `collect` and only as far as needed: unused columns are not decoded, rows are
    filtered piece by piece, and `head` stops early. Each `collect` sees the log's content at that
    time. Columns and types are those of `headwater export` to Parquet (see
    `state.outputs.topic_rows.rows_of`); times are UTC, to the millisecond.

    Args:
        topic: Name of the topic.
        of: The stream for `events` and `outcomes`; the record type for `activations`, `snapshots`
            and `models`. `flows.reading.read` finds it by itself.
        home: The directory `HEADWATER_HOME` of the flow.
        since: First append time to read; UTC if it has no zone.
        until: Append time before which to stop.

    Raises:
        ValueError: `of` is missing or of the wrong kind for this topic.
        UnknownTopicError: The home's log has no such topic.
    """
    root = Path(home) / "log"
    return scan(lambda: SqliteLog(root), topic, of, since=since, until=until)


def scan(
    open_log: Callable[[], Log],
    topic: str,
    of: Declared | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> pl.LazyFrame:
    """Return a topic of any log as a lazy frame; see `read`.

    Args:
        open_log: Opens the log, once for each `collect`, which closes it.
        topic: Name of the topic.
        of: See `read`.
        since: See `read`.
        until: See `read`.

    Raises:
        ValueError: `of` is missing or of the wrong kind for this topic.
        UnknownTopicError: The log has no such topic.
    """
    kind = TOPICS[topic].record if of is None and topic in TOPICS else of
    rows, span = rows_of(topic, kind), (_us(since), _us(until))
    with closing(open_log()) as log:
        log.partitions(topic)

    def source(
        names: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        table_of, left = rows.reader(names), n_rows
        most = _PIECE_ROWS if left is None else max(1, min(left, _PIECE_ROWS))
        with closing(open_log()) as log:
            for piece in History(log, topic, *span).pieces(most):
                records = piece if left is None else piece[:left]
                frame = pl.DataFrame(table_of(records)).select(names or pl.all())
                yield frame if predicate is None else frame.filter(predicate)
                left = None if left is None else left - len(records)
                if left == 0:
                    return

    schema = pl.DataFrame(rows.schema.empty_table()).schema
    return register_io_source(source, schema=schema)


def _us(time: datetime | None) -> int | None:
    if time is None:
        return None
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1e6)
