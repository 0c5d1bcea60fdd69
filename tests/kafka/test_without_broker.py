"""Without a broker the tests pass, and report in one line which were skipped."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kafka import broker

ROOT = Path(__file__).parents[2]
TESTS = (
    "tests/flows/commands/test_status.py",  # takes the fixture by its name, for some parameters
    "tests/state/kafka/test_log.py::test_librdkafkas_own_mock_cluster_takes_and_gives_back_records",
    "tests/state/kafka/test_log.py::test_topics_are_made_as_wanted_and_compared",
)


@pytest.fixture
def no_cache(tmp_path, monkeypatch):
    """No jars yet; what `mvn` is, each test says."""
    monkeypatch.delenv("HEADWATER_KAFKA_JARS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def mvn(folder, text):
    program = folder / "mvn"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_what_needs_one_is_skipped_and_told_in_one_line(tmp_path, workers):
    words = [sys.executable, "-m", "pytest", workers, "-m", "", "-p", "no:cacheprovider", *TESTS]
    environment = {**os.environ, "HEADWATER_KAFKA_JARS": str(tmp_path)}
    done = subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    (line,) = [line for line in done.stdout.splitlines() if "SKIPPED" in line]
    assert f"Kafka's jars must be in {tmp_path}; HEADWATER_KAFKA_JARS has none" in line
    assert "tests/flows/commands/test_status.py (2), tests/state/kafka/test_log.py (1)" in line
    assert " passed, 3 skipped" in done.stdout


def test_a_maven_that_hangs_is_given_up(no_cache, monkeypatch):
    mvn(no_cache, "exec sleep 100")
    monkeypatch.setattr(broker, "MAVEN_WITHIN_S", 0.3)
    with pytest.raises(broker.NoKafkaError, match=r"bring Kafka's jars within 0\.3 s; got none"):
        broker.jars()


def test_a_maven_out_of_reach_is_told(no_cache):
    mvn(no_cache, "echo 'Unknown host'; exit 1")
    with pytest.raises(broker.NoKafkaError, match="got 'Unknown host'"):
        broker.jars()
