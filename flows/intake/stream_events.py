"""Read users' files of events as the lines that the log stores."""

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from flows.intake.csv_rows import read_csv
from flows.intake.dialect import UNREADABLE, Dialect
from flows.intake.event_files import Line, SizeLimit, most_bytes, named, read_lines
from flows.intake.file_forms import (
    MADE_IDS,
    FileForm,
    FormError,
    columns_named,
    form_of,
    opened,
    refusal_of,
)
from flows.intake.parquet_decoder import RECORD_BYTES
from flows.intake.parquet_rows import AVRO, PARQUET, decoded
from flows.intake.refusals import names_shown
from state.event_times import TimeUnitError
from state.field_types import fields_of_bytes
from state.ingest.objects import Objects, without_nan
from state.ingest.rows import Rows
from state.local_times import LocalTimes
from state.log import MAX_VALUE_BYTES
from state.stream import Stream

_PLAIN = Dialect()
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def read_events(
    path: Path,
    stream: Stream,
    *,
    kind: str | None = None,
    is_sure: bool = False,
    on_left_out: Callable[[list[str]], None] | None = None,
    on_kind: Callable[[str], None] | None = None,
    on_local: Callable[[LocalTimes], None] | None = None,
    dialect: Dialect = _PLAIN,
) -> Generator[Line]:
    """Read the events of a file, with times in microseconds.

    Rows of CSV, Parquet and Avro become events by the declared types, see `state.ingest.rows`. A
    JSON object that is a valid event keeps everything but its times. The numbers of any other
    object are mended, see `state.ingest.objects`. An object that an export wrote is unchanged. An
    invalid event is a line too; the shard makes it a dead letter.

    Args:
        path: JSON lines or a JSON array, CSV, Parquet or Avro; text may be compressed.
        stream: Stream of the events.
        kind: The `type` of events that name none; None: rows of a table have the type that its
            columns fit best.
        is_sure: Take times in the stream's unit, however unlikely they are.
        on_left_out: Called with the columns that are in no event, if there are any.
        on_kind: Called with the type of a table's rows if it was found by the columns.
        on_local: Called before the first event with the counts of times without a zone, which grow
            while events are read.
        dialect: Conventions that the file follows.

    Raises:
        FormError: The file's form is not supported.
        TimeUnitError: A time is certainly in another unit; the message names the record.
        OSError: See `flows.intake.event_files.read_lines`.
        ValueError: See `flows.intake.event_files.read_lines`.
    """
    with named(path):
        form = form_of(path, dialect.needed, dialect.names)
    if form.form == "text":
        raise refusal_of(path, form, dialect.needed, dialect.names)

    def tell(rows: Rows) -> None:
        missed = [name for name in rows.missed if name not in dialect.in_ids]
        if missed and on_left_out is not None:
            on_left_out(missed)
        if rows.is_guessed and rows.kind is not None and on_kind is not None:
            on_kind(rows.kind)
        if on_local is not None:
            on_local(rows.local)

    if form.form == "csv":
        return _read_csv(path, form, stream, kind, tell, dialect, is_sure=is_sure)
    if form.form in {"parquet", "avro"}:
        decoder = PARQUET if form.form == "parquet" else AVRO
        return _read_table(path, stream, kind, tell, dialect, is_sure=is_sure, decoder=decoder)
    return _read_json(path, form, stream, kind, dialect, on_local, is_sure=is_sure)


def _read_json(
    path: Path,
    form: FileForm,
    stream: Stream,
    kind: str | None,
    dialect: Dialect,
    on_local: Callable[[LocalTimes], None] | None,
    *,
    is_sure: bool,
) -> Generator[Line]:
    times = stream.times(is_sure=is_sure, texts=dialect.texts)
    if on_local is not None:
        on_local(times.local)
    objects = Objects(stream, skips_unknown=dialect.skips_unknown, in_ids=dialect.in_ids)
    for number, line in enumerate(read_lines(path, form), 1):
        value = line.value
        if line.append_time is None:
            if value.isspace():
                continue
            value = dialect.event_of(without_nan(value), number)
            with _placed(path, number):
                value = objects.of(times.of(value if kind is None else _typed(value, kind)))
        yield line._replace(value=value)


def _read_csv(
    path: Path,
    form: FileForm,
    stream: Stream,
    kind: str | None,
    tell: Callable[[Rows], None],
    dialect: Dialect,
    *,
    is_sure: bool,
) -> Generator[Line]:
    with named(path), opened(path, form) as (reader, file):
        bound = SizeLimit(path)
        table = read_csv(reader, form.delimiter, dialect.names, is_spaced=form.is_spaced)
        dialect.see(table.header)
        dialect.check_ids(table.header, path)
        rows = Rows(
            stream,
            dialect.with_id(table.columns),
            kind=kind,
            is_sure=is_sure,
            decimal=dialect.decimal,
            texts=dialect.texts,
            skips_unknown=dialect.skips_unknown,
            in_ids=dialect.in_ids,
            where=path,
        )
        tell(rows)
        for number, row in enumerate(table.rows, 1):
            with _placed(path, number):
                value = _event_of(rows, dialect.identified(row, number))
            bound.take(len(value) + RECORD_BYTES, f"record {number}")
            yield Line(value, None, file.tell())


def _read_table(
    path: Path,
    stream: Stream,
    kind: str | None,
    tell: Callable[[Rows], None],
    dialect: Dialect,
    *,
    is_sure: bool,
    decoder: str,
) -> Generator[Line]:
    size = path.stat().st_size
    binary = {
        old
        for event in stream.events
        for name in fields_of_bytes(event)
        for old in dialect.theirs(name)
    }
    with (
        named(path),
        decoded(
            path, MAX_VALUE_BYTES, most_bytes(size), binary=sorted(binary), decoder=decoder
        ) as (table, read),
    ):
        columns = dialect.columns(table.columns)
        dialect.check_ids(table.columns, path)
        lacking = [name for name in dialect.needed if name not in columns]
        if table.rows and lacking:
            shown = names_shown(table.columns) or "no column"
            msg = (
                f"table must have the {columns_named(lacking)}; got only {shown} in {path}: "
                f"--rename OLD=NEW gives columns other names{MADE_IDS if 'id' in lacking else ''}"
            )
            raise FormError(msg)
        rows = Rows(
            stream,
            columns,
            kind=kind,
            stamped=frozenset(dialect.names.get(name, name) for name in table.stamped),
            is_sure=is_sure,
            decimal=dialect.decimal,
            texts=dialect.texts,
            skips_unknown=dialect.skips_unknown,
            in_ids=dialect.in_ids,
            where=path,
        )
        tell(rows)
        for number, (raw, share) in enumerate(read, 1):
            with _placed(path, number):
                value = rows.event_of_json(dialect.event_of(raw, number))
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
    except UNREADABLE:
        return value
    named_type = msgspec.Raw(msgspec.json.encode(kind))
    return value if "type" in fields else msgspec.json.encode({"type": named_type, **fields})
