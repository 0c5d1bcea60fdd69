"""Readers of a foreign topic that has lost records."""

import re
import time
import uuid

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from flows.home.wall_clock import microseconds_now
from state.durations import Duration
from state.ingest.mapping import Foreign
from state.kafka import foreign_topics
from state.kafka.broker_clocks import BrokerClocks
from state.kafka.cluster import Cluster
from state.kafka.foreign_topics import ForeignTopics
from state.log import LogError
from tests.kafka.matrix import pair
from tests.waiting import until

MINUTE, HOUR = Duration.parse("1m"), Duration.parse("1h")


NOW, FUTURE = 1_000, 2**63 - 1


@pytest.mark.parametrize(
    ("timestamps", "before", "first"),
    [
        ([5], 0, 5),
        ([FUTURE], 0, NOW),  # it has come, whatever it says
        ([FUTURE], 7, NOW),
        ([FUTURE, 6, 7, 8], 0, 7),  # as early as those after it
        ([FUTURE, 6, 7, 8], 9, 9),
        ([5, FUTURE, FUTURE, FUTURE], 0, 5),
        ([NOW + 1, NOW + 2], 0, NOW),  # a broker's clock that is ahead
        ([900, 6, 7], 0, 7),  # a jump up to now
    ],
)
def test_no_record_was_appended_later_than_now(timestamps, before, first):
    partition = foreign_topics._Partition(("crm", 0), 0)
    partition.time = before
    for offset, timestamp in enumerate(timestamps):
        partition.fetched.append(Foreign("crm", 0, offset, timestamp, b"", {}, b""))
    assert partition.first_time(NOW) == first


class Topic:
    """A topic, with a reader that keeps what it says."""

    def __init__(self, bootstrap, *, placed, kind="CreateTime", off_us=0):
        quiet = {"bootstrap.servers": bootstrap, "log_level": 0, "error_cb": lambda _: None}
        self.name = uuid.uuid4().hex[:8]
        config = {"message.timestamp.type": kind}
        new = NewTopic(self.name, len(placed), replica_assignment=placed, config=config)
        admin = AdminClient(quiet)  # it must live until the result is there
        admin.create_topics([new])[self.name].result()
        self.producer = Producer(quiet)
        self.said = []
        self.cluster = Cluster(bootstrap, {}, self.said.append, patience_s=6)
        self.reader, self.off_us = None, off_us

    def send(self, *partitions):
        for partition in partitions:
            self.producer.produce(self.name, b"x", partition=partition)
        assert not self.producer.flush(30)

    def read(self, count):
        """Read from the beginning until so many have come."""
        clocks = BrokerClocks(MINUTE, HOUR, self.said.append)
        self.reader = ForeignTopics(
            self.cluster, [self.name], lambda _: 0, self.now, clocks, skip_lost=False
        )
        while count > 0:
            count -= len(self.reader.read())
        while not self.reader.at_end():
            assert not self.reader.read()

    def now(self):
        """This machine's time, which is that much later than the broker's."""
        return microseconds_now() + self.off_us

    def trickle(self, partition, until):
        """Read on while one record after the other comes to a partition."""
        while not until():
            self.send(partition)
            self.reader.look()
            self.reader.read()


def test_a_partition_that_does_not_answer_is_named_and_not_waited_for_for_ever(broker):
    topic = Topic(broker.bootstrap, placed=[[1], [1], [1]])
    topic.send(0, 1, 2)
    topic.read(3)
    silent = TopicPartition(topic.name, 1)
    topic.reader._partitions[topic.name, 1].ended = False  # its newest was fetched, not its end
    topic.reader._consumer.incremental_unassign([silent])
    started = time.monotonic()
    with pytest.raises(LogError, match=rf"within 6 s \(read {topic.name}/1, which must"):
        topic.trickle(0, lambda: time.monotonic() - started > 30)
    assert 5 < time.monotonic() - started < 20
    assert f"(read {topic.name}/1, which must come before records of others)" in topic.said[0]
    topic.reader.close()


def test_patience_begins_anew_once_something_was_given(broker):
    topic = Topic(broker.bootstrap, placed=[[1], [1]])
    topic.send(0, 1)
    topic.read(2)
    started = time.monotonic()
    topic.trickle(0, lambda: time.monotonic() - started > 8)
    assert topic.said == []
    topic.reader.close()


@pytest.mark.parametrize(("off", "told"), [(-3 * HOUR, "ahead"), (3 * HOUR, "behind")])
def test_a_broker_whose_clock_is_off_is_named_once_an_hour(broker, off, told):
    topic = Topic(broker.bootstrap, placed=[[1], [1]], kind="LogAppendTime", off_us=off)
    topic.read(0)
    topic.trickle(1, lambda: topic.said)
    (line,) = topic.said
    assert line.startswith(f"clock of Kafka's broker {broker.bootstrap} must be within 1m of ")
    by_s = re.search(rf"got one ([\d,.]+) s {told} in {topic.name}/1: ", line)[1]
    assert float(by_s.replace(",", "")) == pytest.approx(3 * 3600, abs=20)
    for _ in range(3):
        topic.send(0, 1)
        until(lambda: any(len(topic.reader.read()) for _ in range(2)))
    assert len(topic.said) == 1
    topic.off_us += HOUR + MINUTE
    topic.trickle(0, lambda: len(topic.said) == 2)
    topic.reader.close()


def test_a_broker_is_not_judged_by_an_old_backlog_nor_by_producers_clocks(broker):
    backlog = Topic(broker.bootstrap, placed=[[1]], kind="LogAppendTime", off_us=3 * HOUR)
    backlog.send(*[0] * 50)
    backlog.read(50)
    assert backlog.said == []
    produced = Topic(broker.bootstrap, placed=[[1]], off_us=-3 * HOUR)
    produced.send(*[0] * 50)
    produced.read(50)
    assert produced.said == []
    for topic in (backlog, produced):
        topic.reader.close()


@pytest.mark.timeout(120)
def test_a_partition_without_a_leader_is_told_while_the_others_are_read(tmp_path, broker):
    with pair(tmp_path) as (one, two):
        topic = Topic(one.bootstrap, placed=[[1], [2]])
        topic.send(0, 1)
        topic.read(2)
        two.kill()
        topic.trickle(0, lambda: topic.said)
    assert topic.said[0] == f"Waiting for a broker that leads {topic.name}/1"
    topic.reader.close()
