"""What a foreign topic that is not all there does to those that read it."""

import time
import uuid

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from flows.foreign import microseconds_now
from flows.foreign_topics import ForeignTopics
from state.kafka_cluster import Cluster
from state.log import LogError
from tests.kafka.matrix import pair


class Topic:
    """A topic, with a reader that keeps what it says."""

    def __init__(self, bootstrap, *, placed):
        quiet = {"bootstrap.servers": bootstrap, "log_level": 0, "error_cb": lambda _: None}
        self.name = uuid.uuid4().hex[:8]
        new = NewTopic(self.name, len(placed), replica_assignment=placed)
        admin = AdminClient(quiet)  # it must live until the result is there
        admin.create_topics([new])[self.name].result()
        self.producer = Producer(quiet)
        self.said = []
        self.cluster = Cluster(bootstrap, {}, self.said.append, patience_s=6)
        self.reader = None

    def send(self, *partitions):
        for partition in partitions:
            self.producer.produce(self.name, b"x", partition=partition)
        assert not self.producer.flush(30)

    def read(self, count):
        """Read from the beginning until so many have come."""
        self.reader = ForeignTopics(
            self.cluster, [self.name], lambda _: 0, microseconds_now, skip_lost=False
        )
        while count > 0:
            count -= len(self.reader.read())
        while not self.reader.at_end():
            assert not self.reader.read()

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
    with pytest.raises(LogError, match=rf"within 6 s \(read {topic.name}/1, before which"):
        topic.trickle(0, lambda: time.monotonic() - started > 30)
    assert 5 < time.monotonic() - started < 20
    assert f"(read {topic.name}/1, before which nothing of others may go)" in topic.said[0]
    topic.reader.close()


def test_patience_begins_anew_once_something_was_given(broker):
    topic = Topic(broker.bootstrap, placed=[[1], [1]])
    topic.send(0, 1)
    topic.read(2)
    started = time.monotonic()
    topic.trickle(0, lambda: time.monotonic() - started > 8)
    assert topic.said == []
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
