"""The health of a Kafka cluster: brokers, copies in sync, leaders, transactions that never end."""

import time
from collections.abc import Iterable
from typing import NamedTuple

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import OffsetSpec

from state.kafka.cluster import Cluster

_ANSWERS_WITHIN_S = 10.0
_TRANSACTION_S = 1.0

Place = tuple[str, int]


class Health(NamedTuple):
    """Figures of a cluster.

    Attributes:
        brokers: Number of brokers that the cluster has now.
        partitions: Number of partitions whose topic begins with the prefix.
        under_replicated: Those of them with fewer copies in sync than they should have.
        leaderless: Those of them that no broker leads.
        blocked: Those of them whose newest records cannot be read, as a transaction before them was
            never ended; see `HealthProbe.blocked`.
    """

    brokers: int
    partitions: int
    under_replicated: int
    leaderless: int
    blocked: int


class HealthProbe:
    """Asks a cluster for its health.

    Args:
        cluster: Cluster to ask.
        prefix: Prefix of the topics that count.
    """

    def __init__(self, cluster: Cluster, prefix: str) -> None:
        self._cluster, self._prefix = cluster, prefix
        self._asking, self._admin = cluster.consumer({}), cluster.admin()

    def look(self) -> Health:
        """The health now.

        Raises:
            LogError: Kafka does not answer.
        """
        what = "describe its topics"
        with self._cluster.doing(what):
            there = self._cluster.ask(
                what, lambda seconds: self._asking.list_topics(timeout=seconds), self._asking.poll
            )
        ours = {
            (name, number): partition
            for name, topic in there.topics.items()
            if name.startswith(self._prefix)
            for number, partition in topic.partitions.items()
        }
        led = [place for place, partition in ours.items() if partition.leader >= 0]
        return Health(
            len(there.brokers),
            len(ours),
            sum(len(one.isrs) < len(one.replicas) for one in ours.values()),
            len(ours) - len(led),
            len(self.blocked(led)),
        )

    def blocked(self, places: Iterable[Place], wait_s: float = _TRANSACTION_S) -> list[Place]:
        """The partitions whose newest records wait for a transaction that does not end.

        Readers get committed records only, and none that follows an open transaction: a program
        that hangs in one holds up all others, for up to its `transaction.timeout.ms`.

        Args:
            places: Kafka's names of topics, and partitions.
            wait_s: Longest time that a healthy transaction takes; waited only if one is open.

        Raises:
            LogError: Kafka does not answer.
        """
        found = self._open(places)
        if found:
            time.sleep(wait_s)
        later = self._open(found)
        return sorted(place for place, end in found.items() if later.get(place) == end)

    def close(self) -> None:
        """Close the connection."""
        self._asking.close()

    def _open(self, places: Iterable[Place]) -> dict[Place, int]:
        """The end for readers of each partition that holds more than they can read."""
        readable = self._ends(places, IsolationLevel.READ_COMMITTED)
        written = self._ends(readable, IsolationLevel.READ_UNCOMMITTED)
        return {place: end for place, end in readable.items() if end < written[place]}

    def _ends(self, places: Iterable[Place], isolation: IsolationLevel) -> dict[Place, int]:
        newest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        wanted = {TopicPartition(*place): newest for place in places}
        if not wanted:
            return {}
        with self._cluster.doing("look up the ends of its topics"):
            asked = self._admin.list_offsets(
                wanted,
                isolation_level=isolation,
                request_timeout=_ANSWERS_WITHIN_S,
            )
            return {(at.topic, at.partition): one.result().offset for at, one in asked.items()}
