"""The process that decodes Avro object container files, as `flows.intake.parquet_decoder` does.

See https://avro.apache.org/docs/1.12.0/specification/#object-container-files.
"""

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from flows.intake.parquet_decoder import (
    Limits,
    RefusedError,
    TableInfo,
    as_text,
    decode_within,
    encoded,
    finite,
)

_STAMPS = frozenset({
    f"{local}timestamp-{unit}" for local in ("", "local-") for unit in ("millis", "micros")
})  # fmt: skip


def _write_rows(path: str, limits: Limits, binary: Collection[str] | None) -> None:
    try:
        # Below the limit, and an extra.
        from fastavro import block_reader, reader  # noqa: PLC0415
        from fastavro.read import LOGICAL_READERS  # noqa: PLC0415
    except ModuleNotFoundError as error:
        msg = f"Avro must have its decoder; got '{error}': pip install 'headwater[schemas]'"
        raise RefusedError(msg) from error

    for name, read in LOGICAL_READERS.items():
        LOGICAL_READERS[name] = _or_text(name, read)
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib is large
        total = sum(block.num_records for block in block_reader(file))
        file.seek(0)
        records: Any = reader(file)
        columns, stamped = _columns(records.writer_schema)
        limits.write(encoded(TableInfo(total, columns, stamped)))
        for row, record in enumerate(records, 1):
            limits.write(encoded(dict(_cells(record, binary))), row)


def _or_text(name: str, read: Callable[..., Any]) -> Callable[..., Any]:
    """A reader of moments that gives the text of a number that is none in Python's calendar."""

    def total(data: Any, *schemas: Any) -> Any:
        try:
            return read(data, *schemas)
        except (OverflowError, ValueError):
            return f"{name} {data}"

    return total


def _columns(schema: Any) -> tuple[list[str], list[str]]:
    """The fields of the records, and those that are moments."""
    if not isinstance(schema, dict) or schema.get("type") != "record":
        msg = f"Avro must hold records; got {schema!r:.80}"
        raise RefusedError(msg)
    fields = schema["fields"]
    stamped = [field["name"] for field in fields if any(map(_is_stamp, _kinds(field["type"])))]
    return [field["name"] for field in fields], stamped


def _kinds(kind: Any) -> list[Any]:
    return kind if isinstance(kind, list) else [kind]


def _is_stamp(kind: Any) -> bool:
    return isinstance(kind, dict) and kind.get("logicalType") in _STAMPS


def _cells(record: Mapping[str, Any], binary: Collection[str] | None) -> Iterator[tuple[str, Any]]:
    """The cells that are not null; moments as microseconds, bytes as text if they are one."""
    for name, value in record.items():
        if isinstance(value, bytes) and binary is not None and name not in binary:
            yield name, as_text(value)
        elif value is not None:
            yield name, _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return finite(value)
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
        return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


if __name__ == "__main__":
    sys.exit(decode_within(_write_rows))
