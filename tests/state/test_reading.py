"""`state.read` gives the log as it is, and decodes no more than is asked for."""

from datetime import UTC, datetime, timedelta

import msgspec
import polars as pl
import pytest

import state
from state import reading
from state.log import Entry, UnknownTopicError
from state.log.sqlite import SqliteLog
from state.outputs.records import Alert, Prediction
from tests.operators.shard_runs import Run, feed, rides_shard
from tests.rides import Asked, records, stream

RECORDS = records(200)
APRIL = datetime(2013, 4, 1, tzinfo=UTC)


def us(time):
    return round(time.timestamp() * 1e6)


@pytest.fixture
def log(tmp_path):
    log = SqliteLog(tmp_path / "log")
    for topic in ("events", "predictions", "outcomes", "metrics", "alerts", "dead_letters"):
        log.create(topic, 2)
    yield log
    log.close()


def prediction(number):
    return Prediction(f"q{number}", us(APRIL) + number * 1500, "k", number / 1e5, 0.5, None, None,
                      False, None, number % 2, number)  # fmt: skip


def predict(log, count):
    """One an hour in each partition, turn by turn."""
    for partition in (0, 1):
        log.append(
            "predictions",
            partition,
            [
                Entry(us(APRIL + timedelta(hours=n)), b"k", msgspec.json.encode(prediction(n)))
                for n in range(partition, count, 2)
            ],
        )


def test_rows_come_in_order_of_append_time_with_their_partition(log, tmp_path):
    predict(log, 6)
    frame = state.read("predictions", home=tmp_path).collect()
    assert frame["offset"].to_list() == [0, 1, 2, 3, 4, 5]
    assert frame["partition"].to_list() == [0, 1] * 3
    assert frame["append_time"].to_list() == [
        (APRIL + timedelta(hours=n)).replace(tzinfo=None) for n in range(6)
    ]
    assert frame["event_time"].dt.timestamp("ms").to_list() == [
        us(APRIL) // 1000 + n * 3 // 2 for n in range(6)
    ]


def test_columns_that_are_all_null_keep_their_types(log, tmp_path):
    predict(log, 2)
    schema = state.read("predictions", home=tmp_path).collect().schema
    assert schema["offline"] == pl.Float64
    assert schema["model"] == pl.String
    assert schema["event_time"] == pl.Datetime("ms")
    assert schema == state.read("predictions", home=tmp_path).collect_schema()


@pytest.mark.parametrize(
    ("since", "until", "kept"),
    [
        (None, None, range(50)),
        (APRIL + timedelta(hours=10), None, range(10, 50)),
        (None, (APRIL + timedelta(hours=10)).replace(tzinfo=None), range(10)),
        (APRIL + timedelta(hours=10), APRIL + timedelta(hours=12), range(10, 12)),
        (APRIL + timedelta(hours=12), APRIL + timedelta(hours=10), range(0)),
    ],
)
def test_since_and_until_bound_the_append_time(log, tmp_path, since, until, kept):
    predict(log, 50)
    frame = state.read("predictions", home=tmp_path, since=since, until=until)
    assert frame.select("offset").collect()["offset"].to_list() == list(kept)


def test_filters_columns_and_heads_give_what_the_whole_frame_gives(log, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_PIECE_ROWS", 50)  # a head ends within a piece
    predict(log, 300)
    lazy = state.read("predictions", home=tmp_path)
    whole = lazy.collect()
    high = pl.col("probability") > 0.0005
    for ask in (
        lambda f: f.filter(high).select("id"),
        lambda f: f.select("id", "event_time").head(7),
        lambda f: f.head(130).select("id"),
        lambda f: f.head(130).filter(high).select(pl.col("probability").sum()),
        lambda f: f.filter(high).head(3),
        lambda f: f.tail(2),
        lambda f: f.select(pl.len()),
        lambda f: f.group_by("partition").agg(pl.col("offset").sum()).sort("partition"),
    ):
        assert ask(lazy).collect().equals(ask(whole.lazy()).collect())
    assert lazy.filter(high).collect().equals(whole.filter(high))


def test_what_is_not_asked_for_is_not_decoded(log, tmp_path):
    predict(log, 2)
    log.append(
        "predictions", 0, [Entry(us(APRIL) * 2, b"", b'{"id":"x","probability":"no number"}')]
    )
    lazy = state.read("predictions", home=tmp_path)
    assert lazy.select("id").collect()["id"].to_list() == ["q0", "q1", "x"]
    assert lazy.select("probability").head(2).collect().height == 2
    with pytest.raises(
        ValueError, match=r"record must be one of this topic.* predictions/0 at offset 1"
    ):
        lazy.select("probability").collect()


def test_each_collect_sees_what_the_log_holds_by_then(log, tmp_path):
    lazy = state.read("predictions", home=tmp_path)
    assert lazy.collect().height == 0
    predict(log, 4)
    assert lazy.collect().height == 4


def test_a_field_that_the_struct_lacks_is_not_dropped_in_silence(log, tmp_path):
    log.append(
        "alerts", 0, [Entry(0, b"", b'{"kind":"fit_failed","time":1,"message":"","more":2}')]
    )
    with pytest.raises(ValueError, match="more"):
        state.read("alerts", home=tmp_path).collect()


def test_all_topics_of_a_run_are_frames(log, tmp_path):
    run = feed(Run(rides_shard()), RECORDS)
    log.append("events", 1, [Entry(*record[1:]) for record in RECORDS])
    for topic, entries in run.written.items():
        log.append(topic, 0, entries)
    for topic, entries in run.written.items():
        frame = state.read(topic, stream if topic == "outcomes" else None, home=tmp_path).collect()
        assert frame.height == len(entries), topic
        assert not [
            t for t in frame.schema.dtypes() if isinstance(t, pl.List | pl.Struct | pl.Object)
        ]
    outcomes = [msgspec.json.decode(value) for value in run.values("outcomes")]
    frame = state.read("outcomes", stream, home=tmp_path).collect()
    for column in ("probability", "label", "city", "fell", "usual"):
        assert frame[column].to_list() == [outcome[column] for outcome in outcomes]
    letters = [msgspec.json.decode(value) for value in run.values("dead_letters")]
    frame = state.read("dead_letters", home=tmp_path).collect()
    assert frame["reason"].to_list() == [letter["reason"] for letter in letters]
    assert frame["raw"].to_list() == [RECORDS[letter["offset"]].value for letter in letters]


def test_metrics_have_a_column_for_each_models_losses(log, tmp_path):
    run = feed(Run(rides_shard()), RECORDS)
    log.append("metrics", 1, run.written["metrics"])
    frame = state.read("metrics", home=tmp_path).collect()
    told = [msgspec.json.decode(value) for value in run.values("metrics")]
    assert frame["total_online_log_loss"].to_list() == [
        one["total"].get("online", {}).get("log_loss") for one in told
    ]
    assert frame["dead_letters_duplicate"].to_list() == [
        one["dead_letters"].get("duplicate") for one in told
    ]
    assert (
        frame["least_lag"].str.json_decode(pl.Struct({"app": pl.Int64}))[-1]["app"]
        == (told[-1]["least_lag"]["app"])
    )
    assert set(frame["partition"]) == {1}


def test_events_have_a_row_for_every_record_good_or_bad(log, tmp_path):
    junk = [
        b"",
        b"{",
        b'{"type":"rain","id":"r","time":1,"city":"x","fell":null}',
        b"\xff",
        msgspec.json.encode(
            Asked(id="a", time=1, city="x", driver=1, pickup=1, arrive=4 * 10**15, price=1.0)
        ),
    ]
    log.append("events", 0, [Entry(0, b"", value) for value in junk])
    log.append("events", 1, [Entry(*record[1:]) for record in RECORDS])
    frame = state.read("events", stream, home=tmp_path).collect()
    bad, good = frame.filter(pl.col("type").is_null()), frame.drop_nulls("type")
    assert bad["raw"].to_list() == junk
    assert bad["offset"].to_list() == [0, 1, 2, 3, 4]
    events = [msgspec.json.decode(record.value) for record in RECORDS]
    assert good["raw"].null_count() == len(events)
    assert good["offset"].to_list() == list(range(len(events)))
    for column in ("type", "id", "city", "driver", "fell", "late", "car"):
        assert good[column].to_list() == [event.get(column) for event in events]
    pickups = [event.get("pickup") for event in events]
    assert good["pickup"].dt.timestamp("us").to_list() == pickups


def test_a_topic_that_is_not_there_or_needs_more_to_be_read_is_refused_at_once(log, tmp_path):
    with pytest.raises(UnknownTopicError, match="models"):
        state.read("models", Alert, home=tmp_path)
    for topic in ("events", "outcomes"):
        with pytest.raises(ValueError, match=f"'{topic}' must be read with its stream; got None"):
            state.read(topic, home=tmp_path)
    with pytest.raises(ValueError, match="'models' must be read with the struct of its records"):
        state.read("models", home=tmp_path)
