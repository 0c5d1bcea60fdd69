"""Small files that stand for gigabytes: `ingest` stays within its memory, whatever they hold."""

import gzip
import io
import json
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.intake import event_files as lines
from flows.intake import parquet_rows
from flows.intake.event_files import read_lines
from flows.runtime.kept_rows import KeptRowsError, check_kept_rows
from state.log import MAX_VALUE_BYTES

MIB = 2**20

# Print the growth of this process, the peak of its children (both MiB) and what came of it.
MEASURED = """
import resource, sys
from pathlib import Path
from flows.intake.stream_events import read_events
from flows.ingest import ingest
from flows.intake.event_files import read_lines
from state.log.sqlite import SqliteLog
from tests.rides import stream

def peak(who):
    return resource.getrusage(who).ru_maxrss // 1024

path = Path(sys.argv[1])
log = SqliteLog(path.parent / "log")
log.create("events", 1)
idle = peak(resource.RUSAGE_SELF)
try:
    came = {}
except (OSError, ValueError) as error:
    came = str(error)
log.close()
print(peak(resource.RUSAGE_SELF) - idle, peak(resource.RUSAGE_CHILDREN), came)
"""
READ = 'f"{sum(1 for _ in read_lines(path))} lines"'
INGEST = "f\"{ingest(log, path, lambda _: (None, b''))} records\""


def measured(what, path):
    """Memory above the idle process, with that of the decoder, in MiB; and what came of it."""
    words = [sys.executable, "-c", MEASURED.replace("{}", what), str(path)]
    ran = subprocess.run(words, capture_output=True, text=True, check=True)
    own, child, came = ran.stdout.strip().split(" ", 2)
    return int(own) + int(child), came


def ingested(path):
    return measured(INGEST, path)


def repeated(path, codec, block, times):
    with pa.output_stream(path, compression=codec) as file:
        for _ in range(times):
            file.write(block)


def test_a_parquet_file_of_two_kilobytes_and_five_gigabytes_takes_little_memory(tmp_path):
    path = tmp_path / "bomb.parquet"
    table = pa.table({"s": ["y" * 1_000_000] * 500})
    with pq.ParquetWriter(path, table.schema, compression="zstd") as file:
        for _ in range(10):
            file.write_table(table)
    assert path.stat().st_size < 3000
    memory, came = measured(READ, path)
    assert memory < 512
    assert came == "5000 lines"


BOMBS = {
    "a row": {"s": ["y" * 500_000_000]},
    "a page": {"s": ["y" * 15_000_000] * 60},
    "a list": {"s": pa.array([np.zeros(60_000_000, np.int8)])},
    "a wide row": {f"s{i}": pa.array(["y" * MIB] * 20).dictionary_encode() for i in range(100)},
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_does_not_fit_a_record_or_the_memory_is_refused_in_one_line(tmp_path, name):
    path = tmp_path / "bomb.parquet"
    pq.write_table(pa.table(BOMBS[name]), path, compression="zstd", use_dictionary=False)
    memory, came = ingested(path)
    assert memory < 512
    assert "\n" not in came
    assert came.startswith("file must be readable; got '")
    assert "smaller row groups" in came or f"at most {MAX_VALUE_BYTES} bytes" in came


def test_lines_without_a_time_are_not_kept_waiting_by_the_gigabyte(tmp_path):
    path = tmp_path / "bomb.jsonl.zst"
    repeated(path, "zstd", b"x" * (MAX_VALUE_BYTES - 1) + b"\n", 60)
    memory, came = ingested(path)
    assert memory < 512
    assert came == "60 records"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize(("suffix", "codec"), [("gz", "gzip"), ("zst", "zstd")])
def test_empty_lines_are_passed_over_by_the_block(tmp_path, end, suffix, codec):
    path = tmp_path / f"bomb.jsonl.{suffix}"
    repeated(path, codec, end * 10_000_000, 20)
    begun = time.process_time()
    assert list(read_lines(path)) == []
    assert time.process_time() - begun < 15  # 200 million calls take a minute


def test_lines_between_empty_lines_are_all_read_and_counted(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    odd = [b"\n" * 300_001, b"\r\n" * 200_003, b"\n\r\n\n", b"\r\r\n", b"\n" * 8192, b"\r\n\n"]
    values = [b'{"a":%d}' % i for i in range(60)]
    path.write_bytes(gzip.compress(b"".join(v + b"\n" + odd[i % 6] for i, v in enumerate(values))))
    want = chain.from_iterable([v, b"\r"] if i % 6 == 3 else [v] for i, v in enumerate(values))
    assert [line.value for line in read_lines(path)] == list(want)
    path.write_bytes(gzip.compress(b"\n" * 123_456 + b"x" * (MAX_VALUE_BYTES + 1)))
    with pytest.raises(ValueError, match="line 123457"):
        list(read_lines(path))


def test_a_file_that_holds_more_than_any_of_its_size_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "most_bytes", lambda size: 50 * MIB + size)
    for name, write in {
        "a.jsonl.zst": lambda path: repeated(path, "zstd", b"\n" * MIB, 60),
        "b.jsonl.zst": lambda path: repeated(path, "zstd", b"x" * 10_000 + b"\n", 6000),
        "c.parquet": lambda path: pq.write_table(pa.table({"s": ["x" * 10_000] * 6000}), path),
    }.items():
        path = tmp_path / name
        write(path)
        with pytest.raises(
            (ValueError, OSError),
            match=r"of (this|its) size must .*at most \d+ bytes.*; got more",
        ):
            list(read_lines(path))


def test_wide_row_groups_are_decoded_some_columns_at_a_time(tmp_path):
    rows, random = 60_000, np.random.default_rng(1)
    table = pa.table(
        {f"c{i}": random.integers(0, 2**60, rows) for i in range(60)}
        | {"n.o": pa.nulls(rows, pa.int64()), "last": random.random(rows)}
    )
    path = tmp_path / "wide.parquet"
    pq.write_table(table, path, row_group_size=rows)
    memory, came = ingested(path)
    assert (memory < 512, came) == (True, f"{rows} records")
    near_end = table.slice(rows - 3).drop_columns("n.o").to_pylist()
    assert [json.loads(line.value) for line in read_lines(path)][-3:] == near_end


def test_large_values_in_few_rows_are_read_a_few_at_a_time(tmp_path):
    path = tmp_path / "a.parquet"
    sizes = [10] * 3000 + [8 * MIB] * 30
    table = pa.table({"s": [bytes([97 + i % 26]) * size for i, size in enumerate(sizes)]})
    pq.write_table(table, path, compression="zstd", use_dictionary=False, write_batch_size=1)
    got = [len(line.value) for line in read_lines(path)]
    assert got == [len('{"s":""}') + -(-size // 3) * 4 for size in sizes]


NS = pa.timestamp("ns")


def test_nested_timestamps_become_microseconds_at_any_depth(tmp_path):
    path = tmp_path / "a.parquet"
    noon = datetime(2013, 1, 1, 12, tzinfo=UTC)
    us = 15_706 * 86_400_000_000 + 12 * 3_600_000_000  # 15706 days since 1970
    odd = us * 1000 + 7
    table = pa.table(
        {
            "plain": pa.array([odd], NS),
            "list": pa.array([[odd, None]], pa.list_(NS)),
            "struct": pa.array([{"x": {"y": odd}}], pa.struct([("x", pa.struct([("y", NS)]))])),
            "map": pa.array([[("k", odd)]], pa.map_(pa.string(), NS)),
            "fixed": pa.array([[odd]], pa.list_(NS, 1)),
            "ms": pa.array([[noon]], pa.list_(pa.timestamp("ms", "UTC"))),
            "span": pa.array([2_000_000_001], pa.duration("ns")),
            "clock": pa.array([3_600_000_000_001], pa.time64("ns")),
        }
    )
    pq.write_table(table, path)
    (line,) = read_lines(path)
    assert json.loads(line.value) == {
        "plain": us,
        "list": [us, None],
        "struct": {"x": {"y": us}},
        "map": [["k", us]],
        "fixed": [us],
        "ms": [us],
        "span": "PT2S",
        "clock": "01:00:00",
    }


@pytest.mark.parametrize(
    ("table", "where"),
    [
        (pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]), ""),
        (
            pa.table({"s": pa.StructArray.from_arrays([pa.array([1])] * 2, ["a", "a"])}),
            " in 's'",
        ),
    ],
)
def test_columns_of_one_name_are_refused(tmp_path, table, where):
    path = tmp_path / "a.parquet"
    pq.write_table(table, path)
    with pytest.raises(
        OSError, match=f"columns must be distinct; got 'a' more than once{where}' in {path}"
    ):
        list(read_lines(path))


def test_no_damaged_parquet_crashes_the_reader(tmp_path):
    path = tmp_path / "a.parquet"
    texts = [f"k{i % 7}" for i in range(500)]
    pq.write_table(pa.table({"a": range(500), "b": texts, "c": [[1.5, None]] * 500}), path)
    whole = path.read_bytes()
    random = np.random.default_rng(3)
    for _ in range(12):
        broken = bytearray(whole)
        for at in random.integers(4, len(whole), 3):
            broken[at] = random.integers(256)
        path.write_bytes(broken)
        try:
            list(read_lines(path))
        except OSError as error:
            assert f"in {path}" in str(error)  # noqa: PT017 - some are read, wrongly or not


def test_the_decoder_ends_with_its_reader(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": range(100_000)}), path)
    before = threading.active_count()
    rows = parquet_rows.parquet_rows(path, MAX_VALUE_BYTES, 2**40)
    assert next(rows)[0] == b'{"a":0}'
    rows.close()  # the child has been waited for, or this would warn of it
    assert threading.active_count() == before


def test_rows_kept_with_a_model_are_measured_before_they_are_read():
    file = io.BytesIO()
    pq.write_table(pa.table({"x": ["y" * 500_000] * 100}), file, compression="zstd")
    assert len(file.getvalue()) < 5000
    with pytest.raises(KeptRowsError, match="at most 33554432 bytes"):
        check_kept_rows(file.getvalue())
