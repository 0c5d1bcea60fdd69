"""The latencies that are printed are of the requests that were fed, at the rate asked for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("words", "share"),
    [((), 0.42), (("--scorer",), 1.0)],  # of the market's events 42 % are requests
)
def test_it_prints_latencies_of_what_was_fed(broker, words, share):
    words = [sys.executable, "-m", "bench.bench_kafka_latency", "--json", *words]
    words += ["--bootstrap", broker.bootstrap, "--rate", "200", "--seconds", "3"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["per_s"] == pytest.approx(200, rel=0.1)
    assert found["measured"] == pytest.approx(600 * share, rel=0.1)
    assert 0 < found["p50_ms"] <= found["p99_ms"] <= found["max_ms"]


def test_a_rate_that_cannot_be_is_refused():
    words = [sys.executable, "-m", "bench.bench_kafka_latency", "--rate", "0"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--rate and --seconds must be at least 1; got 0, 20" in done.stderr
