"""The share of labels by silence is that of the events."""

import msgspec
import polars as pl
import pytest

from flows.reports.silence import NEEDED, silent_share
from state.events import MINUTE_US
from state.log import EVENTS, Entry
from state.log.sqlite import SqliteLog
from state.stream import Stream
from tests.brought.trips import Started, stream

ROWS = 3_000


def requests(log, silent, ones=lambda _: False):
    """Requests, one a minute, some of which got label 0 by silence at their deadline."""
    log.create(EVENTS, 1)
    events = [
        Started(
            id=str(i), time=i * MINUTE_US + 10**15, station=i % 3, bike="b", member=True, age=None
        )
        for i in range(ROWS)
    ]
    entries = []
    for event in events:
        value = {"type": "started"} | msgspec.structs.asdict(event)
        entries += [
            Entry(event.time, b"", msgspec.json.encode(value)),
            Entry(event.time, b"", b"{"),
        ]
    log.append(EVENTS, 0, entries)
    labels = [int(ones(i)) for i in range(ROWS)]
    deadline = [stream.label.deadline(event) for event in events]
    came = [t if silent(i) else t - MINUTE_US for i, t in enumerate(deadline)]
    columns = ([0] * ROWS, [2 * i for i in range(ROWS)], labels, [t // 1000 for t in came])
    frame = pl.DataFrame(dict(zip(NEEDED, columns, strict=True)))
    return frame.with_columns(pl.col("label_time").cast(pl.Datetime("ms")))


@pytest.fixture
def log(tmp_path):
    log = SqliteLog(tmp_path)
    yield log
    log.close()


def test_it_is_found_within_the_noise_of_a_sample(log):
    found = silent_share(log, stream, requests(log, lambda i: i % 4 == 0))
    assert found.value == pytest.approx(0.25, abs=0.03)
    assert 300 < found.sample <= 8 * 150


def test_only_labels_that_are_those_of_silence_can_be_by_silence(log):
    rows = requests(log, lambda _: True, ones=lambda i: i % 10 < 6)
    assert silent_share(log, stream, rows).value == pytest.approx(0.4)


def test_a_share_that_changes_within_a_day_is_found_too(log):
    rows = requests(log, lambda i: i % 1_440 > 720)
    assert silent_share(log, stream, rows).value == pytest.approx(0.5, abs=0.2)


def test_where_the_events_were_trimmed_it_is_not_known(log):
    rows = requests(log, lambda _: True)
    log.trim(EVENTS, 0, 2 * ROWS - 4)
    assert silent_share(log, stream, rows).value is None


def test_where_silence_is_no_label_there_is_none(log):
    label = {
        name: getattr(stream.label, name) for name in ("on", "by", "value", "deadline", "delay")
    }
    other = Stream(
        name="trips", events=stream.events, request=Started, features=stream.features,
        label=type(stream.label)(**label, silence=None), dedup="7h",
    )  # fmt: skip
    assert silent_share(log, other, requests(log, lambda _: True)).value is None
