"""Files of events as lines: JSON lines or a JSON array, Parquet and Avro with a row per event."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from flows.intake.csv_rows import CsvError
from flows.intake.envelope import unwrap
from flows.intake.file_forms import (
    BOM,
    BUFFER_BYTES,
    UNREADABLE,
    FileForm,
    FormError,
    form_of,
    opened,
)
from flows.intake.json_array import ArrayError, elements, objects
from flows.intake.parquet_decoder import RECORD_BYTES
from flows.intake.parquet_rows import AVRO, PARQUET, parquet_rows
from state.log import MAX_VALUE_BYTES

CODECS = {".gz": "gzip", ".zst": "zstd"}
"""Arrow's name of the compression, by suffix of an export."""

# Room for the largest value in base64 with its envelope; a longer line is cut off as too large.
_MAX_LINE_BYTES = MAX_VALUE_BYTES // 3 * 4 + 1024
_LINE_ENDS = re.compile(rb"(?:\r?\n)*")
_ENDS = [(end * BUFFER_BYTES, end) for end in (b"\n", b"\r\n")]


class Line(NamedTuple):
    """One event of a file."""

    value: bytes
    append_time: int | None  # written by an export, microseconds UTC
    position: int  # bytes of the file read so far


def most_bytes(size: int) -> int:
    """Limit on the content of a file of this size; only files made on purpose exceed it.

    Example:
        >>> most_bytes(2_000)
        8609934592
    """
    return 8 * 2**30 + 10_000 * size


def read_lines(path: Path, form: FileForm | None = None) -> Iterator[Line]:
    """Read the values of a file in order; only empty lines are skipped.

    Args:
        path: JSON lines, a JSON array, Parquet or Avro; text may be compressed. A row of Parquet or
            Avro becomes a JSON object of its columns that are not null, timestamps in microseconds.
        form: Form of the file; None: found by its first bytes, and lines if these tell nothing.

    Raises:
        OSError: The file is missing, broken, or larger than `most_bytes` or the memory; the message
            names it.
        ValueError: A value is larger than the log accepts, or the file's form is not supported; the
            message names the line.
    """
    with named(path):
        form = form or form_of(path)
    if form.form in {"parquet", "avro"}:
        return _read_table(path, PARQUET if form.form == "parquet" else AVRO)
    if form.form in {"json array", "json objects"}:
        return _read_joined(path, form, elements if form.form == "json array" else objects)
    return _read_json(path, form)


def _read_json(path: Path, form: FileForm) -> Iterator[Line]:
    number = 0
    with named(path), opened(path, form) as (reader, file):
        bound = SizeLimit(path)
        while text := reader.readline(_MAX_LINE_BYTES):
            number += 1
            if text.startswith(BOM):  # as where files were joined
                text = text.removeprefix(BOM)
            value, append_time = unwrap(text.removesuffix(b"\n").removesuffix(b"\r"))
            if len(value) > MAX_VALUE_BYTES:
                limit = f"event must be at most {MAX_VALUE_BYTES} bytes"
                message = f"{limit}; got more in {path} line {number}"
                raise ValueError(message)
            if value or append_time is not None:
                bound.take(len(text) + RECORD_BYTES, f"line {number}")
                yield Line(value, append_time, file.tell())
            else:
                for lines, size in _empty_lines(reader):
                    number += lines
                    bound.take(size, f"line {number}")


def _read_joined(
    path: Path, form: FileForm, each: Callable[[BufferedReader, int], Iterator[bytes]]
) -> Iterator[Line]:
    with named(path), opened(path, form) as (reader, file):
        bound = SizeLimit(path)
        for number, value in enumerate(each(reader, MAX_VALUE_BYTES), 1):
            if len(value) > MAX_VALUE_BYTES:
                message = f"event must be at most {MAX_VALUE_BYTES} bytes"
                message += f"; got more in {path} element {number}"
                raise ValueError(message)
            bound.take(len(value) + RECORD_BYTES, f"element {number}")
            yield Line(value, None, file.tell())


class SizeLimit:
    """Counts the content of a file, and enforces the limit for its size."""

    def __init__(self, path: Path) -> None:
        self._path, self._most, self._taken = path, most_bytes(path.stat().st_size), 0

    def take(self, size: int, place: str) -> None:
        """Count more bytes.

        Raises:
            ValueError: The limit is exceeded.
        """
        self._taken += size
        if self._taken > self._most:
            limit = f"file of its size must hold at most {self._most} bytes"
            message = f"{limit}; got more in {self._path} {place}"
            raise ValueError(message)


def _empty_lines(reader: BufferedReader) -> Iterator[tuple[int, int]]:
    """Skip the next empty lines, many at a time; yield the number of lines and bytes."""
    while block := reader.peek():
        for ends, line in _ENDS:
            if ends.startswith(block):
                lines, size = len(block) // len(line), len(block) // len(line) * len(line)
                break
        else:
            blank = _LINE_ENDS.match(block)[0]  # type: ignore[index]
            lines, size = blank.count(b"\n"), len(blank)
        if not size:
            return
        reader.read(size)
        yield lines, size


def _read_table(path: Path, decoder: str) -> Iterator[Line]:
    size = path.stat().st_size
    with named(path):
        rows = parquet_rows(path, MAX_VALUE_BYTES, most_bytes(size), decoder=decoder)
        for value, share in rows:
            yield Line(value, None, int(size * share))


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Add the file's name to an error.

    Raises:
        OSError: The file is unreadable.
        FormError: The file's form is not supported.
    """
    try:
        yield
    except (ArrayError, CsvError) as error:
        message = f"{error} in {path}"
        raise FormError(message) from error
    except UNREADABLE as error:
        message = f"file must be readable; got '{error}' in {path}"
        raise OSError(message) from error
