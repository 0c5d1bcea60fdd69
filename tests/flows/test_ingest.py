import gzip
import json
from datetime import UTC, datetime
from zlib import crc32

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.ingest import append_history, ingest
from flows.streams.quotes import stream as quotes
from state.log import MAX_VALUE_BYTES, SequenceConflictError
from state.log.sqlite import SqliteLog


@pytest.fixture
def log(tmp_path):
    log = SqliteLog(tmp_path / "log")
    log.create("events", 1)
    yield log
    log.close()


def peek(value):
    try:
        event = json.loads(value)
        return event["time"], event.get("key", "").encode()
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, b""


def event(time, key="k"):
    return b'{"time":%d,"key":"%s"}' % (time, key.encode())


def stored(log, partition=0):
    records = []
    while batch := log.read("events", partition, len(records)):
        records += batch
    return records


def values(log, partition=0):
    return [record.value for record in stored(log, partition)]


LINES = [event(time) for time in range(10, 60)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b"\n".join(LINES)),
        ("a.jsonl", b"\n".join(LINES) + b"\n"),
        ("a.json", b"\r\n".join(LINES) + b"\r\n\r\n"),
        ("a.jsonl.gz", gzip.compress(b"\n".join(LINES))),
        (
            "a.gz",
            gzip.compress(b"\n".join(LINES[:9]) + b"\n") + gzip.compress(b"\n".join(LINES[9:])),
        ),
        ("a.jsonl.zst", pa.Codec("zstd").compress(b"\n".join(LINES), asbytes=True)),
    ],
)
def test_json_lines_are_taken_as_they_are(log, tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    assert ingest(log, path, peek) == 50
    assert [(r.append_time, r.key, r.value) for r in stored(log)] == [
        (time, b"k", line) for time, line in zip(range(10, 60), LINES, strict=True)
    ]


def test_lines_that_are_no_events_are_kept_with_the_append_time_before_them(log, tmp_path):
    garbage = [b"\xff\x00", b"{", b" ", b"null", b"x" * 10_000_000]
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join([event(7), *garbage, event(9)]))
    assert ingest(log, path, peek) == 7
    assert [record[1:] for record in stored(log)] == [
        (7, b"k", event(7)),
        *((7, b"", line) for line in garbage),
        (9, b"k", event(9)),
    ]


def test_an_event_ahead_of_its_neighbours_gets_the_append_time_of_a_neighbour(log, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(event(t) for t in (1, 2, 9_000, 3, 4, 5, 6, 7, 8, 9)))
    ingest(log, path, peek)
    assert [r.append_time for r in stored(log)] == [1, 2, 6, 6, 6, 6, 6, 7, 8, 9]


def test_the_append_time_of_an_envelope_is_taken(log, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b'{"append_time":500,"event":{"time":7,"key":"k"}}\n{"append_time":600,"base64":"/w=="}\n'
        + event(8)
    )
    ingest(log, path, peek)
    assert [record[1:] for record in stored(log)] == [
        (500, b"k", event(7)),
        (600, b"", b"\xff"),
        (600, b"k", event(8)),
    ]


def test_a_second_file_goes_on_after_the_first(log, tmp_path):
    for name, times in (("a", (10, 20)), ("b", (15, 30))):
        (tmp_path / name).write_bytes(b"\n".join(map(event, times)))
        ingest(log, tmp_path / name, peek)
    assert [r.append_time for r in stored(log)] == [10, 20, 20, 30]


def test_a_second_file_goes_on_after_the_first_in_every_partition(log, tmp_path):
    log.create("two", 2)
    for key, time in (("a", 900), ("", 100)):  # partitions 1 and 0
        (tmp_path / "file").write_bytes(event(time, key))
        ingest(log, tmp_path / "file", peek, topic="two")
    assert [log.read("two", p, 0)[0].append_time for p in (0, 1)] == [900, 900]


def test_keys_decide_the_partition(log, tmp_path):
    log.create("by_key", 3)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(event(i, key=f"k{i % 5}") for i in range(100)))
    ingest(log, path, peek, topic="by_key")
    for partition in range(3):
        keys = [f"k{i % 5}".encode() for i in range(100)]
        expected = [key for key in keys if crc32(key) % 3 == partition]
        assert [record.key for record in log.read("by_key", partition, 0)] == expected


def test_progress_ends_at_the_whole_file(log, tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n".join(event(i) for i in range(25_000))))
    size = path.stat().st_size
    told = []
    ingest(log, path, peek, on_progress=lambda *state: told.append(state))
    assert [records for _, _, records in told] == [10_000, 20_000, 25_000]
    assert told[-1][:2] == (size, size)


def test_rows_of_parquet_become_events_without_their_nulls(log, tmp_path):
    path = tmp_path / "a.parquet"
    noon = datetime(2013, 1, 1, 12, tzinfo=UTC)
    table = pa.table(
        {
            "type": ["seen", "lost"],
            "time": pa.array([noon, noon], pa.timestamp("ms", "UTC")),
            "key": pa.array(["JFK", "LGA"]).dictionary_encode(),
            "wind": pa.array([1.5, None]),
        }
    )
    pq.write_table(table, path)
    assert ingest(log, path, peek) == 2
    noon_us = 15_706 * 86_400_000_000 + 12 * 3_600_000_000  # 15706 days since 1970
    assert [(r.append_time, r.key, json.loads(r.value)) for r in stored(log)] == [
        (noon_us, b"JFK", {"type": "seen", "time": noon_us, "key": "JFK", "wind": 1.5}),
        (noon_us, b"LGA", {"type": "lost", "time": noon_us, "key": "LGA"}),
    ]


@pytest.mark.parametrize("extra", [0, 10_000_000])
def test_a_line_too_large_for_the_log_is_named(log, tmp_path, extra):
    path = tmp_path / "a.jsonl"
    path.write_bytes(event(1) + b"\n" + b"x" * (MAX_VALUE_BYTES + 1 + extra) + b"\n")
    with pytest.raises(ValueError, match=r"at most 16777216 bytes; got more in .*a\.jsonl line 2"):
        ingest(log, path, peek)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.gz", gzip.compress(b"\n".join(LINES))[:-20]),
        ("a.zst", b"not zstandard"),
        ("a.parquet", b"not parquet"),
    ],
)
def test_a_broken_file_is_named(log, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(OSError, match=f"file must be readable; got .* in .*{name}"):
        ingest(log, tmp_path / name, peek)


def test_a_missing_file_is_named(log, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.jsonl"):
        ingest(log, tmp_path / "none.jsonl", peek)


@pytest.mark.parametrize("stop", [0, 1, 999, 1000, 1700, 2500])
def test_a_history_goes_on_where_it_was_interrupted(tmp_path, stop):
    history = [event(i * 10 + (i % 7) ** 3, key=f"k{i % 5}") for i in range(2500)]
    logs = [SqliteLog(tmp_path / name) for name in ("once", "twice")]
    for log in logs:
        log.create("events", 3)

    def interrupted():
        yield from history[:stop]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        append_history(logs[1], interrupted(), peek)
    told = []
    assert append_history(logs[0], iter(history), peek) == 2500
    assert append_history(logs[1], iter(history), peek, on_progress=told.append) == 2500
    for partition in range(3):
        assert stored(logs[0], partition) == stored(logs[1], partition)
    assert sorted(v for p in range(3) for v in values(logs[0], p)) == sorted(history)
    assert told[-1] == 2500
    for log in logs:
        log.close()


def test_another_history_is_refused(log):
    append_history(log, LINES, peek)
    with pytest.raises(SequenceConflictError, match="at sequence 3"):
        append_history(log, [*LINES[:3], *LINES[4:]], peek)
    assert values(log) == LINES


NOW = 1_000_000
BEYOND = 2**63 - 1


def poisoned(at, lines):
    future = event(NOW + 1, key="late")
    return {"first": [future, *lines], "last": [*lines, future], "only": [future]}[at]


@pytest.mark.parametrize("at", ["first", "last", "only"])
def test_one_event_from_the_future_leaves_the_append_times_of_all_others_as_they_are(
    log, tmp_path, at
):
    path, ahead = tmp_path / "a.jsonl", []
    path.write_bytes(b"\n".join(poisoned(at, LINES)))
    ingest(log, path, peek, now=NOW, on_ahead=lambda *told: ahead.append(told))
    path.write_bytes(b"\n".join(event(time) for time in range(100, 120)))
    ingest(log, path, peek, now=NOW)
    others = [r.append_time for r in stored(log) if r.key != b"late"]
    (own,) = (r.append_time for r in stored(log) if r.key == b"late")
    assert own <= 59
    if at != "first":
        assert others == [*(range(10, 60) if at == "last" else ()), *range(100, 120)]
    assert max(others) == 119
    assert ahead == [(event(NOW + 1, key="late"), NOW + 1)]


def test_an_event_a_little_ahead_of_the_clock_was_appended_now(log, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(map(event, (NOW - 9, NOW + 3, NOW + 4))))
    ingest(log, path, peek, now=NOW, tolerance=3)
    assert [r.append_time for r in stored(log)] == [NOW - 9, NOW, NOW]


@pytest.mark.parametrize("told", [NOW + 1, BEYOND])
def test_an_append_time_beyond_the_clock_is_not_believed(log, tmp_path, told):
    path, ahead = tmp_path / "a.jsonl", []
    lines = [b'{"append_time":%d,"event":%s}' % (told, event(time)) for time in (12, 14)]
    path.write_bytes(b"\n".join([event(11), lines[0], event(13), lines[1]]))
    ingest(log, path, peek, now=NOW, on_ahead=lambda *told: ahead.append(told))
    assert [record[1:] for record in stored(log)] == [
        (11, b"k", event(11)),
        (12, b"k", event(12)),
        (13, b"k", event(13)),
        (14, b"k", event(14)),
    ]
    assert ahead == [(event(12), told), (event(14), told)]


@pytest.mark.parametrize(
    "told", ["-1", "true", "1.5", "1e300", "null", '"5"', str(2**63), str(2**64)]
)
def test_what_is_no_append_time_makes_its_line_a_value_without_time(log, tmp_path, told):
    line = b'{"append_time":%s,"event":{"time":7,"key":"k"}}' % told.encode()
    path = tmp_path / "a.jsonl"
    path.write_bytes(event(5) + b"\n" + line + b"\n" + event(6))
    ingest(log, path, peek, now=NOW)
    assert [(r.append_time, r.value) for r in stored(log)] == [
        (5, event(5)),
        (5, line),
        (6, event(6)),
    ]


def test_a_file_from_the_future_leaves_other_partitions_alone(log, tmp_path):
    log.create("two", 2)
    for key, time in (("a", NOW + 5), ("", 100)):  # partitions 1 and 0
        (tmp_path / "file").write_bytes(event(time, key))
        ingest(log, tmp_path / "file", peek, topic="two", now=NOW)
    assert [log.read("two", p, 0)[0].append_time for p in (0, 1)] == [100, 0]


def test_append_times_go_on_where_the_clock_was_set_back(log, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(event(NOW))
    ingest(log, path, peek, now=NOW)
    path.write_bytes(b"\n".join(map(event, (NOW - 50, NOW - 10, NOW + 1))))
    ingest(log, path, peek, now=NOW - 100)
    assert [r.append_time for r in stored(log)] == [NOW] * 4


def test_without_a_word_it_is_this_machine_s_clock(log, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(map(event, (7, 4_070_908_800_000_000))))
    ingest(log, path, peek)
    assert [r.append_time for r in stored(log)] == [7, 7]


@pytest.mark.parametrize("time", [-1, -(2**63), 2**63, 10**30])
def test_a_time_that_no_event_can_have_lifts_nothing(tmp_path, time):
    log = SqliteLog(tmp_path / "log")
    log.create("events", 1)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"type":"trade","symbol":"S","time":%d}' % time)
    ingest(log, path, quotes.peek())
    assert [r.append_time for r in stored(log)] == [0]
    log.close()
