import gzip
import json
import tracemalloc

import duckdb
import h2o
import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.ingest import ingest
from flows.reports.export import export
from state.log import Entry, partition_of
from state.log.sqlite import SqliteLog
from state.outputs import history
from state.outputs.records import Metrics
from state.outputs.topic_rows import rows_of
from tests.operators.shard_runs import Run, feed, rides_shard
from tests.rides import records, stream


def peek(value):
    return (len(value), value[:1]) if value[:1] in {b"{", b"x"} else (None, b"")


def everything(log, topic):
    return [log.read(topic, p, 0) for p in range(log.partitions(topic))]


def fill(log, topic, partition, *pairs):
    log.append(topic, partition, [Entry(time, b"", value) for time, value in pairs])


@pytest.fixture
def log(tmp_path):
    log = SqliteLog(tmp_path / "log")
    log.create("events", 2)
    log.create("metrics", 2)
    yield log
    log.close()


awkward = st.sampled_from(
    [
        b"",
        b"\n",
        b"{\n}",
        b'{"a":1}',
        b'{"a": 1}\r',
        b'{"a":"\xff"}',
        b'{"append_time":1,"event":{}}',
        b'{"a":' * 2000 + b"1" + b"}" * 2000,
        b"\xef\xbb\xbf{}",
        b"x" * 10_000_000,
    ]
)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.binary() | awkward), max_size=20),
    st.integers(1, 3),
    st.sampled_from([".jsonl", ".jsonl.gz", ".jsonl.zst"]),
)
def test_events_exported_and_ingested_are_the_same_records(
    tmp_path_factory, appended, partitions, suffix
):
    folder = tmp_path_factory.mktemp("round")
    logs = [SqliteLog(folder / name) for name in ("there", "back")]
    for log in logs:
        log.create("events", partitions)
    for time, value in appended:
        key = peek(value)[1]
        logs[0].append("events", partition_of(key, partitions), [Entry(time, key, value)])
    path = folder / f"events{suffix}"
    assert export(logs[0], "events", path) == len(appended)
    assert ingest(logs[1], path, peek) == len(appended)
    assert everything(logs[0], "events") == everything(logs[1], "events")
    for log in logs:
        log.close()


def test_partitions_are_merged_by_append_time_then_partition(log, tmp_path):
    fill(log, "metrics", 0, (1, b"1a"), (5, b"5a"), (5, b"5b"), (9, b"9"))
    fill(log, "metrics", 1, (2, b"2"), (5, b"5c"), (7, b"7"))
    out = tmp_path / "metrics.jsonl"
    assert export(log, "metrics", out) == 7
    assert out.read_bytes() == b"1a\n2\n5a\n5b\n5c\n7\n9\n"


@pytest.mark.parametrize(
    ("since", "until", "kept"),
    [
        (None, None, range(3000)),
        (100, None, range(1000, 3000)),
        (None, 100, range(1000)),
        (100, 101, range(1000, 1010)),
        (500, 600, range(0)),
        (200, 100, range(0)),
    ],
)
def test_since_and_until_bound_the_append_time(log, tmp_path, since, until, kept):
    fill(log, "metrics", 0, *((i // 10, b"%d" % i) for i in range(3000)))
    out = tmp_path / "metrics.jsonl"
    assert export(log, "metrics", out, since=since, until=until) == len(kept)
    assert out.read_bytes() == b"".join(b"%d\n" % i for i in kept)


def test_compressed_lines_are_what_gzip_reads(log, tmp_path):
    fill(log, "metrics", 0, (1, b'{"a":1}'))
    fill(log, "events", 0, (2, b'{"a":1}'))
    export(log, "metrics", tmp_path / "m.jsonl.gz")
    export(log, "events", tmp_path / "e.jsonl.gz")
    assert gzip.decompress((tmp_path / "m.jsonl.gz").read_bytes()) == b'{"a":1}\n'
    event = json.loads(gzip.decompress((tmp_path / "e.jsonl.gz").read_bytes()))
    assert event == {"append_time": 2, "event": {"a": 1}}


class Seen(msgspec.Struct):
    event_time: int
    id: str
    wind: float | None
    late: bool
    count: int
    model: str | None


ROWS = rows_of("metrics", Seen)


def test_parquet_has_the_declared_types_whatever_the_values(log, tmp_path):
    fill(
        log,
        "metrics",
        0,
        (1, msgspec.json.encode(Seen(1_356_998_400_000_999, "a", 1, True, 2**60, None))),
        (2, b'{"event_time":5000,"id":"7","late":false,"count":1}'),
    )
    out = tmp_path / "metrics.parquet"
    assert export(log, "metrics", out, rows=ROWS) == 2
    table = pq.read_table(out)
    assert {f.name: str(f.type) for f in table.schema} == {
        "partition": "int64",
        "append_time": "timestamp[ms]",
        "event_time": "timestamp[ms]",
        "id": "string",
        "wind": "double",
        "late": "bool",
        "count": "int64",
        "model": "string",
    }
    assert table["event_time"].cast(pa.int64()).to_pylist() == [1_356_998_400_000, 5]
    assert table.drop_columns(["event_time", "append_time", "partition"]).to_pylist() == [
        {"id": "a", "wind": 1.0, "late": True, "count": 2**60, "model": None},
        {"id": "7", "wind": None, "late": False, "count": 1, "model": None},
    ]


def test_an_empty_topic_is_a_file_with_columns_and_no_rows(log, tmp_path):
    out = tmp_path / "metrics.parquet"
    assert export(log, "metrics", out, rows=ROWS) == 0
    assert pq.read_table(out).schema == ROWS.schema
    assert export(log, "metrics", tmp_path / "metrics.jsonl") == 0
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""


def test_parquet_comes_in_row_groups_of_100k_rows_of_zstd(log, tmp_path):
    row = msgspec.json.encode(Seen(1, "a", None, False, 1, "m"))
    for _ in range(21):
        fill(log, "metrics", 0, *[(1, row)] * 10_000)
    out = tmp_path / "metrics.parquet"
    assert export(log, "metrics", out, rows=ROWS) == 210_000
    metadata = pq.read_metadata(out)
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert sizes == [100_000, 100_000, 10_000]
    assert metadata.row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize("value", [b'{"id":5}', b'{"surprise":1}', b"{"])
def test_a_failed_export_leaves_the_old_file_and_nothing_else(log, tmp_path, value):
    fill(log, "metrics", 0, (1, value))
    folder = tmp_path / "out"
    folder.mkdir()
    out = folder / "metrics.parquet"
    out.write_bytes(b"old")
    with pytest.raises(ValueError, match="metrics/0 at offset 0"):
        export(log, "metrics", out, rows=ROWS)
    assert [path.name for path in folder.iterdir()] == ["metrics.parquet"]
    assert out.read_bytes() == b"old"


@pytest.mark.parametrize("name", ["a.csv", "a.gz", "parquet"])
def test_other_suffixes_are_refused(log, tmp_path, name):
    with pytest.raises(ValueError, match=rf"export must end in .*; got .*{name}"):
        export(log, "events", tmp_path / name, rows=ROWS)


def test_parquet_without_rows_is_refused(log, tmp_path):
    with pytest.raises(ValueError, match="must know the rows"):
        export(log, "metrics", tmp_path / "a.parquet")


def test_progress_is_told_from_piece_to_piece_up_to_the_end(log, tmp_path):
    for partition in (0, 1):
        fill(log, "metrics", partition, *[(1, b"{}")] * 12_000)
    told = []
    export(log, "metrics", tmp_path / "m.jsonl", on_progress=lambda *now: told.append(now))
    assert told == [(10_000, 24_000), (20_000, 24_000), (24_000, 24_000)]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_memory_is_flat_however_long_the_topic(tmp_path, monkeypatch, suffix):
    """The peak over three row groups is that over twelve; the first call also loads code."""
    monkeypatch.setattr(history, "_MOST_RECORDS", 500)
    monkeypatch.setattr(history, "_READ_RECORDS", 100)
    peaks = []
    value = msgspec.json.encode(Seen(1, "a" * 200, 1.0, False, 1, "m" * 200))
    for name, thousands in (("first", 16), ("short", 16), ("long", 64)):
        log = SqliteLog(tmp_path / name)
        log.create("metrics", 1)
        log.append("metrics", 0, [Entry(1, b"", value)] * 1000 * thousands)
        before = pa.total_allocated_bytes()
        highest = []
        tracemalloc.start()
        export(
            log,
            "metrics",
            tmp_path / f"{name}{suffix}",
            rows=ROWS,
            on_progress=lambda *_, highest=highest, before=before: highest.append(
                pa.total_allocated_bytes() - before
            ),
        )
        peaks.append(tracemalloc.get_traced_memory()[1] + max(highest))
        tracemalloc.stop()
        log.close()
    _, short, long = peaks
    assert long < 1.1 * short


EVENTS = records(150)


@pytest.fixture
def exported(log, tmp_path):
    """Events with one that is none, as Parquet, and what they are."""
    log.append("events", 1, [Entry(0, b"", b"junk"), *(Entry(*r[1:]) for r in EVENTS)])
    out = tmp_path / "events.parquet"
    assert export(log, "events", out, rows=rows_of("events", stream)) == len(EVENTS) + 1
    return out, [{}, *(json.loads(record.value) for record in EVENTS)]


FIELDS = ("type", "id", "city", "driver", "price", "car", "fell", "late")
TIMES = ("time", "pickup", "arrive")


def as_exported(events):
    columns = {name: [event.get(name) for event in events] for name in FIELDS}
    for name in TIMES:
        times = (event.get(name) for event in events)
        columns[name] = [None if time is None else time // 1000 for time in times]
    return columns


def test_polars_reads_events_with_a_column_for_each_field(exported):
    out, events = exported
    frame = pl.read_parquet(out)
    times = pl.col(*TIMES).dt.timestamp("ms")
    assert frame.select(*FIELDS, times).to_dict(as_series=False) == as_exported(events)
    assert frame["raw"].to_list() == [b"junk", *[None] * len(EVENTS)]


def test_pyarrow_reads_events_with_a_column_for_each_field(exported):
    out, events = exported
    table = pq.read_table(out)
    found = {name: table[name].to_pylist() for name in FIELDS}
    found |= {name: table[name].cast(pa.int64()).to_pylist() for name in TIMES}
    assert found == as_exported(events)


def test_duckdb_reads_events_with_a_column_for_each_field(exported):
    out, events = exported
    times = (f"epoch_ms({name}) AS {name}" for name in TIMES)
    query = f'SELECT {", ".join((*FIELDS, *times))} FROM read_parquet(?) ORDER BY "offset"'
    with duckdb.connect() as connection:
        answer = connection.execute(query, [str(out)])
        names = [column[0] for column in answer.description]
        rows = answer.fetchall()
    assert dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)) == as_exported(events)


def test_h2o_reads_events_with_a_column_for_each_field(exported, h2o_server):
    out, events = exported
    frame = h2o.import_file(str(out), destination_frame="exported_events")
    assert frame.nrows == len(events)
    kinds = frame.types
    assert {name: kinds[name] for name in TIMES} == dict.fromkeys(TIMES, "time")
    expected = as_exported(events)
    for name in ("driver", "price", "late", *TIMES):
        known = [value for value in expected[name] if value is not None]
        assert frame[name].nacnt() == [len(events) - len(known)]
        assert frame[name].mean(skipna=True) == pytest.approx([sum(known) / len(known)], rel=1e-9)
    levels = frame["type"].asfactor().levels()[0]
    assert levels == sorted({event["type"] for event in events if event})
    h2o.remove(frame)


def test_h2o_reads_metrics_with_columns_that_are_all_null(log, tmp_path, h2o_server):
    run = feed(Run(rides_shard()), EVENTS)
    log.append("metrics", 0, run.written["metrics"])
    out = tmp_path / "metrics.parquet"
    export(log, "metrics", out, rows=rows_of("metrics", Metrics))
    frame = h2o.import_file(str(out), destination_frame="exported_metrics")
    last = json.loads(run.values("metrics")[-1])
    row = frame.nrows - 1
    assert frame[row, "time"] == last["time"] // 1000
    assert frame[row, "total_online_n"] == last["total"]["online"]["n"]
    assert frame["total_offline_log_loss"].nacnt() == [frame.nrows]
    h2o.remove(frame)
