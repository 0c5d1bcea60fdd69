"""Files of events as lines: JSON lines, plain or compressed, and Parquet with a row per event."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from itertools import count
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from flows.envelope import unwrap
from state.log import MAX_VALUE_BYTES

CODECS = {".gz": "gzip", ".zst": "zstd"}
"""Arrow's name of the compression that a file's suffix tells."""

# Room for the largest value in base64 with its envelope; a longer line is cut and too large.
_MAX_LINE_BYTES = MAX_VALUE_BYTES // 3 * 4 + 1024
_ROWS = 10_000


class Line(NamedTuple):
    """One event of a file."""

    value: bytes
    append_time: int | None  # as an export wrote it, microseconds UTC
    position: int  # bytes of the file that were read by then


def read_lines(path: Path) -> Iterator[Line]:
    """The events of a file, in its order; empty lines are passed over, nothing else is.

    Args:
        path: `.parquet`, else JSON lines, compressed if it ends in `.gz` or `.zst`. A Parquet
            row becomes a JSON object of its columns that are not null, timestamps in
            microseconds.

    Raises:
        OSError: The file is missing or broken; the message names it.
        ValueError: A value is larger than the log takes; the message names the line.
    """
    return _read_parquet(path) if path.suffix == ".parquet" else _read_json(path)


def _read_json(path: Path) -> Iterator[Line]:
    with path.open("rb") as file, _named(path), _decompressed(file, path) as reader:
        for number in count(1):
            text = reader.readline(_MAX_LINE_BYTES)
            if not text:
                return
            value, append_time = unwrap(text.removesuffix(b"\n").removesuffix(b"\r"))
            if len(value) > MAX_VALUE_BYTES:
                limit = f"event must be at most {MAX_VALUE_BYTES} bytes"
                message = f"{limit}; got more in {path} line {number}"
                raise ValueError(message)
            if value or append_time is not None:
                yield Line(value, append_time, file.tell())


def _decompressed(file: BinaryIO, path: Path) -> BinaryIO:
    codec = CODECS.get(path.suffix)
    if codec is None:
        return file
    return BufferedReader(pa.CompressedInputStream(file, codec))


def _read_parquet(path: Path) -> Iterator[Line]:
    size = path.stat().st_size
    with _named(path), pq.ParquetFile(path) as file:
        rows = count(1)
        for batch in file.iter_batches(batch_size=_ROWS):
            for row in _in_microseconds(pa.Table.from_batches([batch])).to_pylist():
                value = msgspec.json.encode({k: v for k, v in row.items() if v is not None})
                yield Line(value, None, size * next(rows) // file.metadata.num_rows)


def _in_microseconds(table: pa.Table) -> pa.Table:
    for i, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            stamps = table[i].cast(pa.timestamp("us", field.type.tz), safe=False)
            table = table.set_column(i, field.name, stamps.cast(pa.int64()))
    return table


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        message = f"file must be readable; got '{error}' in {path}"
        raise OSError(message) from error
