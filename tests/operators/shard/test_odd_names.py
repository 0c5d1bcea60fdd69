"""Outcomes have the columns of their stream, whatever those are called."""

from dataclasses import replace

import msgspec
import pytest

from operators.shard.messages import Records
from operators.shard.shard import Shard
from state.features import Category, Count, Rolling
from state.outputs.records import outcome_type
from state.outputs.topic_rows import PartitionRecord, rows_of
from tests.operators.shard_runs import SETTINGS, rides_shard
from tests.rides import Ended, numbered, records, stream

NAMES = [
    "bids.all",
    "two words",
    "a,b",
    "so 'called'",
    "class",
    "größe",
    "x=1",
    "{x}",
    "[x]",
    "1st",
]


def odd_stream(names):
    features = tuple(Rolling(Ended, ("city",), ("1h",), (Count(name),)) for name in names)
    return replace(stream, features=(Category("city"), *features), crosses=())


def test_names_that_are_no_identifiers_simply_work():
    odd = odd_stream(NAMES)
    shard, written = Shard(odd, SETTINGS, 0), []
    emitted = shard.apply(Records(records(300)))
    _, written = emitted.entries["outcomes"]
    columns = [f"city_{name}_1h" for name in NAMES]
    assert [column.name for column in odd.columns] == ["city", *columns]
    assert list(msgspec.json.decode(written[-1].value))[-len(columns) :] == columns
    rows = rows_of("outcomes", odd)
    made = [
        PartitionRecord(0, record)
        for record in numbered((e.append_time, e.key, e.value) for e in written)
    ]
    table = rows.reader()(made)
    assert table.column_names[-len(columns) :] == columns
    value = msgspec.json.decode(written[-1].value)[columns[0]]
    assert table[columns[0]][-1].as_py() == value
    few = rows.reader([columns[0], "label"])(made)
    assert sorted(few.column_names) == sorted([columns[0], "label"])


def test_a_keyword_is_a_name_like_any_other():
    kind = outcome_type(odd_stream([]))
    assert [field.name for field in msgspec.structs.fields(kind)][-1] == "city"


@pytest.mark.parametrize("name", NAMES)
def test_each_name_comes_back(name):
    kind = outcome_type(odd_stream([name]))
    assert msgspec.structs.fields(kind)[-1].encode_name == f"city_{name}_1h"


def test_the_outcomes_of_plain_names_are_as_they_were():
    assert [f.name for f in msgspec.structs.fields(outcome_type(rides_shard().stream))] == [
        f.encode_name for f in msgspec.structs.fields(outcome_type(stream))
    ]
