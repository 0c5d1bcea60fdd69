"""A stream's definition is checked when it is made, and an event when it is decoded."""

from dataclasses import replace
from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta

from state.events import HOUR_US, Event, TimeUs
from state.features import (
    Calendar,
    Category,
    Count,
    Custom,
    Elapsed,
    Ewma,
    Field,
    Labelled,
    Last,
    Mean,
    Rate,
    Rolling,
    Sum,
)
from state.stream import Label, Stream, StreamError
from tests.rides import START_US, Asked, Ended, Rain, encode, records, stream


class Elsewhere(Event, frozen=True, kw_only=True):
    """Of no stream."""

    free: int


def rolling(**changes):
    given = {"over": Ended, "by": ("city",), "windows": ("1h",), "stats": (Count(),)} | changes
    return Rolling(**given)


def by(*fields):
    """A label by a key of these."""
    return replace(stream.label, of=None, by=fields)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": (Field("prise"),)}, r"Field\(prise\) names field 'prise' that Asked lacks"),
        ({"features": (Category("colour"),)}, "'colour' that Asked lacks; it has id, time, source"),
        ({"features": (Elapsed("e", "time", "end"),)}, r"Elapsed\(e\) names field 'end'"),
        ({"features": (Calendar("planned", "UTC", ("hour",)),)}, "names field 'planned'"),
        ({"features": (rolling(by=("gate",)),)}, "names field 'gate' that Asked lacks"),
        ({"features": (rolling(over=Rain, by=("driver",)),)}, "'driver' that Rain lacks"),
        ({"features": (rolling(at="arrive"),)}, "'arrive' that Ended lacks"),
        ({"features": (rolling(stats=(Sum("s", "price"),)),)}, "'price' that Ended lacks"),
        ({"features": (rolling(over=Labelled, stats=(Sum("m", "late"),)),)}, "that Labelled lacks"),
        ({"features": (rolling(windows=("1 hour",)),)}, r"got '1 hour' in feature Rolling\(city"),
        ({"features": (rolling(windows=("1h",), bucket="soon"),)}, "got 'soon' in feature"),
        ({"features": (rolling(ahead="later"),)}, "got 'later' in feature"),
        ({"features": (Ewma("e", Ended, ("city",), "fare", 0.1, 0.0, "1d"),)}, "'fare' that Ended"),
        ({"features": (Last(Rain, ("city",), ("snow",), "1h"),)}, "'snow' that Rain lacks"),
        ({"features": (Last(Rain, ("city",), ("fell",), "never"),)}, "got 'never' in feature"),
        ({"features": (Field("price"), Field("price"))}, r"got \['price'\] more than once"),
        (
            {"features": tuple(Last(Ended, by, ("late",), "1h") for by in (("city",), ()))},
            r"\['late'\] more than once, in features Last\(late\), Last\(late\) of .* `names`",
        ),
        ({"features": (Ewma("label", Ended, (), "late", 0.1, 0.0, "1d"),)}, r"got \['label'\]"),
        ({"crosses": (("city", "price"),)}, "must pair categorical columns .* got 'price'"),
        ({"events": (Ended, Rain)}, "'rides' must list Asked among its events"),
        ({"label": replace(stream.label, on=Elsewhere)}, "must list Elsewhere among its events"),
        ({"label": replace(stream.label, of="ride")}, "label names field 'ride' that Ended lacks"),
        ({"label": replace(stream.label, delay="long")}, "got 'long' in label.delay"),
        ({"label": replace(stream.label, delay="0s")}, "label.delay must be longer than 0s"),
        ({"label": replace(stream.label, delay="0h")}, "label.delay must be longer than 0s"),
        ({"lateness": "-5m"}, "got '-5m' in lateness"),
        ({"dedup": ""}, "got '' in dedup"),
        ({"key": "wind"}, "key names field 'wind' that Asked lacks"),
        ({"partitions": 4}, "has 4 partitions: name a key"),
        ({"key": "driver"}, "'driver' of Asked must be a text, .*: route each event type by a fi"),
        ({"key": {Asked: "city", Ended: "city"}}, "or None for it; got none for Rain in stream"),
        (
            {"key": {Asked: "city", Ended: "city", Rain: None, Elsewhere: "of"}},
            "got one for Elsewhere in stream 'rides'",
        ),
        ({"key": {Asked: None, Ended: "of", Rain: None}}, "key must name a field of Asked, or"),
        ({"key": {Asked: "city", Ended: None, Rain: None}}, "key must name a field of Ended, or"),
        ({"key": {Asked: "city", Ended: "town", Rain: None}}, "'town' that Ended lacks; it has"),
        ({"label": replace(stream.label, by=("city",))}, "either `of` or `by`; got 'of' and "),
        ({"label": replace(stream.label, of=None)}, "either `of` or `by`; got None and None in"),
        ({"label": by("arrive")}, "label.by names field 'arrive' that Ended lacks"),
        (
            {"label": replace(stream.label, of=None, by={"driver": "city"})},
            r"pair texts with texts .* 'driver' of Asked \(int\) and 'city' of Ended \(str\) in",
        ),
        ({"features": ()}, "features must hold at least one; got none in stream 'rides'"),
        ({"features": (rolling(windows=("0h",)),)}, "window in microseconds must lie from 1"),
        ({"features": (Last(Rain, ("city",), ("fell",), "0s"),)}, "expires must be longer than 0s"),
        (
            {"features": (Ewma("e", Ended, ("city",), "late", 0.1, 0.0, "0d"),)},
            r"forget must be longer than 0s, or all is missing; got '0d' in feature Ewma\(e\)",
        ),
        ({"key": "city", "partitions": True}, "partitions must be a whole number; got True in S"),
        ({"label": by("car")}, "'car' of Asked must be a text or a number, never null"),
        ({"label": by("driver"), "key": "city"}, "label.by must hold the partition key, 'city' "),
        (
            {"label": by("city"), "key": {Asked: "city", Ended: "of", Rain: None}},
            "'city' of Asked and 'of' of Ended, or a label could be in another partition",
        ),
        ({"label": by(), "key": "city"}, r"got \(\) in stream 'rides': add it, or leave out"),
    ],
)  # fmt: skip
def test_a_wrong_definition_is_refused_with_the_name_of_what_is_wrong(changes, message):
    with pytest.raises(StreamError, match=message):
        replace(stream, **changes)


class Odd(Event, frozen=True, kw_only=True):
    """Fields of many kinds, each good for something and wrong for something else."""

    of: str = ""
    text: str = ""
    name: Literal["a", "b"] = "a"
    noted: Annotated[str, Meta(description="a free text")] = ""
    maybe_text: str | None = None
    number: Annotated[int, Meta(ge=0, le=9)] = 0
    share: float = 0.0
    maybe_share: float | None = None
    truth: bool = False
    tags: tuple[str, ...] = ()
    when: TimeUs = 0
    maybe_when: TimeUs | None = None
    said: Annotated[TimeUs, Meta(description="with the time of day")] = 0


def odd(feature, **changes):
    """A stream with one feature, on requests that are odd."""
    label = replace(stream.label, on=Odd, deadline=lambda event: event.time)
    return Stream("odd", (Odd,), Odd, label, (feature,), **changes)


def counted(**changes):
    given = {"over": Odd, "by": (), "windows": ("1h",), "stats": (Count(),)} | changes
    return Rolling(**given)


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        (Field("text"), r"'text' of Odd must be a number or null; got str in feature Field\(text"),
        (Field("tags"), "'tags' of Odd must be a number or null; got vartuple"),
        (Category("share"), "'share' of Odd must be a text, a whole number or null; got float in"),
        (Category("maybe_share"), "a text, a whole number or null; got float or null"),
        (Elapsed("e", "time", "number"), r"'number' of Odd must be a time, declared TimeUs, never"),
        (Elapsed("e", "maybe_when", "time"), "never null; got int or null in feature Elapsed"),
        (Elapsed("e", "when", "text"), "'text' of Odd must be a time"),
        (Calendar("share", "UTC", ("hour",)), "'share' of Odd must be a time, .*; got float"),
        (counted(at="maybe_when"), "'maybe_when' of Odd must be a time, .*; got int or null"),
        (counted(at="text"), "'text' of Odd must be a time, .*; got str in feature Rolling"),
        (counted(over=Labelled, at="label"), "'label' of Labelled must be a time"),
        (counted(by=("maybe_text",)), "'maybe_text' of Odd must be a text or a number, never null"),
        (counted(by=("text", "tags")), "'tags' of Odd must be a text or a number, .*; got var"),
        (counted(stats=(Mean("m", "text"),)), "'text' of Odd must be a number or null; got str"),
        (counted(stats=(Sum("m", "maybe_text"),)), "a number or null; got str or null in"),
        (
            counted(over=Labelled, stats=(Rate("m", "request"),)),
            "'request' of Labelled must be a number or null; got any",
        ),
        (Ewma("e", Odd, ("text",), "name", 0.1, 0.0, "1d"), "a number or null; got literal"),
        (Ewma("e", Odd, ("maybe_text",), "share", 0.1, 0.0, "1d"), "'maybe_text' .* never null"),
        (Last(Odd, ("text",), ("noted",), "1h"), r"'noted' of Odd must be a number .*Last\(noted"),
        (Last(Odd, ("maybe_text",), ("share",), "1h"), "'maybe_text' of Odd must be .* never null"),
    ],
)  # fmt: skip
def test_a_field_of_the_wrong_kind_is_refused_with_its_name_and_the_feature_s(feature, message):
    with pytest.raises(StreamError, match=message):
        odd(feature)


@pytest.mark.parametrize(
    "feature",
    [
        *map(Field, ("number", "share", "maybe_share", "truth", "time")),
        *map(Category, ("text", "name", "noted", "maybe_text", "source")),
        *(Elapsed("e", "time", until) for until in ("time", "when", "said")),
        *(counted(at=at) for at in ("time", "when", "said")),
        *(counted(by=(by,)) for by in ("text", "name", "noted", "number", "truth")),
        *(counted(stats=(Mean("m", of),)) for of in ("share", "maybe_share", "truth", "number")),
        counted(over=Labelled, stats=(Rate("m", "label"), Mean("t", "time"))),
        Last(Odd, ("text",), ("share", "maybe_share"), "1h"),
    ],
)
def test_fields_of_the_right_kind_are_taken(feature):
    assert odd(feature).features == (feature,)


@pytest.mark.parametrize("key", ["maybe_text", "number"])
def test_the_partition_key_must_be_a_text(key):
    with pytest.raises(StreamError, match=f"field '{key}' of Odd must be a text, never null; got"):
        odd(Field("share"), key=key)


def test_a_whole_number_that_must_be_a_text_is_told_how_to_be_one():
    class Numbered(Event, frozen=True, kw_only=True):
        account: int

    label = Label(
        on=Numbered,
        of="id",
        value=lambda _: True,
        deadline=lambda event: event.time,
        silence=None,
        delay="1h",
    )
    with pytest.raises(StreamError, match="declared as str, it takes the whole numbers of files"):
        Stream(
            name="numbered",
            events=(Numbered,),
            request=Numbered,
            label=label,
            features=(Field("account"),),
            key="account",
        )


def test_the_label_names_its_request_by_a_text():
    label = replace(stream.label, on=Odd, of="number")
    with pytest.raises(StreamError, match="'number' of Odd must be a text or null; got int in lab"):
        Stream("odd", (Odd,), Odd, label, ())


def test_an_id_is_remembered_for_as_long_as_its_event_could_count_again():
    feature = counted(windows=("30m", "3h"))
    assert odd(feature, lateness="10m", dedup="190m").dedup == "190m"
    message = (
        "dedup must be at least 190m, lateness and the longest window together, .* "
        "got '189m' in stream 'odd'"
    )
    with pytest.raises(StreamError, match=message):
        odd(feature, lateness="10m", dedup="189m")


@pytest.mark.parametrize(
    ("windows", "lateness", "dedup"),
    [(("30m",), "0s", "6h"), (("3h", "24h"), "0s", "1d"), (("24h",), "90m", "1530m")],
)
def test_an_id_is_remembered_for_long_enough_unless_the_stream_says_how_long(
    windows, lateness, dedup
):
    defaulted = odd(counted(windows=windows), lateness=lateness)
    assert defaulted.dedup == dedup
    assert defaulted == replace(defaulted, dedup=dedup)


def test_every_column_has_a_place_in_the_order_of_the_features():
    names = [column.name for column in stream.columns]
    assert names[:9] == ["city", "car", "hour", "weekday", "minute_of_day", "day_of_year", "price",
                         "ride_minutes", "all_ended_10m"]  # fmt: skip
    assert names[-4:] == ["fell", "wind", "streak", "since_ride"]
    assert [c.name for c in stream.columns if c.categorical] == ["city", "car", "hour", "weekday"]
    assert {c.name: c.transform for c in stream.columns if c.transform != "identity"} == {
        "price": "log1p",
        "all_ended_10m": "log1p",
        "all_ended_1h": "log1p",
        "city_driver_count_30m": "log1p",
        "city_driver_count_2h": "log1p",
        "city_open_20m": "log1p",
        "city_open_1h": "log1p",
        "driver_known_1h": "log1p",
        "driver_late_1h": "logit",
        "usual": "logit",
    }


def test_the_horizon_is_the_longest_window():
    assert stream.horizon_us == 2 * HOUR_US
    assert replace(stream, features=(Field("price"),), crosses=()).horizon_us == HOUR_US


def test_what_an_event_says_of_the_future_lies_within_what_was_declared():
    check = stream.check()
    good = Asked(id="a", time=START_US, city="b", driver=1, price=1.0,
                 pickup=START_US + HOUR_US // 2, arrive=START_US + HOUR_US)  # fmt: skip
    change = msgspec.structs.replace
    assert check(good) is None
    assert check(change(good, pickup=0, arrive=0)) is None
    assert check(change(good, pickup=good.pickup + 1)) == "pickup must be at most 30m after time"
    limit = START_US + 2 * HOUR_US - 10 * 60_000_000
    assert check(change(good, arrive=limit)) is None
    assert check(change(good, arrive=limit + 1)) == (
        "the label's deadline must be at most 2h after time"
    )
    label = replace(stream.label, deadline=lambda asked: -(2**63) - asked.time)
    early = replace(stream, label=label).check()
    assert early(good) == "the label's deadline must not be before 1970"


def test_every_event_of_the_history_passes_and_comes_back_the_same():
    decode, check = stream.decoder().decode, stream.check()
    for record in records(200):
        event = decode(record.value)
        assert check(event) is None
        assert encode(event) == record.value


class Counted(Event, frozen=True, kw_only=True):
    """Its number has no bounds."""

    city: str
    number: int
    other: int | None = None


@pytest.mark.parametrize("name", ["number", "other"])
def test_a_whole_number_without_bounds_must_fit_64_bits(name):
    check = replace(stream, events=(*stream.events, Counted)).check()
    event = Counted(id="a", time=0, city="b", number=0)
    assert check(event) is None
    for number in (2**63 - 1, -(2**63)):
        assert check(msgspec.structs.replace(event, **{name: number})) is None
    for number in (2**63, -(2**63) - 1, 10**400):
        wrong = check(msgspec.structs.replace(event, **{name: number}))
        assert wrong == f"{name} must fit 64 bits"


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (b'{"type":"rain","time":5,"city":"ber"}', (5, b"ber")),
        (b'{"city":"b\xc3\xa9r","time":0,"more":[1,{"a":2}]}', (0, "bér".encode())),
        (b'{"time":5}', (None, b"")),
        (b'{"time":5,"city":7}', (None, b"")),
        (b'{"time":"5","city":"ber"}', (None, b"")),
        (b'{"time":-5,"city":"ber"}', (None, b"")),
        (b'{"time":4102444800000000,"city":"ber"}', (None, b"")),
        (b'{"time":1' + b"0" * 400 + b',"city":"ber"}', (None, b"")),
        (b"[" * 100_000, (None, b"")),
        (b'{"a":' * 100_000, (None, b"")),
        (b'{"time":5,"city":"\xff"}', (None, b"")),
        (b"\0", (None, b"")),
        (b"", (None, b"")),
    ],
)
def test_peeking_finds_time_and_key_or_nothing(value, seen):
    assert replace(stream, key="city", partitions=3).peek()(value) == seen


def test_without_a_key_only_the_time_is_peeked():
    assert stream.peek()(b'{"time":5}') == (5, b"")


def test_a_field_that_json_has_by_another_name_is_refused():
    class Sent(Event, frozen=True, kw_only=True, rename={"sender": "from"}):
        sender: str

    changed = {"events": (*stream.events, Sent)}
    with pytest.raises(
        StreamError, match="got 'sender' of Sent, renamed to 'from', in stream 'rides'"
    ):
        replace(stream, **changed)


class Wordless:
    columns = ("x",)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replace(stream, name=""), "name must be a text on one line; got '' in Stream"),
        (lambda: replace(stream, name="a\nb"), "name must be a text on one line; got 'a"),
        (lambda: labelled(on="ended"), "label.on must be an event type; got 'ended'"),
        (lambda: labelled(delay=3600), "label.delay must be a text such as '1h'; got 3600"),
        (
            lambda: labelled(of=3),
            "label.by must be a tuple of field names, label.of one; got None and",
        ),
        (
            lambda: labelled(of=None, by="city"),
            "label.by must be a tuple of field names, label.of one",
        ),
        (
            lambda: labelled(of=None, by=(3,)),
            "label.by must be a tuple of field names, label.of one",
        ),
        (
            lambda: replace(stream, features=(rolling(over={}),)),
            "over must name an event type at least",
        ),
        (
            lambda: Custom(make=lambda: None),
            "make must give a hook; got None without columns in Custom",
        ),
        (lambda: Custom(make=Wordless), "without observes in Custom"),
        (
            lambda: Custom(make=lambda: 1 // 0),
            "make must give a hook; got ZeroDivisionError 'integer",
        ),
    ],
)
def test_a_wrong_argument_is_told_in_one_line(make, message):
    with pytest.raises(StreamError, match=message) as told:
        make()
    assert "\n" not in str(told.value)


def labelled(**changes):
    return replace(stream, label=replace(stream.label, **changes))
