import gzip
import json

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.export import export
from flows.ingest import ingest
from state.columns import schema_of
from state.log import Entry, partition_of
from state.sqlite_log import SqliteLog


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


def test_parquet_has_the_declared_types_whatever_the_values(log, tmp_path):
    fill(
        log,
        "metrics",
        0,
        (1, msgspec.json.encode(Seen(1_356_998_400_000_999, "a", 1, True, 2**60, None))),
        (2, b'{"event_time":5000,"id":"7","late":false,"count":1}'),
    )
    out = tmp_path / "metrics.parquet"
    assert export(log, "metrics", out, schema=schema_of(Seen)) == 2
    table = pq.read_table(out)
    assert {f.name: str(f.type) for f in table.schema} == {
        "event_time": "timestamp[ms]",
        "id": "string",
        "wind": "double",
        "late": "bool",
        "count": "int64",
        "model": "string",
    }
    assert table["event_time"].cast(pa.int64()).to_pylist() == [1_356_998_400_000, 5]
    assert table.drop_columns("event_time").to_pylist() == [
        {"id": "a", "wind": 1.0, "late": True, "count": 2**60, "model": None},
        {"id": "7", "wind": None, "late": False, "count": 1, "model": None},
    ]


def test_an_empty_topic_is_a_file_with_columns_and_no_rows(log, tmp_path):
    out = tmp_path / "metrics.parquet"
    assert export(log, "metrics", out, schema=schema_of(Seen)) == 0
    assert pq.read_table(out).schema == schema_of(Seen)
    assert export(log, "metrics", tmp_path / "metrics.jsonl") == 0
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""


def test_parquet_comes_in_row_groups_of_100k_rows_of_zstd(log, tmp_path):
    row = msgspec.json.encode(Seen(1, "a", None, False, 1, "m"))
    for _ in range(21):
        fill(log, "metrics", 0, *[(1, row)] * 10_000)
    out = tmp_path / "metrics.parquet"
    assert export(log, "metrics", out, schema=schema_of(Seen)) == 210_000
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
    with pytest.raises(pa.ArrowInvalid):
        export(log, "metrics", out, schema=schema_of(Seen))
    assert [path.name for path in folder.iterdir()] == ["metrics.parquet"]
    assert out.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("topic", "name"), [("events", "a.parquet"), ("events", "a.csv"), ("metrics", "a.gz")]
)
def test_other_suffixes_are_refused(log, tmp_path, topic, name):
    with pytest.raises(ValueError, match=rf"export of '{topic}' must end in .*; got .*{name}"):
        export(log, topic, tmp_path / name, schema=schema_of(Seen))


def test_parquet_without_a_schema_is_refused(log, tmp_path):
    with pytest.raises(ValueError, match="must have a schema"):
        export(log, "metrics", tmp_path / "a.parquet")


def test_a_column_of_no_plain_type_is_refused():
    class Odd(msgspec.Struct):
        ok: int
        odd: list[int]

    with pytest.raises(TypeError, match=r"bool, number or text; got .* in 'odd'"):
        schema_of(Odd)
