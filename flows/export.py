"""Export: write a topic to a file, in log order."""

import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from heapq import merge
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from flows.batches import batches
from flows.envelope import wrap
from flows.lines import CODECS
from state.columns import table_of
from state.log import EVENTS, Log, Record

_GROUP_ROWS = 100_000
_GROUP_BYTES = 64 * 2**20


def export(
    log: Log,
    topic: str,
    out: Path,
    *,
    since: int | None = None,
    until: int | None = None,
    schema: pa.Schema | None = None,
) -> int:
    """Write what a topic holds when this starts; the file appears whole or not at all.

    Partitions are merged by append time, ties by partition. `events` become envelopes that
    `flows.ingest` takes back byte for byte; values of other topics are written as they are.

    Args:
        log: Where `topic` was created.
        topic: Which.
        out: `.jsonl`, `.jsonl.gz`, `.jsonl.zst`, or but for `events` `.parquet`.
        since: Only what was appended at or after this, microseconds UTC.
        until: Only what was appended before this.
        schema: The columns of Parquet, see `flows.columns`.

    Returns:
        How many records were written.

    Raises:
        ValueError: `out` has another suffix, or Parquet is asked for without a schema.
    """
    records = _merged(log, topic, since, until)
    parquet = _is_parquet(out, topic, schema)
    with _replacing(out) as path:
        if parquet:
            return _write_parquet(path, records, schema)
        lines = (wrap(r.append_time, r.value) if topic == EVENTS else r.value for r in records)
        return _write_lines(path, lines, CODECS.get(out.suffix))


def _is_parquet(out: Path, topic: str, schema: pa.Schema | None) -> bool:
    if out.name.endswith((".jsonl", *(f".jsonl{suffix}" for suffix in CODECS))):
        return False
    if out.suffix != ".parquet" or topic == EVENTS:
        allowed = ".jsonl, .jsonl.gz or .jsonl.zst" + (", .parquet" if topic != EVENTS else "")
        message = f"export of {topic!r} must end in {allowed}; got {out}"
        raise ValueError(message)
    if schema is None:
        message = f"Parquet must have a schema; got none in the export of {topic!r}"
        raise ValueError(message)
    return True


def _merged(log: Log, topic: str, since: int | None, until: int | None) -> Iterator[Record]:
    parts = [_part(log, topic, p, since, until) for p in range(log.partitions(topic))]
    return merge(*parts, key=lambda record: record.append_time)


def _part(
    log: Log, topic: str, partition: int, since: int | None, until: int | None
) -> Iterator[Record]:
    def append_time(offset: int) -> int:
        return log.read(topic, partition, offset, max_records=1)[0].append_time

    held = range(log.start(topic, partition), log.end(topic, partition))
    low = 0 if since is None else bisect_left(held, since, key=append_time)
    high = len(held) if until is None else bisect_left(held, until, key=append_time)
    held = held[low:high]
    while held:
        records = log.read(topic, partition, held[0], max_records=min(1000, len(held)))
        yield from records
        held = held[len(records) :]


def _write_lines(path: Path, lines: Iterable[bytes], codec: str | None) -> int:
    written = 0
    with pa.output_stream(path, compression=codec, buffer_size=2**20) as file:
        for line in lines:
            file.write(line + b"\n")
            written += 1
    return written


def _write_parquet(path: Path, records: Iterable[Record], schema: pa.Schema) -> int:
    written = 0
    groups = batches(
        (record.value for record in records), len, max_items=_GROUP_ROWS, max_bytes=_GROUP_BYTES
    )
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        for values in groups:
            file.write_table(table_of(values, schema))
            written += len(values)
    return written


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
