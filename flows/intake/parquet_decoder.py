"""The process that decodes Parquet for `flows.intake.parquet_rows`, under a memory limit.

It writes what the table is, then each row as a JSON object, each after its length. It imports
nothing else of ours, so that it starts fast and small.
"""

import math
import os
import resource
import shutil
import signal
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from io import BufferedReader
from typing import IO, TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

REFUSED = 3
"""Exit code after an error whose message was written to stderr."""

HINT = "write it with smaller row groups or shorter values"
"""Remedy for a file that is too large to decode."""

RECORD_BYTES = 64
"""Approximate size in the log of a record, besides its value."""

AS_TEXT = "--text"
"""Option: bytes are text, except in the columns named after it."""

_ROWS = 1000
_BATCH_BYTES = 8 * 2**20
_SLICE_BYTES = 2**20
_COLUMNS_BYTES = 96 * 2**20
# A column being decoded needs a page, its compressed form, and a dictionary: about a megabyte each;
# the minimum is its buffer and the decoder itself.
_MOST_OF_A_COLUMN, _LEAST_OF_A_COLUMN = 3 * 2**20, 2**17
_BUFFER_BYTES = 2**16
_LENGTH = struct.Struct("<I")
_FEWER = 30
_US_IN_MS = 1_000
encoded = msgspec.json.Encoder().encode
"""A value as JSON."""


class TableInfo(msgspec.Struct):
    """A description of a table.

    Attributes:
        rows: Number of rows.
        columns: Names of the columns.
        stamped: Names of timestamp columns, which are written as microseconds since 1970 UTC.
    """

    rows: int
    columns: list[str]
    stamped: list[str]


class RefusedError(Exception):
    """The file is refused."""


def frames(stream: IO[bytes]) -> Iterator[bytes]:
    """The length-prefixed contents of a stream, without a last one that was cut off."""
    while len(head := stream.read(_LENGTH.size)) == _LENGTH.size:
        size = _LENGTH.unpack(head)[0]
        content = stream.read(size)
        if len(content) < size:
            return
        yield content


class Limits:
    """Writes to the parent, and counts the bytes that leave.

    Args:
        most_value: The largest row.
        most_bytes: The most of all rows together.
    """

    def __init__(self, most_value: int, most_bytes: int) -> None:
        self._most_value, self._most_bytes, self._left = most_value, most_bytes, most_bytes
        self._out = sys.stdout.buffer

    def write(self, value: bytes, row: int = 0) -> None:
        """Write a row, or what the table is.

        Raises:
            RefusedError: It is too large, or all are.
        """
        self._left -= (len(value) + RECORD_BYTES) * (row > 0)
        if row and len(value) > self._most_value:
            msg = f"row {row} must be at most {self._most_value} bytes; got {len(value)}"
            raise RefusedError(msg)
        if self._left < 0:
            msg = (
                f"rows of a file of this size must be at most {self._most_bytes} bytes in all; "
                f"got more at row {row}"
            )
            raise RefusedError(msg)
        self._out.write(_LENGTH.pack(len(value)) + value)


def decode_within(write_rows: Callable[[str, Limits, Collection[str] | None], None]) -> int:
    """Decode the file that the command line names, within the limits that it gives.

    Args:
        write_rows: Takes the file, the limits, and the columns whose bytes are base64, where those
            of others are text; None: those of all are base64.

    Returns:
        The exit code.
    """
    path, most_value, most_bytes, memory = sys.argv[1], *map(int, sys.argv[2:5])
    binary = frozenset(sys.argv[6:]) if sys.argv[5:6] == [AS_TEXT] else None
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        write_rows(path, Limits(most_value, most_bytes), binary)
        sys.stdout.buffer.flush()
    except (MemoryError, BrokenPipeError):
        return 1
    except Exception as error:  # noqa: BLE001 - foreign code on a foreign file may raise any error
        sys.stderr.write(str(error)[:1000] or type(error).__name__)
        return REFUSED
    return 0


def _write_rows(path: str, limits: Limits, binary: Collection[str] | None) -> None:
    import pyarrow as pa  # noqa: PLC0415 - below the limit
    import pyarrow.parquet as pq  # noqa: PLC0415 - below the limit

    row = 0
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES) as file:
        schema = file.schema_arrow
        _check_names(list(schema))
        stamped = [field.name for field in schema if pa.types.is_timestamp(field.type)]
        limits.write(encoded(TableInfo(file.metadata.num_rows, schema.names, stamped)))
        texts = () if binary is None else _of_bytes(schema).difference(binary)
        for group in range(file.num_row_groups):
            for value in _objects(file, group, texts):
                row += 1
                limits.write(value, row)


def _check_names(fields: "list[pa.Field]", where: str = "") -> None:
    """Refuse two fields of one name, at any depth, as only one could be kept."""
    twice = [name for name, n in Counter(field.name for field in fields).items() if n > 1]
    if twice:
        msg = f"columns must be distinct; got {twice[0]!r} more than once{where}"
        raise RefusedError(msg)
    for field in fields:
        inner = [field.type.field(i) for i in range(field.type.num_fields)]
        _check_names(inner, f" in {field.name!r}")


def _of_bytes(schema: "pa.Schema") -> set[str]:
    """The columns of bytes, which old writers use for text."""
    import pyarrow as pa  # noqa: PLC0415 - below the limit

    of = pa.types
    tests = (of.is_binary, of.is_large_binary, of.is_fixed_size_binary, of.is_binary_view)

    def is_bytes(kind: "pa.DataType") -> bool:
        return any(test(kind.value_type if of.is_dictionary(kind) else kind) for test in tests)

    return {field.name for field in schema if is_bytes(field.type)}


def _objects(file: "pq.ParquetFile", group: int, texts: Collection[str]) -> Iterator[bytes]:
    """The rows of a row group; a wide one is decoded some columns at a time and put aside."""
    parts = _parts(file, group)
    if len(parts) == 1:
        yield from _rows(file, group, None, texts)
        return
    with ExitStack() as stack:
        aside = [_put_aside(stack, _rows(file, group, columns, texts)) for columns in parts]
        for pieces in zip(*aside, strict=True):
            yield b"{%s}" % b",".join(inner for piece in pieces if (inner := piece[1:-1]))


def _parts(file: "pq.ParquetFile", group: int) -> list[list[str]]:
    """Split the columns into lists that can each be decoded within the limit."""
    sizes = dict.fromkeys(file.schema_arrow.names, 0)
    chunks = file.metadata.row_group(group)
    for i in range(chunks.num_columns):
        chunk = chunks.column(i)
        path = chunk.path_in_schema
        name = path if path in sizes else path.partition(".")[0]
        size = min(max(chunk.total_uncompressed_size, _LEAST_OF_A_COLUMN), _MOST_OF_A_COLUMN)
        sizes[name] = sizes.get(name, 0) + size
    parts: list[list[str]] = []
    room = 0
    for name in file.schema_arrow.names:
        if sizes[name] > room or not parts:
            parts.append([])
            room = _COLUMNS_BYTES
        parts[-1].append(name)
        room -= sizes[name]
    return parts


def _put_aside(stack: ExitStack, values: Iterator[bytes]) -> Iterator[bytes]:
    """Write values to a file without a name, then read them again."""
    import pyarrow as pa  # noqa: PLC0415 - below the limit

    file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - read after we return
    most = shutil.disk_usage(tempfile.gettempdir()).free // 2
    with (
        os.fdopen(os.dup(file.fileno()), "wb") as written,
        pa.CompressedOutputStream(pa.PythonFile(written, "w"), "lz4") as packed,
    ):
        for value in values:
            packed.write(_LENGTH.pack(len(value)) + value)
            if written.tell() > most:
                msg = f"row group must fit half of what is free in {tempfile.gettempdir()}: {HINT}"
                raise RefusedError(msg)
    file.seek(0)
    return frames(BufferedReader(pa.CompressedInputStream(pa.PythonFile(file, "r"), "lz4")))


def _rows(
    file: "pq.ParquetFile", group: int, columns: list[str] | None, texts: Collection[str]
) -> Iterator[bytes]:
    for batch in _batches(file, group, columns):
        beyond = _beyond(batch)
        plain = _in_microseconds(batch, beyond)
        infinite = _infinite(plain)
        at, n = 0, 1
        while at < plain.num_rows:
            try:
                rows = _plain_rows(plain.slice(at, n))
                for row in rows:
                    for name in beyond:
                        row[name] = _in_us(row[name])
                    for name in texts:
                        row[name] = as_text(row.get(name))
                    for name in infinite:
                        row[name] = finite(row[name])
                values = [encoded({k: v for k, v in row.items() if v is not None}) for row in rows]
            except MemoryError:
                if n == 1:
                    raise
                n = 1
                continue
            yield from values
            at += n
            size = sum(map(len, values)) // n + 1
            n = max(1, min(2 * n, _SLICE_BYTES // size))


def _plain_rows(batch: "pa.RecordBatch") -> list[dict[str, Any]]:
    """The rows; a date or duration that Python lacks is the text of its number."""
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
    except (OverflowError, ValueError):
        columns = [[_plain_cell(cell) for cell in column] for column in batch.columns]
        names = batch.schema.names
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return rows


def _plain_cell(cell: "pa.Scalar") -> Any:
    try:
        return cell.as_py()
    except (OverflowError, ValueError):
        return f"{cell.type} {getattr(cell, 'value', cell)}"


def _beyond(batch: "pa.RecordBatch") -> list[str]:
    """Columns of milliseconds with a time beyond 64 bits of microseconds."""
    import pyarrow as pa  # noqa: PLC0415 - below the limit
    import pyarrow.compute as pc  # noqa: PLC0415 - below the limit

    def extremes(array: "pa.Array") -> Iterator[int | None]:
        yield from pc.min_max(array.cast(pa.int64())).as_py().values()

    return [
        field.name
        for field, array in zip(batch.schema, batch.columns, strict=True)
        if pa.types.is_timestamp(field.type)
        and field.type.unit == "ms"
        and any(isinstance(_in_us(time), str) for time in extremes(array))
    ]


def _in_us(time_ms: int | None) -> int | str | None:
    """A time in microseconds; one beyond 64 bits as text, which no event takes for a time."""
    us = None if time_ms is None else time_ms * _US_IN_MS
    return us if us is None or -(2**63) <= us < 2**63 else f"timestamp[ms] {time_ms}"


def as_text(value: bytes | None) -> str | list[int] | None:
    """Bytes as a text if they are one in UTF-8, else as numbers: nothing takes these for a text."""
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return list(value or b"")


def finite(value: float | None) -> float | str | None:
    """A number; an infinite one as text, for JSON would make it a null."""
    return str(value) if value is not None and math.isinf(value) else value


def _infinite(batch: "pa.RecordBatch") -> list[str]:
    """The columns that hold an infinity."""
    import pyarrow as pa  # noqa: PLC0415 - below the limit
    import pyarrow.compute as pc  # noqa: PLC0415 - below the limit

    columns = zip(batch.schema, batch.columns, strict=True)
    numbers = [(field.name, array) for field, array in columns if pa.types.is_floating(field.type)]
    return [name for name, array in numbers if pc.any(pc.is_inf(array)).as_py()]


def _batches(
    file: "pq.ParquetFile", group: int, columns: list[str] | None
) -> "Iterator[pa.RecordBatch]":
    """The rows of a row group, fewer at a time if they do not fit."""
    chunks = file.metadata.row_group(group)
    size = max(1, chunks.total_byte_size) // max(1, chunks.num_rows) + 1
    n = max(1, min(_ROWS, _BATCH_BYTES // size))
    done = 0
    while True:
        try:
            skipped = 0
            for batch in file.iter_batches(
                n, row_groups=[group], columns=columns, use_threads=False
            ):
                gone = min(done - skipped, batch.num_rows)
                skipped += gone
                if gone < batch.num_rows:
                    yield (batch if columns is None else batch.select(columns)).slice(gone)
                    done += batch.num_rows - gone
                    skipped = done
        except MemoryError:
            if n == 1:
                raise
            n = max(1, n // _FEWER)
        else:
            return


def _in_microseconds(batch: "pa.RecordBatch", raw: Collection[str]) -> "pa.RecordBatch":
    """Convert timestamps to whole numbers, and types that Python lacks.

    Args:
        batch: Some rows.
        raw: Timestamp columns whose numbers stay in their own unit.
    """
    import pyarrow as pa  # noqa: PLC0415 - below the limit
    import pyarrow.compute as pc  # noqa: PLC0415 - below the limit

    def cast(to: "Callable[[pa.DataType], pa.DataType]") -> None:
        nonlocal batch
        kinds = [_each(field.type, to) for field in batch.schema]
        arrays = [
            # A time outside all years is an error; digits below the microsecond are cut off.
            pc.cast(array, options=pc.CastOptions(kind, allow_time_truncate=True))
            if array.type != kind
            else array
            for array, kind in zip(batch.columns, kinds, strict=True)
        ]
        batch = pa.RecordBatch.from_arrays(arrays, batch.schema.names)

    for name in raw:
        place = batch.schema.get_field_index(name)
        batch = batch.set_column(place, name, batch[name].cast(pa.int64()))
    cast(_without_nanoseconds)
    cast(lambda kind: pa.int64() if pa.types.is_timestamp(kind) else kind)
    return batch


def _without_nanoseconds(kind: "pa.DataType") -> "pa.DataType":
    import pyarrow as pa  # noqa: PLC0415 - below the limit

    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    if pa.types.is_duration(kind):
        return pa.duration("us")
    if pa.types.is_float16(kind):
        return pa.float32()
    return pa.time64("us") if pa.types.is_time64(kind) else kind


def _each(kind: "pa.DataType", to: "Callable[[pa.DataType], pa.DataType]") -> "pa.DataType":
    """Convert a type and all types nested in it."""
    import pyarrow as pa  # noqa: PLC0415 - below the limit

    of = pa.types
    if of.is_map(kind):
        return pa.map_(_each(kind.key_type, to), _each(kind.item_type, to))
    if of.is_fixed_size_list(kind):
        return pa.list_(_each(kind.value_type, to), kind.list_size)
    if of.is_list(kind):
        return pa.list_(_each(kind.value_type, to))
    if of.is_large_list(kind):
        return pa.large_list(_each(kind.value_type, to))
    if of.is_struct(kind):
        return pa.struct([field.with_type(_each(field.type, to)) for field in kind])
    return to(kind)


if __name__ == "__main__":
    sys.exit(decode_within(_write_rows))
