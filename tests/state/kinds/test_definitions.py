"""Slips in a definition are told in one line when it is made."""

from dataclasses import replace

import pytest

from state.events import Event
from state.features import (
    Bins,
    Calendar,
    Category,
    Count,
    Custom,
    Elapsed,
    Ewma,
    Field,
    Last,
    Mean,
    Rolling,
)
from state.stream import Stream, StreamError
from tests.rides import Asked, Ended, Rain, Streak, stream

ROLLING = {"over": Ended, "by": ("city",), "windows": ("1h",), "stats": (Count(),)}


class Elsewhere(Event, frozen=True, kw_only=True):
    city: str


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rolling(**ROLLING | {"stats": (Count("x"))}), ("stats must be a tuple of Count or "
         "Sum or Mean or Rate; got Count(name='x') in Rolling: write (Count(name='x'),)")),
        (lambda: Rolling(**ROLLING | {"stats": ("x",)}),
         "stats must be a tuple of Count or Sum or Mean or Rate; got 'x' in Rolling"),
        (lambda: Rolling(**ROLLING | {"windows": ("1h")}),
         "windows must be a tuple of texts; got '1h' in Rolling: write ('1h',)"),
        (lambda: Rolling(**ROLLING | {"windows": (3600,)}),
         "windows must be a tuple of texts; got 3600 in Rolling"),
        (lambda: Rolling(**ROLLING | {"bucket": 60}),
         "bucket must be a text or None; got 60 in Rolling"),
        (lambda: Rolling(**ROLLING | {"over": "Ended"}),
         "over must be an event type or a mapping; got 'Ended' in Rolling"),
        (lambda: Field("price", transform="log"),
         "transform must be one of identity, log1p, logit; got 'log' in Field"),
        (lambda: Count(3), "name must be a text; got 3 in Count"),
        (lambda: Mean("m", 3), "of must be a text or a function; got 3 in Mean"),
        (lambda: Mean("m", "late", prior=True), "prior must be a number; got True in Mean"),
        (lambda: Field(("price",)), "name must be a text; got ('price',) in Field"),
        (lambda: Elapsed("e", "pickup", "arrive", "sqrt"),
         "transform must be one of identity, log1p, logit; got 'sqrt' in Elapsed"),
        (lambda: Calendar("pickup", "UTC", ("month",)), ("parts must be a tuple of minute_of_day, "
         "day_of_year, weekday, hour; got 'month' in Calendar")),
        (lambda: Calendar("pickup", "UTC", ("hour")), ("parts must be a tuple of minute_of_day, "
         "day_of_year, weekday, hour; got 'hour' in Calendar: write ('hour',)")),
        (lambda: Last(Rain, ("city",), ("wind"), "1h"),
         "values must be a tuple of texts; got 'wind' in Last: write ('wind',)"),
        (lambda: Ewma("e", Ended, ("city",), 5, 0.1, 0.0, "1h"),
         "of must be a text or a function; got 5 in Ewma"),
        (lambda: Ewma("e", Ended, ("city",), "late", "0.1", 0.0, "1h"),
         "rate must be a number; got '0.1' in Ewma"),
        (lambda: Bins("b", "price", (5)),
         "edges must be a tuple of numbers; got 5 in Bins: write (5,)"),
        (lambda: Custom(Streak()), "make must be a function; got <"),
        (lambda: replace(stream, features=(Field("price"))),
         "features must be a tuple of features; got Field("),
        (lambda: replace(stream, events=(Asked)),
         "events must be a tuple of event types; got <class 'tests.rides.Asked'> in Stream: write"),
        (lambda: replace(stream, events=(Asked, Ended, str)),
         "events must be a tuple of event types; got <class 'str'> in Stream"),
        (lambda: replace(stream, crosses=("city", "hour")),
         "crosses must be a tuple of pairs of columns; got 'city' in Stream"),
        (lambda: replace(stream, crosses=(("city", "hour", "car"),)),
         "crosses must be pairs of columns; got ('city', 'hour', 'car') in stream 'rides'"),
        (lambda: replace(stream, lateness=5), "lateness must be a text; got 5 in Stream"),
        (lambda: replace(stream, features=(Rolling(**ROLLING | {"over": Elsewhere}),), crosses=()),
         "over must be among the stream's events, or Labelled; got <class"),
        (lambda: replace(stream, events=(Asked, Ended, Rain, Ended)),
         "events must have types of their own; got Ended and Ended, both 'ended'"),
    ],
)  # fmt: skip
def test_a_slip_is_told_in_one_line(make, message):
    with pytest.raises(StreamError) as refused:
        make()
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "name", ["a\nb", 'so "called"', "back\\slash", " lead", "", "#1", "[columns]", "\u202e"]
)
def test_a_name_that_some_format_does_not_take_is_refused(name):
    feature = Ewma(name, Ended, ("city",), "late", 0.1, 0.0, "1h")
    with pytest.raises(StreamError, match="column must have a name without double quotes") as told:
        replace(stream, features=(feature,), crosses=())
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("tz", "message"),
    [
        ("Mars/Phobos", "got 'Mars/Phobos' in feature Calendar(hour)"),
        ("Europe/Berln", "in feature Calendar(hour): 'Europe/Berlin'?"),
        ("../../etc/passwd", "got '../../etc/passwd' in feature Calendar(hour)"),
        ("", "got '' in feature Calendar(hour)"),
        ("Europe", "got 'Europe' in feature Calendar(hour)"),
        ("a\0b", "in feature Calendar(hour)"),
    ],
)
def test_a_time_zone_that_there_is_not_is_refused(tz, message):
    features = (Category("city"), Calendar("pickup", tz, ("hour",)))
    with pytest.raises(StreamError, match="tz must be an IANA time zone") as refused:
        replace(stream, features=features)
    assert message in str(refused.value)


def test_two_types_that_differ_by_case_are_refused():
    class ASked(Asked, frozen=True, kw_only=True):
        """Its type on the wire is `asked` as well."""

    with pytest.raises(StreamError, match="got Asked and ASked, both 'asked', in stream 'rides'"):
        replace(stream, events=(*stream.events, ASked))


def test_lists_are_as_good_as_tuples():
    loose = Stream(
        "rides",
        [Asked, Ended, Rain],
        Asked,
        stream.label,
        [
            Rolling(Ended, ["city"], ["1h"], [Mean("late", "late")]),
            Last(Rain, ["city"], ["wind"], "1h"),
        ],
        crosses=[],
    )
    assert [column.name for column in loose.columns] == ["city_late_1h", "wind"]
    assert loose.events == (Asked, Ended, Rain)
