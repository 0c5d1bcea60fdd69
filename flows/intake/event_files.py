"""Files of events as lines: JSON lines, plain or compressed, and Parquet with a row per event."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from flows.intake.envelope import unwrap
from flows.intake.parquet_decoder import RECORD_BYTES
from flows.intake.parquet_rows import parquet_rows
from state.log import MAX_VALUE_BYTES

CODECS = {".gz": "gzip", ".zst": "zstd"}
"""Arrow's name of the compression that a file's suffix tells."""

# Room for the largest value in base64 with its envelope; a longer line is cut and too large.
_MAX_LINE_BYTES = MAX_VALUE_BYTES // 3 * 4 + 1024
_BUFFER_BYTES = 2**18
_LINE_ENDS = re.compile(rb"(?:\r?\n)*")
_ENDS = [(end * _BUFFER_BYTES, end) for end in (b"\n", b"\r\n")]


class Line(NamedTuple):
    """One event of a file."""

    value: bytes
    append_time: int | None  # as an export wrote it, microseconds UTC
    position: int  # bytes of the file that were read by then


def most_bytes(size: int) -> int:
    """The most that a file of this size may hold: no file that was not made for it holds more.

    Example:
        >>> most_bytes(2_000)
        8609934592
    """
    return 8 * 2**30 + 10_000 * size


def read_lines(path: Path) -> Iterator[Line]:
    """The events of a file, in its order; empty lines are passed over, nothing else is.

    Args:
        path: `.parquet`, else JSON lines, compressed if it ends in `.gz` or `.zst`. A Parquet
            row becomes a JSON object of its columns that are not null, timestamps in
            microseconds.

    Raises:
        OSError: The file is missing, broken or larger than `most_bytes` or the memory; the message
            names it.
        ValueError: A value is larger than the log takes; the message names the line.
    """
    return _read_parquet(path) if path.suffix == ".parquet" else _read_json(path)


def _read_json(path: Path) -> Iterator[Line]:
    number = taken = 0
    most = most_bytes(path.stat().st_size)
    with path.open("rb") as file, _named(path), _decompressed(file, path) as reader:
        while text := reader.readline(_MAX_LINE_BYTES):
            number += 1
            value, append_time = unwrap(text.removesuffix(b"\n").removesuffix(b"\r"))
            if len(value) > MAX_VALUE_BYTES:
                limit = f"event must be at most {MAX_VALUE_BYTES} bytes"
                message = f"{limit}; got more in {path} line {number}"
                raise ValueError(message)
            if value or append_time is not None:
                taken += len(text) + RECORD_BYTES
                yield Line(value, append_time, file.tell())
            else:
                for lines, size in _empty_lines(reader):
                    number += lines
                    taken += size
            if taken > most:
                limit = f"file of its size must hold at most {most} bytes"
                message = f"{limit}; got more in {path} line {number}"
                raise ValueError(message)


def _empty_lines(reader: BufferedReader) -> Iterator[tuple[int, int]]:
    """Pass over the empty lines that come next, many at a time; how many lines and bytes each."""
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


def _decompressed(file: BufferedReader, path: Path) -> BufferedReader:
    codec = CODECS.get(path.suffix)
    if codec is None:
        return file
    return BufferedReader(pa.CompressedInputStream(file, codec), _BUFFER_BYTES)


def _read_parquet(path: Path) -> Iterator[Line]:
    size = path.stat().st_size
    with _named(path):
        for value, share in parquet_rows(path, MAX_VALUE_BYTES, most_bytes(size)):
            yield Line(value, None, int(size * share))


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        message = f"file must be readable; got '{error}' in {path}"
        raise OSError(message) from error
