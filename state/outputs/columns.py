"""Records as columns, whose types depend on declarations and never on values.

Nested records become columns `outer_inner`, and so do dictionaries with declared keys; lists and
all other dictionaries become JSON text. So every topic is a flat table.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter, methodcaller
from typing import Any, NamedTuple

import msgspec
import polars as pl
import pyarrow as pa
from msgspec import NODEFAULT, UNSET, inspect

from state.events import Event

TIME = pa.timestamp("ms")
"""Type of every time: UTC without a zone, as H2O reads any other kind as plain numbers."""

_ARROW = {
    inspect.BoolType: pa.bool_(),
    inspect.BytesType: pa.binary(),
    inspect.FloatType: pa.float64(),
    inspect.IntType: pa.int64(),
    inspect.StrType: pa.string(),
}
_POLARS = {
    pa.bool_(): pl.Boolean,
    pa.binary(): pl.Binary,
    pa.float64(): pl.Float64,
    pa.int64(): pl.Int64,
    pa.string(): pl.String,
    TIME: pl.Int64,
}
# Names of times in our own records; a stream's events mark times by the type `TimeUs`.
_TIME_WORDS = {"time", "boundary", "since", "until", "start", "end"}

Getter = Callable[[Any], Any]


class TableColumn(NamedTuple):
    """One column of a table.

    Attributes:
        name: Name of the column.
        arrow: Arrow type; values of a `TIME` column are passed in microseconds.
        get: Returns the value of a row, by the row's type; rows of other types are null.
    """

    name: str
    arrow: pa.DataType
    get: Mapping[type, Getter]


def columns_of(kind: type[msgspec.Struct]) -> list[TableColumn]:
    """The columns of a struct, in the order of its fields.

    Example:
        >>> class Loss(msgspec.Struct):
        ...     n: int
        >>> class Seen(msgspec.Struct):
        ...     event_time: int
        ...     wind: float | None
        ...     loss: Loss | None
        ...     tags: list[str]
        >>> schema_of(columns_of(Seen))
        event_time: timestamp[ms]
        wind: double
        loss_n: int64
        tags: string
    """
    declared = inspect.type_info(kind)
    assert isinstance(declared, inspect.StructType)
    by_name = not issubclass(kind, Event)
    return [
        TableColumn(name, arrow, {kind: get})
        for field in declared.fields
        for name, arrow, get in _leaves(
            field.encode_name, field.type, _getter_of(field), by_name=by_name
        )
    ]


def _getter_of(field: inspect.Field) -> Getter:
    """The value of a field; None for one that is unset."""
    get = attrgetter(field.name)
    may_be_unset = not field.required and field.default is field.default_factory is NODEFAULT
    if not may_be_unset:
        return get

    def or_none(row: Any) -> Any:
        value = get(row)
        return None if value is UNSET else value

    return or_none


def union_of(kinds: Iterable[type[msgspec.Struct]]) -> list[TableColumn]:
    """The columns of rows of several structs; JSON text where their types differ."""
    found: dict[str, TableColumn] = {}
    for kind in kinds:
        for column in columns_of(kind):
            other = found.setdefault(column.name, column)
            if other is not column:
                found[column.name] = _both(other, column)
    return list(found.values())


def schema_of(columns: Iterable[TableColumn]) -> pa.Schema:
    """The Arrow schema of columns."""
    return pa.schema([(column.name, column.arrow) for column in columns])


def table_of(columns: Sequence[TableColumn], rows: Sequence[Any]) -> pa.Table:
    """Rows as an Arrow table.

    Raises:
        TypeError: A value does not fit its column.
    """
    kinds = set(map(type, rows))
    arrays = [_array(column, rows, kinds) for column in columns]
    return pa.Table.from_arrays(arrays, schema=schema_of(columns))


def _array(column: TableColumn, rows: Sequence[Any], kinds: set[type]) -> pa.Array:
    getters = column.get
    if len(kinds) == 1:  # as in most topics; four times as fast
        get = getters.get(*kinds)
        values = [None] * len(rows) if get is None else list(map(get, rows))
    else:
        values = [get(row) if (get := getters.get(type(row))) else None for row in rows]
    # By Polars, as `pa.array` imports Pandas if it is installed: 50 MB and a third of a second.
    array = pl.Series(values=values, dtype=_POLARS[column.arrow], strict=True).to_arrow()
    if column.arrow == TIME:
        array = array.cast(pa.timestamp("us"))
    return array if array.type == column.arrow else array.cast(column.arrow, safe=False)


def _leaves(
    name: str, kind: inspect.Type, get: Getter, *, by_name: bool
) -> Iterator[tuple[str, pa.DataType, Getter]]:
    """The columns of a field."""
    inner, extra = _plain(kind)
    parts: list[tuple[str, inspect.Type, Getter]] = []
    if isinstance(inner, inspect.StructType):
        parts = [(f.encode_name, f.type, attrgetter(f.name)) for f in inner.fields]
    elif isinstance(inner, inspect.DictType):
        keys = _plain(inner.key_type)[1].get("keys", ())
        parts = [(key, inner.value_type, methodcaller("get", key)) for key in keys]
    for part, of, step in parts:
        yield from _leaves(f"{name}_{part}", of, _then(get, step), by_name=by_name)
    if parts:
        return
    arrow = _arrow(inner)
    named = by_name and name.rpartition("_")[2] in _TIME_WORDS
    if arrow == pa.int64() and (named or extra.get("unit") == "us"):
        arrow = TIME
    yield (name, pa.string(), _as_json(get)) if arrow is None else (name, arrow, get)


def _arrow(kind: inspect.Type) -> pa.DataType | None:
    if isinstance(kind, inspect.LiteralType):
        return pa.string() if all(isinstance(value, str) for value in kind.values) else None
    return _ARROW.get(type(kind))


def _plain(kind: inspect.Type) -> tuple[inspect.Type, dict[str, Any]]:
    """A type without null and annotations, and its extra annotations."""
    if isinstance(kind, inspect.UnionType):
        kinds = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
        return _plain(kinds[0]) if len(kinds) == 1 else (kind, {})
    if isinstance(kind, inspect.Metadata):
        return _plain(kind.type)[0], kind.extra or {}
    return kind, {}


def _both(one: TableColumn, other: TableColumn) -> TableColumn:
    if one.arrow == other.arrow:
        return TableColumn(one.name, one.arrow, {**one.get, **other.get})
    get = {kind: _as_json(get) for column in (one, other) for kind, get in column.get.items()}
    return TableColumn(one.name, pa.string(), get)


def _then(get: Getter, step: Getter) -> Getter:
    def both(row: Any) -> Any:
        value = get(row)
        return None if value is None else step(value)

    return both


def _as_json(get: Getter) -> Getter:
    def text(row: Any) -> str | None:
        value = get(row)
        return None if value is None else msgspec.json.encode(value).decode()

    return text
