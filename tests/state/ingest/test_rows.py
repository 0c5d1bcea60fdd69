"""Rows of a table become events by the declared types."""

import json
from typing import Annotated, Literal

import pytest
from msgspec import Meta

from state.events import HOUR_US, Event, TimeUs
from state.features import Field
from state.ingest.rows import Rows
from state.stream import Label, Stream


class Asked(Event, frozen=True, kw_only=True):
    """A field of every kind."""

    text: str
    maybe: str | None = None
    whole: Annotated[int, Meta(ge=0)] = 0
    number: float | None
    truth: bool = False
    when: TimeUs | None = None
    size: Literal["s", "m"] = "s"
    tags: tuple[str, ...] = ()


class Told(Event, frozen=True, kw_only=True):
    """The label."""

    of: str
    yes: bool


stream = Stream(
    name="tables",
    events=(Asked, Told),
    request=Asked,
    label=Label(
        on=Told,
        of="of",
        value=lambda told: told.yes,
        deadline=lambda asked: asked.time + HOUR_US,
        silence=False,
        delay="1h",
    ),
    features=(Field("number"),),
)
COLUMNS = ["type", "id", "time", "of", "yes", *Asked.__struct_fields__[3:], "more", ""]
US = 1_767_225_600_000_000


def event(row, **options):
    base = {"type": "asked", "id": "a", "time": str(US), "text": "x", "number": "1"}
    return json.loads(Rows(stream, COLUMNS, **options).event(base | row))


@pytest.mark.parametrize(
    ("name", "cell", "value"),
    [
        ("text", "007", "007"),
        ("text", "NA", "NA"),
        ("text", "", ""),
        ("text", 7, "7"),
        ("text", 7.0, "7"),
        ("text", 7.5, "7.5"),
        ("maybe", "a", "a"),
        ("whole", "007", 7),
        ("whole", " 12 ", 12),
        ("whole", "3.0", 3),
        ("whole", 3.0, 3),
        ("number", "1e3", 1000.0),
        ("number", "-.5", -0.5),
        ("number", "", None),
        ("number", "NaN", None),
        ("number", None, None),
        ("truth", "True", True),
        ("truth", "0", False),
        ("truth", 1, True),
        ("truth", 0.0, False),
        ("when", "2026-01-01", US),
        ("when", float(US), US),
        ("size", "m", "m"),
        ("tags", '["a"]', ["a"]),
    ],
)
def test_a_cell_becomes_what_its_field_is_declared_to_be(name, cell, value):
    found = event({name: cell})
    assert found[name] == value
    assert type(found[name]) is type(value)
    stream.decoder().decode(json.dumps(found))


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("whole", "1.5"),
        ("whole", "1_000"),
        ("whole", "9" * 40),
        ("number", "Infinity"),
        ("number", "1e999"),
        ("number", "0x10"),
        ("truth", "2"),
        ("when", "noon"),
        ("tags", "[a"),
    ],
)
def test_what_is_nothing_of_its_kind_stays_as_it_is(name, cell):
    assert event({name: cell})[name] == cell


def test_an_infinite_number_is_no_null():
    assert event({"number": float("inf")})["number"] == "inf"


@pytest.mark.parametrize("name", ["maybe", "whole", "truth", "when", "size"])
def test_an_empty_cell_leaves_its_default(name):
    assert name not in event({name: ""})


def test_no_time_of_pandas_is_an_empty_cell():
    assert "when" not in event({"when": "NaT"})


@pytest.mark.timeout(20)
def test_a_row_of_very_many_columns_takes_no_longer_for_each():
    """The first rows of such a table took minutes."""
    names = [f"c{i}" for i in range(60_000)]
    rows = Rows(stream, ["type", "id", *names])
    event = json.loads(rows.event({"type": "told", "id": "a", **dict.fromkeys(names, 1)}))
    assert (event["id"], len(rows.left_out), "c9" in event) == ("a", 60_000, False)


def test_columns_of_no_event_are_left_out_and_told_but_for_row_numbers():
    rows = Rows(stream, [*COLUMNS, "__index_level_0__", "Unnamed: 0"])
    assert rows.missed == ["more"]
    assert "more" not in event({"more": "x", "": "0"})


def test_a_cell_of_another_event_s_column_counts_only_if_it_is_filled():
    assert "of" not in event({"of": "", "yes": None})
    assert event({"of": "a"})["of"] == "a"  # and the shard refuses it


def test_a_row_names_its_type_or_has_that_of_its_table():
    assert event({"type": "told"})["type"] == "told"
    assert "type" not in event({"type": ""})  # and the shard refuses it
    assert event({"type": ""}, kind="told")["type"] == "told"
    assert event({"type": "tolled", "of": "a"})["of"] == "a"


def test_a_row_that_is_an_event_already_is_not_changed():
    raw = b'{"id":"a","type":"told","time":1767225600000000,"yes":true,"of":"a"}'
    assert Rows(stream, COLUMNS).event_of_json(raw) == raw


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        (["id", "time", "of", "yes", "text"], "told"),
        (["id", "time", "text", "number"], "asked"),
        (["id", "time", "text", "number", "of", "yes"], "asked"),
        (["id", "time", "text", "number", "of", "yes", "source"], "asked"),
        (["id", "time", "text", "number", "of", "more"], "asked"),
        (["id", "time", "type", "of", "yes"], None),
    ],
)
def test_rows_that_name_no_type_are_of_the_one_that_the_columns_fit_best(columns, kind):
    rows = Rows(stream, columns)
    assert (rows.kind, rows.is_guessed) == (kind, kind is not None)


def test_a_type_that_is_given_leaves_out_the_columns_of_others():
    columns = ["id", "time", "of", "yes", "text"]
    row = {"id": "a", "time": str(US), "of": "b", "yes": "1", "text": "x"}
    assert json.loads(Rows(stream, columns).event(row))["text"] == "x"  # and the shard refuses it
    for options in ({"kind": "told"}, {"skips_unknown": True}):
        assert "text" not in json.loads(Rows(stream, columns, **options).event(row))
    assert Rows(stream, columns, kind="told").missed == ["text"]
