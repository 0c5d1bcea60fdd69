"""Records that events make larger than themselves still fit the log, whatever texts they bring."""

import msgspec
import pytest

from operators.shard.messages import Records
from operators.shard.shard import Shard
from state.events import HOUR_US, MINUTE_US, Event
from state.features import Category, Count, Rolling
from state.log import MAX_VALUE_BYTES, Record
from state.outputs.records import DeadLetter, Metrics
from state.settings import Settings
from state.stream import Label, Stream
from tests.operators.shard_runs import Run

START = 1_700_000_000_000_000


class Asked(Event, frozen=True, kw_only=True):
    shop: str


class Told(Event, frozen=True, kw_only=True):
    of: str
    shop: str
    yes: bool


stream = Stream(
    name="texts",
    events=(Asked, Told),
    request=Asked,
    label=Label(
        on=Told,
        of="of",
        value=lambda told: told.yes,
        deadline=lambda asked: asked.time + HOUR_US,
        silence=None,
        delay="1h",
    ),
    features=(
        Category("shop"),
        Rolling(Asked, ("shop",), ("1h",), (Count("asked"),)),
    ),
    key="shop",
)
MOST_BYTES = 4 * 2**20


def played(events):
    run = Run(Shard(stream, Settings(), 0))
    for offset, (append_time, event) in enumerate(events):
        key = event.shop.encode()
        run.take(Records([Record(offset, append_time, key, msgspec.json.encode(event))]))
    return run


def at(number, **fields):
    time = START + number * MINUTE_US
    return time, Asked(id=f"a{number}", time=time, **fields)


def largest_fit(**others):
    """A request whose value is as large as the stream takes."""
    empty = len(msgspec.json.encode(Asked(id="a0", time=START, shop="", **others)))
    return "x" * (MOST_BYTES - empty)


def test_all_records_of_the_largest_event_fit_the_log():
    shop = largest_fit()
    told = Told(id="t", time=START + 1, of="a0", shop="b", yes=True)
    run = played([at(0, shop=shop), (told.time, told)])
    for topic in ("predictions", "outcomes"):
        (written,) = run.written[topic]
        assert written.key.decode() == shop == msgspec.json.decode(written.value)["key"]
        assert len(written.key) + len(written.value) <= MAX_VALUE_BYTES


def test_a_larger_event_is_a_dead_letter_and_the_next_is_read():
    run = played([at(0, shop=largest_fit() + "x"), at(1, shop="b")])
    (letter,) = [msgspec.json.decode(v, type=DeadLetter) for v in run.values("dead_letters")]
    assert (letter.reason, letter.size) == ("invalid", MOST_BYTES + 1)
    assert letter.detail == "event must be at most 4194304 bytes; got 4194305"
    assert len(run.written["predictions"]) == 1


def test_a_long_name_of_a_source_is_a_dead_letter_and_its_alert_would_not_have_fit():
    run = played([at(0, shop="a", source="s" * 251), at(1, shop="a")])
    (letter,) = [msgspec.json.decode(v, type=DeadLetter) for v in run.values("dead_letters")]
    assert letter.reason == "invalid"
    assert letter.detail == "source must be at most 250 characters"
    assert len(run.written["predictions"]) == 1


@pytest.mark.parametrize("name", ["s", "\x01", "東"])
def test_metrics_of_any_number_of_sources_fit_the_log(name):
    many = [
        (START, Asked(id=f"b{n}", time=START - n, shop="a", source=f"{n}".ljust(250, name)))
        for n in range(12_000)
    ]
    (metrics,) = played([*many, at(61, shop="a")]).values("metrics")
    assert len(metrics) <= MAX_VALUE_BYTES // 8
    shown = msgspec.json.decode(metrics, type=Metrics).least_lag
    assert sorted(shown.values()) == [0, *range(999)]  # the event that ends it has 0


def test_few_sources_are_shown_in_order_of_arrival():
    events = [
        (START, Asked(id=name, time=START - lag, shop="a", source=name))
        for name, lag in (("late", 9), ("soon", 1), ("then", 5))
    ]
    (metrics,) = played([*events, at(61, shop="a")]).values("metrics")
    shown = msgspec.json.decode(metrics, type=Metrics).least_lag
    assert list(shown.items()) == [("late", 9), ("soon", 1), ("then", 5), ("", 0)]
