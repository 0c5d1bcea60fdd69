"""A look at a log in Kafka: the same figures, Kafka's own, and patience while it is away."""

import time
import uuid
from contextlib import closing

import pytest

from flows.__main__ import main
from flows.home.configuration import load_settings
from flows.home.kafka import kafka_health
from tests.flows.watch.worlds import SETTINGS, asked, ingest, run, settle, watcher


@pytest.fixture
def prefix():
    return f"{uuid.uuid4().hex[:8]}."


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch, broker, prefix):
    kafka = f'[kafka]\nbootstrap = "{broker.bootstrap}"\nprefix = "{prefix}"\n'
    settle(tmp_path, monkeypatch, f'log = "kafka"\n{SETTINGS}{kafka}')
    assert main(["topics", "--apply"]) == 0


def test_a_look_counts_what_a_run_did_and_says_how_kafka_is(tmp_path, broker):
    ingest(tmp_path, [*asked(0, 60), b"junk"])
    with closing(watcher()) as eyes:
        before = eyes.look()
        assert before.trouble == ""
        assert before.log.status.partitions[0].lag == 91
        run()
        after = eyes.look()
        assert after.trouble == ""
        (part,) = after.log.status.partitions
        assert (part.end, part.position, part.lag) == (91, 91, 0)
        assert after.log.status.ends["predictions"] == 60
        assert after.log.events.dead_letters["malformed"] == 1
        # Eleven topics of one partition; alerts and dead letters have one more.
        assert after.log.kafka == type(after.log.kafka)(1, 13, 0, 0)
        broker.pause()
        try:
            started = time.monotonic()
            away = eyes.look()
            assert time.monotonic() - started < 60
        finally:
            broker.resume()
        assert "Kafka at" in away.trouble
        assert away.log == after.log
        back = eyes.look()
        while back.trouble and time.monotonic() - started < 180:
            back = eyes.look()
    assert back.trouble == ""
    assert back.log.events.dead_letters["malformed"] == 1


def test_topics_of_others_do_not_count(prefix):
    settings = load_settings().kafka
    with closing(kafka_health(settings)) as health:
        assert health.look().partitions == 13
