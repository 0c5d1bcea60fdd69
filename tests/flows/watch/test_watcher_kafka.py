"""A look at a log in Kafka: the same figures, Kafka's own, and patience while it is away."""

import time
import uuid
from contextlib import closing

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from flows.__main__ import main
from flows.home.configuration import load_settings
from flows.home.kafka import kafka_health
from flows.watch.view import problems_of
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
        assert after.log.kafka == type(after.log.kafka)(1, 13, 0, 0, 0)
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


def test_records_behind_a_transaction_that_was_never_ended_are_told(
    tmp_path, broker, prefix, capsys
):
    ingest(tmp_path, asked(0, 3))
    hanging = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": prefix})
    hanging.init_transactions()
    hanging.begin_transaction()
    hanging.produce(f"{prefix}events", b"never ended", partition=0)
    hanging.flush()
    ingest(tmp_path, asked(3, 9))
    with closing(watcher()) as eyes:
        assert "HeadwaterKafkaBlocked" in [problem.name for problem in problems_of(eyes.look())]
    run()
    said = capsys.readouterr().err
    assert "Not up to date: 5 events read" in said
    assert "more is in events/0, and hidden until another program ends its transaction" in said
    assert main(["doctor", "--no-h2o"]) == 1
    assert "events must all be readable; more is in events/0" in capsys.readouterr().out
    hanging.abort_transaction()
    run()
    assert "Up to date: 14 events read" in capsys.readouterr().err
    assert main(["doctor", "--no-h2o"]) == 0


def test_doctor_tells_that_the_events_were_deleted_and_their_topic_made_anew(
    tmp_path, broker, prefix, capsys
):
    ingest(tmp_path, asked(0, 3))
    run()
    assert main(["doctor", "--no-h2o"]) == 0
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.delete_topics([f"{prefix}events"])[f"{prefix}events"].result()
    made_again = time.monotonic() + 60
    while main(["topics", "--apply"]) != 0:
        assert time.monotonic() < made_again
    capsys.readouterr()
    assert main(["doctor", "--no-h2o"]) == 1
    assert "log must reach offset 5, up to which it was read" in capsys.readouterr().out
