"""The figures through a broker are of the work that the embedded log's are of."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
        assert kafka["ratio"] == pytest.approx(embedded["seconds"] / kafka["seconds"])
        assert rows["append", size]["broker_cpu"] > 0
        assert kafka["broker_cpu"] > 0
