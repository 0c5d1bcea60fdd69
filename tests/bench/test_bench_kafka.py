"""The figures through a broker are of the work that the embedded log's are of."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.bench_kafka import Row, medians

ROOT = Path(__file__).parents[2]
EVENTS = 2_000


def test_the_flow_scores_and_learns_in_kafka_what_it_does_in_sqlite(broker):
    words = [sys.executable, "-m", "bench.bench_kafka", "--events", str(EVENTS), "--json"]
    words += ["--bootstrap", broker.bootstrap, "--pid", str(broker.process.pid)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = {(row["what"], row["size_bytes"]): row for row in json.loads(done.stdout)}
    assert {row["events"] for row in rows.values()} == {EVENTS}
    for size in (300, 1_000):
        embedded, kafka = rows["flow, SQLite", size], rows["flow", size]
        assert embedded["requests"] == kafka["requests"] > EVENTS / 3
        assert embedded["labels"] == kafka["labels"] > 0
        plain = rows["consume", size]
        assert kafka["ratio"] == pytest.approx(plain["work_s"] / kafka["work_s"])
        assert plain["ratio"] == 1
        assert min(kafka["start_s"], kafka["work_s"], kafka["end_s"]) > 0
        assert rows["append", size]["broker_cpu"] > 0
        assert kafka["broker_cpu"] > 0


def row(what, work_s):
    return Row(what, 300, 1_000, 0, 0, 1.0, work_s, 1.0, 0.5, 0.5)


def test_of_rounds_the_median_of_each_row_is_shown():
    rounds = [[row("consume", c), row("flow", f)] for c, f in ((1, 9), (3, 8), (2, 10))]
    consume, flow = medians(rounds)
    assert (consume.work_s, flow.work_s) == (2, 9)
    assert flow.ratio == pytest.approx(2 / 9)
