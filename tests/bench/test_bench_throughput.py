"""Every row does the work it names, and the figures follow from events, bytes and seconds."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from flows.streams.quotes import Filled, Quote, stream

PROGRAM = Path(__file__).parents[2] / "bench" / "bench_throughput.py"
EVENTS = 3_000


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, PROGRAM, *arguments], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, int], dict]:
    done = run("--events", str(EVENTS), "--json")
    assert done.returncode == 0, done.stderr
    return {(row["what"], row["size_bytes"]): row for row in json.loads(done.stdout)}


@pytest.fixture(scope="module")
def program() -> dict:
    return runpy.run_path(str(PROGRAM))


def test_each_way_is_measured_at_300_bytes_and_1_kb(rows):
    ways = {"decode", "River", "shard, predict only", "shard"}
    ways |= {"full path, predict only", "full path"}
    assert set(rows) == {(way, size) for way in ways for size in (300, 1_000)}
    assert {row["events"] for row in rows.values()} == {EVENTS}


@pytest.mark.parametrize("size", [300, 1_000])
def test_every_quote_is_scored_and_every_label_learned(rows, program, size):
    events = [stream.decoder().decode(event) for event in program["hour"](EVENTS, size)]
    quotes = {event.id for event in events if isinstance(event, Quote)}
    told = sum(isinstance(event, Filled) and event.of in quotes for event in events)
    # The last second is not over for the watermark, which is that late.
    over = max(event.time for event in events) - 1_000_000
    ends = {event.of for event in events if isinstance(event, Filled)}
    silent = sum(
        isinstance(event, Quote) and event.id not in ends and event.expires + 10_000_000 <= over
        for event in events
    )
    assert rows["River", size]["requests"] == len(quotes)
    assert rows["River", size]["labels"] == told
    # Each partition has a watermark of its own, a little behind that of all.
    assert rows["shard", size]["labels"] == pytest.approx(told + silent, abs=20)
    assert rows["shard", size]["requests"] == len(quotes)
    assert rows["full path", size]["requests"] == len(quotes)
    assert rows["full path", size]["labels"] == rows["shard", size]["labels"]


@pytest.mark.parametrize("size", [300, 1_000])
def test_predict_only_scores_every_quote_and_learns_nothing(rows, program, size):
    events = [stream.decoder().decode(event) for event in program["burst"](EVENTS, size)]
    quotes = [event for event in events if isinstance(event, Quote)]
    assert len(events) == EVENTS
    assert max(event.time for event in events) < min(quote.expires for quote in quotes)
    for way in ("shard, predict only", "full path, predict only"):
        assert (rows[way, size]["requests"], rows[way, size]["labels"]) == (len(quotes), 0)


def test_ratios_are_to_decoding_alone(rows):
    for (_, size), row in rows.items():
        base = rows["decode", size]["seconds"]
        assert row["ratio"] == pytest.approx(base / row["seconds"])


def test_the_table_shows_rates_of_events_and_bytes(program):
    row = program["Row"]("shard", 500, 1_000, 420, 400, seconds=0.25, cpu=0.5, ratio=0.125)
    heads, figures = program["text"]([row]).splitlines()
    assert heads.split()[-7:] == ["MB/s", "GB/h", "of", "decode", "cpu", "requests", "labels"]
    # 1,000 events of 500 bytes in a quarter of a second.
    assert figures.split() == ["shard", "500", "4,000", "2.0", "7.2", "0.125", "50%", "420", "400"]


def test_no_events_are_refused():
    done = run("--events", "0")
    assert done.returncode == 2
    assert "--events must be positive; got 0" in done.stderr
