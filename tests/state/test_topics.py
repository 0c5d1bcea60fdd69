"""The table of topics says what those who use it did."""

import pytest

from flows.home.home import wanted_topics
from flows.home.kafka import role_in
from flows.reading import _RECORDS
from operators.shard import shard
from state.log import EVENTS
from state.topics import OUTCOMES, SNAPSHOTS, TOPICS


def named(what):
    return {name for name, topic in TOPICS.items() if what(topic)}


def test_partitions_are_as_they_were_before_the_table():
    assert wanted_topics(8) == {
        "events": 8, "ingested": 8, "activations": 8, "snapshots": 8, "predictions": 8,
        "outcomes": 8, "metrics": 8, "alerts": 9, "dead_letters": 9, "models": 1, "rollbacks": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("topic", "partition", "role"),
    [
        ("events", 7, "ingest"), ("ingested", 7, "ingest"), ("activations", 7, "shard"),
        ("snapshots", 7, "shard"), ("predictions", 7, "shard"), ("outcomes", 7, "shard"),
        ("metrics", 7, "shard"), ("alerts", 7, "shard"), ("alerts", 8, "trainer"),
        ("dead_letters", 7, "shard"), ("dead_letters", 8, "ingest"), ("models", 0, "trainer"),
        ("rollbacks", 0, "operator"),
    ],
)  # fmt: skip
def test_each_partition_has_its_one_writer(topic, partition, role):
    assert role_in(lambda: 8, topic, partition) == role


def test_what_a_shard_emits_and_its_cuts_are_made_again():
    assert named(lambda topic: topic.follows) == {*shard.TOPICS, SNAPSHOTS}


def test_what_retention_keeps_track_of_can_be_trimmed():
    assert named(lambda topic: topic.trimmable) == {EVENTS, *shard.TOPICS}


def test_only_what_nothing_is_made_from_may_go_by_its_age():
    assert named(lambda topic: topic.is_end) == {"predictions", "metrics", "alerts"}


def test_the_records_of_each_topic_are_declared_once():
    declared = named(lambda topic: topic.record is not None)
    assert declared.isdisjoint(_RECORDS)
    assert declared | {*_RECORDS, EVENTS, OUTCOMES} == {*TOPICS}
