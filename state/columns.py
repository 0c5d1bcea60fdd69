"""JSON objects as Parquet columns, of types that a declaration and never the values decides."""

from collections.abc import Sequence

import msgspec
import pyarrow as pa
import pyarrow.json as pj
from msgspec import inspect

_ARROW = {
    inspect.BoolType: pa.bool_(),
    inspect.FloatType: pa.float64(),
    inspect.IntType: pa.int64(),
    inspect.StrType: pa.string(),
}


def schema_of(record_type: type[msgspec.Struct]) -> pa.Schema:
    """The columns of a struct: its fields; whole numbers named `time` or `…_time` are times.

    Raises:
        TypeError: A field is no bool, number or text, or null.

    Example:
        >>> class Seen(msgspec.Struct):
        ...     id: str
        ...     event_time: int
        ...     wind: float | None
        >>> [(field.name, str(field.type)) for field in schema_of(Seen)]
        [('id', 'string'), ('event_time', 'timestamp[ms]'), ('wind', 'double')]
    """
    declared = inspect.type_info(record_type)
    assert isinstance(declared, inspect.StructType)
    return pa.schema([(field.encode_name, _arrow_type(field)) for field in declared.fields])


def table_of(values: Sequence[bytes], schema: pa.Schema) -> pa.Table:
    """JSON objects as a table; a timestamp column is read from whole microseconds UTC.

    Args:
        values: Each one object on one line.
        schema: The columns; what an object lacks is null.

    Raises:
        ArrowInvalid: A value does not fit its column, or has none.
    """
    text = b"\n".join(values)
    written = pa.schema([(f.name, pa.int64() if _is_time(f) else f.type) for f in schema])
    table = pj.read_json(
        pa.BufferReader(text),
        read_options=pj.ReadOptions(use_threads=False, block_size=len(text) + 1),
        parse_options=pj.ParseOptions(explicit_schema=written, unexpected_field_behavior="error"),
    )
    columns = [table[field.name] for field in schema]
    return pa.table(
        [_as_time(c, f) if _is_time(f) else c for c, f in zip(columns, schema, strict=True)],
        schema=schema,
    )


def _arrow_type(field: inspect.Field) -> pa.DataType:
    kinds = field.type.types if isinstance(field.type, inspect.UnionType) else (field.type,)
    found = {_ARROW.get(type(kind)) for kind in kinds if not isinstance(kind, inspect.NoneType)}
    arrow = found.pop() if len(found) == 1 else None
    if arrow is None:
        message = f"column must be a bool, number or text; got {field.type} in {field.name!r}"
        raise TypeError(message)
    is_time = arrow == pa.int64() and field.encode_name.rpartition("_")[2] == "time"
    return pa.timestamp("ms") if is_time else arrow


def _is_time(field: pa.Field) -> bool:
    return bool(pa.types.is_timestamp(field.type))


def _as_time(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    return column.cast(pa.timestamp("us")).cast(field.type, safe=False)
