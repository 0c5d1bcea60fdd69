"""Columns have the types that are declared, whatever the values."""

from typing import Annotated, Literal

import msgspec
import pyarrow as pa
import pytest

from operators.shard.shard import MODELS
from state.events import Event, TimeUs
from state.outputs.columns import columns_of, schema_of, table_of, union_of
from state.outputs.records import Metrics

Key = Annotated[str, msgspec.Meta(extra={"keys": ("a", "b")})]


class Inner(msgspec.Struct):
    n: int
    end: int


class Outer(msgspec.Struct):
    event_time: int
    id: str
    wind: float | None
    late: bool
    count: int
    raw: bytes
    word: Literal["x", "y"]
    inner: Inner | None
    by_key: dict[Key, Inner]
    open: dict[str, int]
    tags: list[str] | None
    either: int | str


NULLS = Outer(0, "", None, False, 0, b"", "x", None, {}, {}, None, 0)
FULL = Outer(
    1_356_998_400_000_999, "i", 1.5, True, 2**60, b"\xff", "y",
    Inner(1, 5_000), {"b": Inner(2, 6_999), "c": Inner(3, 0)}, {"q": 7}, ["t"], "s",
)  # fmt: skip
TYPES = {
    "event_time": "timestamp[ms]",
    "id": "string",
    "wind": "double",
    "late": "bool",
    "count": "int64",
    "raw": "binary",
    "word": "string",
    "inner_n": "int64",
    "inner_end": "timestamp[ms]",
    "by_key_a_n": "int64",
    "by_key_a_end": "timestamp[ms]",
    "by_key_b_n": "int64",
    "by_key_b_end": "timestamp[ms]",
    "open": "string",
    "tags": "string",
    "either": "string",
}


@pytest.mark.parametrize("rows", [[], [NULLS], [FULL], [NULLS, FULL]])
def test_types_follow_from_the_declaration_alone(rows):
    table = table_of(columns_of(Outer), rows)
    assert {field.name: str(field.type) for field in table.schema} == TYPES


def test_records_within_records_are_flat_and_open_ones_are_json():
    table = table_of(columns_of(Outer), [NULLS, FULL])
    row = {name: column.to_pylist()[1] for name, column in zip(TYPES, _whole(table), strict=True)}
    assert row == {
        "event_time": 1_356_998_400_000,
        "id": "i",
        "wind": 1.5,
        "late": True,
        "count": 2**60,
        "raw": b"\xff",
        "word": "y",
        "inner_n": 1,
        "inner_end": 5,
        "by_key_a_n": None,
        "by_key_a_end": None,
        "by_key_b_n": 2,
        "by_key_b_end": 6,
        "open": '{"q":7}',
        "tags": '["t"]',
        "either": '"s"',
    }
    nulls = {name for name in TYPES if table[name][0].as_py() is None}
    assert nulls == {"wind", "inner_n", "inner_end", "tags"} | {n for n in TYPES if "by_key" in n}


def _whole(table):
    """Columns with times as whole numbers."""
    times = map(pa.types.is_timestamp, table.schema.types)
    return [
        column.cast(pa.int64()) if is_time else column
        for column, is_time in zip(table.itercolumns(), times, strict=True)
    ]


class Rose(Event, frozen=True, kw_only=True):
    size: int
    at: TimeUs
    end: int


class Fell(Event, frozen=True, kw_only=True):
    size: float
    at: TimeUs | None
    depth: int


def test_the_union_of_events_has_each_field_once_and_json_where_types_differ():
    columns = union_of([Rose, Fell])
    assert {field.name: str(field.type) for field in schema_of(columns)} == {
        "id": "string",
        "time": "timestamp[ms]",
        "source": "string",
        "size": "string",
        "at": "timestamp[ms]",
        "end": "int64",
        "depth": "int64",
    }
    rows = [
        Rose(id="a", time=0, size=1, at=2000, end=9),
        Fell(id="b", time=0, size=0.5, at=None, depth=3),
        b"?",
    ]
    table = table_of(columns, rows).to_pydict()
    assert table["id"] == ["a", "b", None]
    assert table["size"] == ["1", "0.5", None]
    assert table["end"] == [9, None, None]
    assert table["depth"] == [None, 3, None]


def test_a_number_that_does_not_fit_is_an_error():
    with pytest.raises(TypeError, match="Int64"):
        table_of(columns_of(Inner), [Inner(2**63, 0)])


def test_the_losses_of_every_model_have_their_columns():
    names = schema_of(columns_of(Metrics)).names
    assert {
        name[len("total_") : -len("_log_loss")]
        for name in names
        if name.startswith("total_") and name.endswith("_log_loss")
    } == set(MODELS)
