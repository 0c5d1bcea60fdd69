"""Convert records of each topic to rows of a table."""

from collections.abc import Callable, Collection, Sequence
from functools import reduce
from operator import attrgetter, or_
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from state.log import EVENTS, Record
from state.outputs.columns import TIME, TableColumn, columns_of, schema_of, table_of, union_of
from state.outputs.records import outcome_type
from state.stream import Stream
from state.stream_functions import raise_blamed
from state.user_code import USER_CODE_ERRORS


class PartitionRecord(NamedTuple):
    """A record and its partition."""

    partition: int
    record: Record


_PLACES = (
    TableColumn("partition", pa.int64(), {PartitionRecord: attrgetter("partition")}),
    TableColumn("append_time", TIME, {PartitionRecord: attrgetter("record.append_time")}),
)
_OFFSET = TableColumn("offset", pa.int64(), {PartitionRecord: attrgetter("record.offset")})

_Names = Collection[str] | None
_Values = tuple[Sequence[TableColumn], Callable[[bytes], Any]]
"""The columns of values, and the decoder of a value."""


class TopicRows:
    """Converts records of a topic to rows.

    Args:
        topic: Name of the topic.
        places: Columns of the record itself; a column of the value with the same name replaces one.
        values: Returns columns and decoder of the values, for the given names or all (None).

    Attributes:
        schema: Schema of all columns.
    """

    def __init__(
        self, topic: str, places: Sequence[TableColumn], values: Callable[[_Names], _Values]
    ) -> None:
        columns = values(None)[0]
        names = {column.name for column in columns}
        self._topic = topic
        self._places = [place for place in places if place.name not in names]
        self._values = values
        self.schema: pa.Schema = schema_of([*self._places, *columns])

    def reader(self, names: _Names = None) -> Callable[[Sequence[PartitionRecord]], pa.Table]:
        """A function from records to a table with all columns, or the named ones.

        It raises a ValueError if a value is not a record of this topic.
        """
        wanted = set(self.schema.names if names is None else names)
        places = [place for place in self._places if place.name in wanted]
        of_values, decode = self._values(names)
        columns = [column for column in of_values if column.name in wanted]
        schema = schema_of([*places, *columns])

        def read(records: Sequence[PartitionRecord]) -> pa.Table:
            values = self._decoded(records, decode) if columns else []
            arrays = [
                *table_of(places, records).itercolumns(),
                *table_of(columns, values).itercolumns(),
            ]
            return pa.Table.from_arrays(arrays, schema=schema)

        return read

    def _decoded(
        self, records: Sequence[PartitionRecord], decode: Callable[[bytes], Any]
    ) -> list[Any]:
        values: list[Any] = []
        try:
            values.extend(decode(one.record.value) for one in records)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            partition, record = records[len(values)]
            place = f"{self._topic}/{partition} at offset {record.offset}"
            msg = f"record must be one of this topic; got '{error}' in {place}: another stream?"
            raise ValueError(msg) from error
        return values


Declared = Stream | type[msgspec.Struct] | tuple[type[msgspec.Struct], ...]
"""The declaration of a topic's fields; in a tuple, each record is one of these tagged structs."""


def rows_of(topic: str, of: Declared | None) -> TopicRows:
    """Make the converter for the records of a topic.

    Each row has `partition` and `append_time` of its record beside the value's fields. `events` has
    a row for every record, valid or not: its `offset`, its `type`, a column for each field of any
    event type (null in rows of other types), and in `raw` the bytes of a record that is not an
    event.

    Args:
        topic: Name of the topic.
        of: The stream for `events` and `outcomes`; else the struct or structs of the records.

    Raises:
        ValueError: `of` is missing or of the wrong kind for this topic.
    """
    if topic in {EVENTS, "outcomes"}:
        if not isinstance(of, Stream):
            msg = f"topic {topic!r} must be read with its stream; got {of!r}"
            raise ValueError(msg)
        return _events(of) if topic == EVENTS else _structs(topic, outcome_type(of))
    if of is None or isinstance(of, Stream):
        msg = f"topic {topic!r} must be read with the struct of its records; got {of!r}"
        raise ValueError(msg)
    if isinstance(of, tuple):
        decode = msgspec.json.Decoder(reduce(or_, of)).decode
        return TopicRows(topic, _PLACES, lambda _: (_tagged(of), decode))
    return _structs(topic, of)


def decoder_of(
    kind: type[msgspec.Struct], names: _Names = None
) -> tuple[list[TableColumn], Callable[[bytes], Any]]:
    """Columns and decoder of records of one struct; unwanted fields are not decoded.

    A missing field is null. If all fields are wanted, an unknown field is an error: it would be
    lost.
    """
    wanted = [
        field
        for field in msgspec.structs.fields(kind)
        if names is None or any(f"{n}_".startswith(f"{field.encode_name}_") for n in names)
    ]
    fields = [(one.name, one.type, msgspec.field(**_default(one))) for one in wanted]
    row = msgspec.defstruct(
        kind.__name__,
        fields,
        kw_only=True,
        forbid_unknown_fields=names is None,
        gc=False,
        rename={one.name: one.encode_name for one in wanted},
    )
    return columns_of(row), msgspec.json.Decoder(row).decode


def _default(field: msgspec.structs.FieldInfo) -> dict[str, Any]:
    if field.default is not msgspec.NODEFAULT:
        return {"default": field.default}
    if field.default_factory is not msgspec.NODEFAULT:
        return {"default_factory": field.default_factory}
    return {"default": None}


def _structs(topic: str, kind: type[msgspec.Struct]) -> TopicRows:
    return TopicRows(topic, _PLACES, lambda names: decoder_of(kind, names))


def _tagged(kinds: Sequence[type[msgspec.Struct]]) -> list[TableColumn]:
    tags = {kind: kind.__struct_config__.tag for kind in kinds}
    of_type = TableColumn("type", pa.string(), dict.fromkeys(kinds, lambda row: tags[type(row)]))
    return [of_type, *union_of(kinds)]


def _events(stream: Stream) -> TopicRows:
    columns = _tagged(stream.events)
    if all(column.name != "raw" for column in columns):
        columns.append(TableColumn("raw", pa.binary(), {bytes: lambda raw: raw}))
    decode, check = stream.decoder().decode, stream.check()

    def event_or_raw(raw: bytes) -> Any:
        try:
            event = decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return raw
        except USER_CODE_ERRORS as error:
            raise_blamed(stream, error, f"in {EVENTS}")
            raise
        try:
            wrong = check(event)
        except USER_CODE_ERRORS as error:
            raise_blamed(stream, error, f"in {EVENTS}")
            raise
        return event if wrong is None else raw

    return TopicRows(EVENTS, (*_PLACES, _OFFSET), lambda _: (columns, event_or_raw))
