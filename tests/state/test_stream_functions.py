"""A function of the stream that fails is told in one line: function, event, place."""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from operator import attrgetter, itemgetter
from typing import ClassVar

import msgspec
import pytest

from operators.shard.messages import Records
from operators.shard.shard import Shard
from state.admission.no_event import Judge
from state.durations import Duration
from state.events import Event
from state.features import Custom, Ewma, Labelled, Mean, Rolling
from state.ingest.mapping import Foreign, Mapper
from state.ingest.objects import Objects
from state.ingest.rows import Rows
from state.log import Record
from state.outputs.records import DeadLetter
from state.outputs.topic_rows import PartitionRecord, rows_of
from state.settings import ForeignTopic, Settings
from state.stream import StreamError
from state.stream_functions import StreamFunctionError
from tests.asks import Ask, Tell, ask, by_key, log, stream_of, tell
from tests.asks import label as asks_label
from tests.rides import Asked, Ended, Rain, Streak, records, stream

EVENTS = records(200)


def run(of, taken=EVENTS):
    shard = Shard(of, Settings(), 0)
    shard.apply(Records(taken))
    return shard


def first(kind, taken=EVENTS):
    """The first record of a type, as its offset and its event."""
    decode = stream.decoder().decode
    decoded = ((record.offset, decode(record.value)) for record in taken)
    return next((offset, event) for offset, event in decoded if isinstance(event, kind))


def failing(*_):
    return 1 // 0


class MuteError(Exception):
    """It cannot even tell its message."""

    def __str__(self):
        return failing()


def mute(*_):
    raise MuteError


def ending(*_):
    sys.exit(0)


def rolling(of, over=Ended):
    return Rolling(over=over, by=("city",), windows=("1h",), stats=(Mean("m", of),))


def label(**changes):
    return replace(stream, label=replace(stream.label, **changes))


def features(*some):
    return replace(stream, features=some, crosses=())


class Loud(Streak):
    def observe(self, event):
        super().observe(event)
        msg = "no such driver"
        raise LookupError(msg)


class Wordy(Streak):
    def values(self, _):
        return ("many", 1.0)


class Stuck(Streak):
    def snapshot(self):
        return failing()


@pytest.mark.parametrize(
    ("kind", "of", "told"),
    [
        (Ended, label(value=lambda event: event.late // 0), "label.value must not raise"),
        (Ended, label(value=partial(failing)), "label.value must not raise; got ZeroDivisionError"),
        (Ended, label(value=attrgetter("lat")), "label.value must not raise; got AttributeError"),
        (Asked, label(deadline=lambda asked: asked.end), "label.deadline must not raise"),
        (
            Ended,
            features(rolling(lambda ended: {}[ended.city])),
            r"of of Mean\('m'\) in Rolling\(city_m_1h\) must not raise; got KeyError",
        ),
        (Ended, features(rolling(itemgetter(0))), r"of of Mean\('m'\) .* got TypeError"),
        (
            Ended,
            features(rolling(lambda _: None)),
            r"must return a number; got None .*: NaN says that a reading is missing",
        ),
        (Ended, features(rolling(lambda _: "5")), "must return a number; got '5'"),
        (Ended, features(rolling(lambda _: 10**400)), "must return a number; got 100000"),
        (
            Rain,
            features(Ewma("e", Rain, ("city",), failing, 0.1, 0.0, "1d")),
            r"of of Ewma\(e\) must not raise; got ZeroDivisionError",
        ),
        (Ended, label(value=mute), "MuteError 'a message that raises ZeroDivisionError'"),
        (Ended, label(value=ending), "label.value must not raise; got SystemExit '0'"),
        (Asked, label(deadline=ending), "label.deadline must not raise; got SystemExit '0'"),
        (Ended, features(rolling(ending)), "must not raise; got SystemExit '0'"),
        (Ended, features(Custom(Loud)), "observe of hook Loud must not raise; got LookupError"),
    ],
)  # fmt: skip
def test_it_names_the_function_the_event_and_its_place(kind, of, told):
    offset, event = first(kind)
    tag = kind.__name__.lower()
    with pytest.raises(StreamFunctionError, match=told) as raised:
        run(of)
    message = str(raised.value)
    assert f"for {tag} {event.id!r} in events/0 at offset {offset}" in message
    assert "\n" not in message


def test_it_names_the_line_of_a_function_of_python():
    line = failing.__code__.co_firstlineno + 1
    with pytest.raises(StreamFunctionError, match=rf"\(test_stream_functions.py line {line}\)"):
        run(label(value=failing))


class Picky(Event, frozen=True, kw_only=True):
    """An event with a rule of its own."""

    shop: str
    raises: ClassVar[Callable[[], Exception]]

    def __post_init__(self):
        raise type(self).raises()


PICKY = b'{"type":"picky","id":"p","time":1704067200000000,"shop":"a"}'


PICKY_TOPIC = (ForeignTopic(topic="t", event="picky"),)


@pytest.fixture
def picky():
    """A stream with such an event."""
    Picky.raises = KeyError
    return stream_of(events=(Ask, Tell, Picky))


@pytest.mark.parametrize("raises", [KeyError, SystemExit, MuteError])
@pytest.mark.parametrize("read", [
    lambda of, raw: Shard(of, Settings(), 0).apply(Records([Record(0, 0, b"a", raw)])),
    lambda of, raw: Judge(of).event(Rows(of, ["type", "shop"]).event_of_json(raw)),
    lambda of, raw: Judge(of).event(Objects(of).of(raw)),
    lambda of, raw: rows_of("events", of).reader()([PartitionRecord(0, Record(0, 0, b"a", raw))]),
    lambda of, raw: Mapper(of, PICKY_TOPIC).map(Foreign("t", 0, 0, 0, b"", {}, raw)),
], ids=["shard", "row", "object", "export", "foreign"])  # fmt: skip
def test_a_rule_of_an_event_that_fails_is_told_by_all_that_read_it(picky, raises, read):
    Picky.raises = raises
    told = f"__post_init__ of Picky must not raise; got {raises.__name__} "
    with pytest.raises(StreamFunctionError, match=told):
        read(picky, PICKY)


def letters(of, taken):
    out = Shard(of, Settings(), 0).apply(Records(taken)).entries["dead_letters"][1]
    return [msgspec.json.decode(entry.value, type=DeadLetter).detail for entry in out]


def test_words_of_an_error_that_are_no_utf_8_are_escaped_in_its_dead_letter(picky):
    Picky.raises = lambda: ValueError(chr(0xD800))
    assert letters(picky, [Record(0, 0, b"a", PICKY)]) == [r"\ud800"]


@pytest.mark.parametrize("deadline", [True, Duration.parse("20000d")])
def test_a_deadline_that_json_would_not_write_as_a_number_is_a_dead_letter(deadline):
    of = stream_of(asks_label(deadline=lambda _: deadline))
    why = "the label's deadline must be a whole number"
    assert letters(of, log(ask("one", 0), ask("two", 1))) == [why, why]


def test_a_label_by_key_that_is_of_no_use_is_told():
    of = by_key(value=lambda _, request: [request.amount])
    events = log(ask("first", 0), tell("", 1, name="told"))
    told = r"label.value must return true or false; got \[1.0\] for tell 'told' in events/0 at"
    with pytest.raises(StreamFunctionError, match=told):
        run(stream_of(of), events)


def test_a_label_that_is_due_by_silence_is_named_by_its_request():
    asked = {event.id for event in map(stream.decoder().decode, (r.value for r in EVENTS))
             if isinstance(event, Asked)}  # fmt: skip
    with pytest.raises(StreamFunctionError, match="for the label of asked '") as raised:
        run(features(rolling(failing, over=Labelled)))
    assert any(f"the label of asked {name!r} in events/0" in str(raised.value) for name in asked)


def test_a_value_of_a_hook_that_is_no_number_is_told():
    with pytest.raises(
        StreamFunctionError, match="value 'streak' of hook Wordy must return a number; got 'many'"
    ):
        run(features(Custom(Wordy)))


def test_a_hook_that_cannot_be_written_down_is_told():
    shard = run(features(Custom(Stuck)))
    with pytest.raises(StreamFunctionError, match="snapshot of hook Stuck must not raise"):
        shard.snapshot()


def test_an_answer_to_a_request_that_is_not_in_the_log_tells_it_too():
    _, request = first(Asked)
    with pytest.raises(StreamFunctionError, match=r"label.deadline .* in a request that is not in"):
        Shard(label(deadline=failing), Settings(), 0).predict(request)


def test_an_error_that_no_function_is_to_blame_for_stays_itself():
    shard = Shard(stream, Settings(), 0)
    with pytest.raises(TypeError, match="NoneType"):
        shard.apply(Records([EVENTS[0]._replace(append_time=None)]))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"value": "late"}, "label.value must be a function; got 'late' in stream 'rides'"),
        ({"deadline": 600}, "label.deadline must be a function; got 600"),
        ({"value": lambda: True}, "label.value must take one argument; got .*too many positional"),
        ({"deadline": lambda _, __: 1}, "label.deadline must take one argument"),
        ({"silence": "no"}, "label.silence must be true, false or None; got 'no'"),
    ],
)
def test_what_cannot_be_called_is_refused_when_the_stream_is_made(changes, told):
    with pytest.raises(StreamError, match=told):
        label(**changes)


def test_a_reading_that_takes_no_event_is_refused_when_the_stream_is_made():
    with pytest.raises(StreamError, match=r"of of Mean\('m'\) in Rolling.* must take one argument"):
        features(rolling(lambda: 1.0))
