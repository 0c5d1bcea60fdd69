"""Rows of a table are taken for a type only if no other one can be meant."""

import pytest

from state.events import HOUR_US, Event
from state.features import Field
from state.ingest.row_type import RowTypeError, check_columns, row_type
from state.stream import Label, Stream


class Status(Event, frozen=True, kw_only=True):
    station: str
    district: str
    bikes: int
    note: str | None = None


class Counted(Event, frozen=True, kw_only=True):
    station: str
    bikes: int


class Ping(Event, frozen=True, kw_only=True):
    """All fields have defaults."""

    host: str = ""


class Tick(Event, frozen=True, kw_only=True):
    """There are no fields of its own."""


def of(*events):
    return Stream(
        name="bikes",
        events=events,
        request=events[0],
        label=Label(
            on=events[-1],
            of=None if len(events) > 1 else "id",
            by=("station",) if len(events) > 1 else (),
            value=lambda counted: counted.bikes <= 2,
            deadline=lambda status: status.time + HOUR_US,
            silence=None,
            delay="1h",
        ),
        features=(Field("bikes"),),
    )


stream = of(Status, Counted)
FULL = {"id", "time", "station", "district", "bikes"}


@pytest.mark.parametrize(
    ("columns", "unknown", "kind"),
    [
        (FULL, [], "status"),
        (FULL, ["weather"], "status"),
        (FULL | {"note"}, ["weather", "more"], "status"),
        (FULL - {"district"}, [], "counted"),
    ],
)
def test_columns_that_fit_one_type_alone_tell_it(columns, unknown, kind):
    assert row_type(stream, {*columns, *unknown}, unknown, "t.csv") == kind


@pytest.mark.parametrize(
    ("columns", "unknown", "named"),
    [
        # A forgotten rename of one column of a request makes a label of it.
        (FULL - {"district"}, ["Bezirk"], "'district'"),
        (FULL - {"district"}, ["Bezirk", "weather"], "'district'"),
        # Columns that only a request has, without another of its own.
        (FULL - {"district"} | {"note"}, [], "'status'"),
    ],
)
def test_columns_that_another_type_may_have_too_tell_none(columns, unknown, named):
    with pytest.raises(RowTypeError, match=r"must be certain; got 'counted'") as told:
        row_type(stream, {*columns, *unknown}, unknown, "t.csv")
    for part in (named, "'status'", *unknown, "in t.csv", "--type counted", "--rename OLD=NEW"):
        assert part in str(told.value)


@pytest.mark.parametrize("events", [(Status, Ping, Counted), (Status, Tick, Counted)])
def test_a_type_without_columns_of_its_own_takes_no_rows_of_others(events):
    unknown = ["Station", "Bezirk", "Anzahl"]
    with pytest.raises(RowTypeError, match="must be certain"):
        row_type(of(*events), {"id", "time", *unknown}, unknown, "t.csv")


def test_a_type_of_defaults_is_refused_where_none_of_its_fields_is_there():
    events = of(Status, Ping, Counted)
    with pytest.raises(RowTypeError, match=r"'ping', of whose own fields \('host'\) none is"):
        row_type(events, {"id", "time", "Host"}, ["Host"], "t.csv")
    assert row_type(events, {"id", "time", "host"}, [], "t.csv") == "ping"
    assert row_type(events, {"id", "time"}, [], "t.csv") == "ping"
    assert row_type(of(Status, Tick, Counted), {"id", "time", "Host"}, ["Host"], "t") == "tick"


def test_columns_of_no_type_are_refused_with_those_that_each_lacks():
    with pytest.raises(RowTypeError) as told:
        row_type(stream, {"id", "time", "bikes", "Station"}, ["Station"], "t.csv")
    assert str(told.value).startswith(
        "columns must be those of an event type; got 'status' lacks 'district', 'station'; "
        "'counted' lacks 'station', with the unknown columns 'Station', in t.csv: --rename OLD=NEW"
    )


def test_rows_of_a_given_type_need_its_columns():
    check_columns(stream, "status", FULL, [], "t.csv")
    with pytest.raises(RowTypeError, match=r"those of 'status'; got 'status' lacks 'district'"):
        check_columns(stream, "status", FULL - {"district"}, ["Bezirk"], "t.csv")
