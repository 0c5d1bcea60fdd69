"""Kafka's topics compared with what a log needs, and brought to it.

What is not certain to be a log's is left alone: in a cluster that others share a topic of the same
name may be theirs.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from state.kafka.cluster import Cluster
from state.kafka.intake import Intakes
from state.kafka.partition import KafkaPartition
from state.kafka.reader import PointReader
from state.kafka.topics import Topics, config_of
from state.log import LogError, UnknownTopicError


class Difference(NamedTuple):
    """What is not as it should be.

    Attributes:
        topic: Kafka's name of it.
        line: For people: + to be made, ~ to be changed, ! neither.
        partitions: Of a topic that is to be made, else 0.
        config: Settings to be changed, by name.
    """

    topic: str
    line: str
    partitions: int = 0
    config: Mapping[str, str] = {}


class Comparison:
    """Compares the topics of one cluster, and mends what can be.

    Args:
        cluster: Which.
        replication: Copies of each record that there should be.
    """

    def __init__(self, cluster: Cluster, replication: int) -> None:
        self._cluster, self._replication = cluster, replication
        self._asking, self._probe = cluster.consumer({}), PointReader(cluster)
        self._intakes = Intakes(cluster)
        self._topics = Topics(cluster, self._asking, replication)

    def differences(self, wanted: Mapping[str, int]) -> Iterator[Difference]:
        """What is not as it should be.

        Args:
            wanted: How many partitions each topic should have.
        """
        for name, partitions in wanted.items():
            try:
                yield from self._of(name, partitions)
            except UnknownTopicError:
                line = f"+ {name}: {partitions} partition{'s' * (partitions > 1)}"
                yield Difference(name, line, partitions)

    def mend(self, difference: Difference) -> bool:
        """Make or change what can be; whether it could."""
        if difference.partitions:
            self._topics.create(difference.topic, difference.partitions)
        elif difference.config:
            self._topics.configure(difference.topic, difference.config)
        return bool(difference.partitions or difference.config)

    def _of(self, name: str, partitions: int) -> Iterator[Difference]:
        places = self._topics.places(name)
        copies = min(place.copies for place in places)
        have = self._topics.configured(name)
        other = {key: value for key, value in config_of(copies).items() if have.get(key) != value}
        if len(places) != partitions:
            yield Difference(
                name, f"! {name}: has {len(places)} partitions, must have {partitions}"
            )
        elif other and (why := self._foreign(name, partitions)):
            yield Difference(name, f"! {name}: is not changed, for it may not be ours: {why}")
        else:
            for key, value in other.items():
                line = f"~ {name}: {key} {have.get(key)} → {value}"
                yield Difference(name, line, config={key: value})
        if copies != self._replication:
            told = f"{copies} cop{'ies' if copies > 1 else 'y'} of each record"
            yield Difference(name, f"! {name}: has {told}, must have {self._replication}")

    def _foreign(self, name: str, partitions: int) -> str:
        """Why a topic may not be ours; empty: both ends of each partition are as we write them."""
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
