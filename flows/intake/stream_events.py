"""Read users' files of events as the lines that the log stores."""

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from flows.intake.csv_rows import read_csv
from flows.intake.event_files import Line, SizeLimit, most_bytes, named, read_lines
from flows.intake.file_forms import FileForm, form_of, opened, refusal_of
from flows.intake.parquet_decoder import RECORD_BYTES
from flows.intake.parquet_rows import decoded
from state.event_times import TimeUnitError
from state.field_types import fields_of_bytes
from state.ingest.rows import Rows
from state.log import MAX_VALUE_BYTES
from state.stream import Stream

NEEDED = ("id", "time")
"""Columns that every table of events needs."""

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def read_events(
    path: Path,
    stream: Stream,
    *,
    kind: str | None = None,
    is_sure: bool = False,
    on_left_out: Callable[[list[str]], None] | None = None,
) -> Generator[Line]:
    """Read the events of a file, with times in microseconds.

    Rows of CSV and Parquet become events by the declared types, see `state.ingest.rows`. In a JSON
    object only the times are converted; an exported object stays unchanged. Invalid events are
    lines
    too: the shard will refuse them.

    Args:
        path: JSON lines or a JSON array, CSV, or Parquet; text may be compressed.
        stream: Stream of the events.
        kind: Event type of those that have none; None: rows of a table are requests.
        is_sure: Times are in the stream's unit; do not check them.
        on_left_out: Called with the skipped columns that no event has, if there are any.

    Raises:
        FormError: The file's form is not supported.
        TimeUnitError: A time is certainly in another unit; the message names the record.
        OSError: As for `flows.intake.event_files.read_lines`.
        ValueError: As for `flows.intake.event_files.read_lines`.
    """
    with named(path):
        form = form_of(path, NEEDED)
    if form.form == "text":
        raise refusal_of(path, form, NEEDED)
    tell = on_left_out or (lambda _: None)
    if form.form == "csv":
        return _read_csv(path, form, stream, kind, tell, is_sure=is_sure)
    if form.form == "parquet":
        return _read_parquet(path, stream, kind, tell, is_sure=is_sure)
    return _read_json(path, form, stream, kind, is_sure=is_sure)


def _read_json(
    path: Path, form: FileForm, stream: Stream, kind: str | None, *, is_sure: bool
) -> Generator[Line]:
    times = stream.times(is_sure=is_sure)
    for number, line in enumerate(read_lines(path, form), 1):
        value = line.value
        if line.append_time is None:
            with _placed(path, number):
                value = times.of(value if kind is None else _typed(value, kind))
        yield line._replace(value=value)


def _read_csv(
    path: Path,
    form: FileForm,
    stream: Stream,
    kind: str | None,
    tell: Callable[[list[str]], None],
    *,
    is_sure: bool,
) -> Generator[Line]:
    with named(path), opened(path, form) as (reader, file):
        bound = SizeLimit(path)
        table = read_csv(reader, form.delimiter)
        rows = Rows(stream, table.columns, kind=kind, is_sure=is_sure)
        _tell(rows, tell)
        for number, row in enumerate(table.rows, 1):
            with _placed(path, number):
                value = _event_of(rows, row)
            bound.take(len(value) + RECORD_BYTES, f"record {number}")
            yield Line(value, None, file.tell())


def _read_parquet(
    path: Path,
    stream: Stream,
    kind: str | None,
    tell: Callable[[list[str]], None],
    *,
    is_sure: bool,
) -> Generator[Line]:
    size = path.stat().st_size
    binary = {name for event in stream.events for name in fields_of_bytes(event)}
    with (
        named(path),
        decoded(path, MAX_VALUE_BYTES, most_bytes(size), binary=sorted(binary)) as (table, read),
    ):
        stamped = frozenset(table.stamped)
        rows = Rows(stream, table.columns, kind=kind, stamped=stamped, is_sure=is_sure)
        _tell(rows, tell)
        for number, (raw, share) in enumerate(read, 1):
            with _placed(path, number):
                value = rows.event_of_json(raw)
            yield Line(value, None, int(size * share))


@contextmanager
def _placed(path: Path, number: int) -> Iterator[None]:
    """Add the record's number to an error of a time.

    Raises:
        TimeUnitError: A time is certainly in another unit.
    """
    try:
        yield
    except TimeUnitError as error:
        msg = f"{error} in {path} record {number}"
        raise TimeUnitError(msg) from error


def _tell(rows: Rows, tell: Callable[[list[str]], None]) -> None:
    if rows.missed:
        tell(rows.missed)


def _event_of(rows: Rows, row: dict[str, str]) -> bytes:
    try:
        return rows.event(row)
    except UnicodeEncodeError:  # not UTF-8: pass its bytes on unchanged, the invalid ones first
        bad = {name: cell for name, cell in row.items() if not cell.isprintable()}
        typed = {"type": rows.kind} | bad | row
        return json.dumps(typed, ensure_ascii=False).encode(errors="surrogateescape")


def _typed(value: bytes, kind: str) -> bytes:
    """Add a type to an object without one."""
    try:
        fields = _decode_fields(value)
    except _UNREADABLE:
        return value
    named_type = msgspec.Raw(msgspec.json.encode(kind))
    return value if "type" in fields else msgspec.json.encode({"type": named_type, **fields})
