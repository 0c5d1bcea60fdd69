"""Compare Kafka's topics with those that a log needs, and change them.

A topic that may not belong to the log is left alone: in a shared cluster, a topic of that name may
be another program's.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from state.kafka.cluster import Cluster
from state.kafka.intake import Intakes
from state.kafka.partition import KafkaPartition
from state.kafka.reader import PointReader
from state.kafka.topics import Topics, config_of
from state.log import LogError, UnknownTopicError


class TopicDifference(NamedTuple):
    """A difference from the needed topics.

    Attributes:
        topic: Name in Kafka.
        line: Text for people: + to create, ~ to change, ! neither.
        partitions: Partition count of a topic to create, else 0.
        config: Settings to change, by name.
    """

    topic: str
    line: str
    partitions: int = 0
    config: Mapping[str, str] = {}


class TopicPlan:
    """Compares the topics of one cluster with the needed ones, and changes them.

    Args:
        cluster: The cluster.
        replication: Wanted copies of each record.
    """

    def __init__(self, cluster: Cluster, replication: int) -> None:
        self._cluster, self._replication = cluster, replication
        self._asking, self._probe = cluster.consumer({}), PointReader(cluster)
        self._intakes = Intakes(cluster)
        self._topics = Topics(cluster, self._asking, replication)

    def differences(self, wanted: Mapping[str, int]) -> Iterator[TopicDifference]:
        """The differences from the needed topics.

        Args:
            wanted: Partition count of each topic.
        """
        for name, partitions in wanted.items():
            try:
                yield from self._of(name, partitions)
            except UnknownTopicError:
                line = f"+ {name}: {partitions} partition{'s' * (partitions > 1)}"
                yield TopicDifference(name, line, partitions)

    def mend(self, difference: TopicDifference) -> bool:
        """Create or change a topic if possible; return whether it was."""
        if difference.partitions:
            self._topics.create(difference.topic, difference.partitions)
        elif difference.config:
            self._topics.configure(difference.topic, difference.config)
        return bool(difference.partitions or difference.config)

    def _of(self, name: str, partitions: int) -> Iterator[TopicDifference]:
        places = self._topics.places(name)
        copies = min(place.copies for place in places)
        have = self._topics.configured(name)
        other = {key: value for key, value in config_of(copies).items() if have.get(key) != value}
        if len(places) != partitions:
            yield TopicDifference(
                name, f"! {name}: has {len(places)} partitions, must have {partitions}"
            )
        elif other and (why := self._foreign(name, partitions)):
            yield TopicDifference(name, f"! {name}: not changed, it may not be Headwater's: {why}")
        else:
            for key, value in other.items():
                line = f"~ {name}: {key} {have.get(key)} → {value}"
                yield TopicDifference(name, line, config={key: value})
        if copies != self._replication:
            told = f"{copies} cop{'ies' if copies > 1 else 'y'} of each record"
            yield TopicDifference(name, f"! {name}: has {told}, must have {self._replication}")

    def _foreign(self, name: str, partitions: int) -> str:
        """The reason why a topic may not be ours; empty: its first and last records are ours."""
        for partition in range(partitions):
            there = KafkaPartition(
                self._cluster,
                self._asking,
                self._probe,
                self._intakes.open,
                name=name,
                topic=name,
                partition=partition,
            )
            try:
                there.start()
                there.last()
            except LogError as error:
                return str(error)
        return ""
