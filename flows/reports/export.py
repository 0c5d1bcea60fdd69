"""Export: write a topic to a file, in log order."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from flows.intake.envelope import wrap
from flows.intake.event_files import CODECS
from state.atomic_write import replacing
from state.log import EVENTS, Log
from state.log.batches import batches
from state.outputs.history import History
from state.outputs.topic_rows import PartitionRecord, TopicRows

_LINES = (".jsonl", *(f".jsonl{suffix}" for suffix in CODECS))
_GROUP_PIECES = 10  # of 10,000 rows each
_GROUP_BYTES = 64 * 2**20


def export(
    log: Log,
    topic: str,
    out: Path,
    *,
    since: int | None = None,
    until: int | None = None,
    rows: TopicRows | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the current content of a topic; the file appears whole or not at all.

    Partitions are merged by append time, ties by partition. As JSON lines `events` become envelopes
    that `flows.ingest` takes back byte for byte; values of other topics are written as they are.
    However long the topic, memory holds a row group at most.

    Args:
        log: Log with the topic.
        topic: Name of the topic.
        out: `.jsonl`, `.jsonl.gz`, `.jsonl.zst` or `.parquet`.
        since: First append time to export, microseconds UTC; None: from the start.
        until: Append time before which to stop, microseconds UTC; None: to the end.
        rows: Converts records to Parquet rows; needed for Parquet only.
        on_progress: Called after each piece with the records written and the records in all.

    Returns:
        The number of records written.

    Raises:
        ValueError: `out` has another suffix or its folder is missing, `rows` is missing for
            Parquet, or a record does not fit `rows`.
    """
    if not out.name.endswith((".parquet", *_LINES)):
        message = f"export must end in {', '.join(_LINES)} or .parquet; got {out}"
        raise ValueError(message)
    if not out.absolute().parent.is_dir():
        message = f"export must go to a folder that exists; got {out}"
        raise ValueError(message)
    parquet = out.suffix == ".parquet"
    if parquet and rows is None:
        message = f"Parquet must know the rows of its topic; got none in the export of {topic!r}"
        raise ValueError(message)
    history = History(log, topic, since, until)
    written = 0

    def told() -> Iterator[list[PartitionRecord]]:
        nonlocal written
        for piece in history.pieces():
            yield piece
            written += len(piece)
            if on_progress:
                on_progress(written, len(history))

    with replacing(out) as path:
        if parquet and rows is not None:
            _write_parquet(path, told(), rows)
        else:
            _write_lines(path, told(), CODECS.get(out.suffix), enveloped=topic == EVENTS)
    return written


def _write_lines(
    path: Path, pieces: Iterable[list[PartitionRecord]], codec: str | None, *, enveloped: bool
) -> None:
    with pa.output_stream(path, compression=codec, buffer_size=2**20) as file:
        for piece in pieces:
            for _, record in piece:
                value = record.value
                file.write((wrap(record.append_time, value) if enveloped else value) + b"\n")


def _write_parquet(path: Path, pieces: Iterable[list[PartitionRecord]], rows: TopicRows) -> None:
    tables = map(rows.reader(), pieces)
    groups = batches(
        tables, lambda table: int(table.nbytes), max_items=_GROUP_PIECES, max_bytes=_GROUP_BYTES
    )
    with pq.ParquetWriter(path, rows.schema, compression="zstd") as file:
        for group in groups:
            file.write_table(pa.concat_tables(group))
