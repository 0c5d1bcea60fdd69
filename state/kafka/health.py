"""The health of a Kafka cluster, by its metadata: brokers, copies in sync, leaders."""

from typing import NamedTuple

from state.kafka.cluster import Cluster


class Health(NamedTuple):
    """Figures from the metadata.

    Attributes:
        brokers: Number of brokers that the cluster has now.
        partitions: Of the topics whose name begins with the prefix.
        under_replicated: Those of them with fewer copies in sync than they should have.
        leaderless: Those that nobody leads.
    """

    brokers: int
    partitions: int
    under_replicated: int
    leaderless: int


class HealthProbe:
    """Asks for the metadata.

    Args:
        cluster: Which.
        prefix: Of the topics that count.
    """

    def __init__(self, cluster: Cluster, prefix: str) -> None:
        self._cluster, self._prefix = cluster, prefix
        self._asking = cluster.consumer({})

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
        ours = [
            partition
            for name, topic in there.topics.items()
            if name.startswith(self._prefix)
            for partition in topic.partitions.values()
        ]
        return Health(
            len(there.brokers),
            len(ours),
            sum(len(one.isrs) < len(one.replicas) for one in ours),
            sum(one.leader < 0 for one in ours),
        )

    def close(self) -> None:
        """Let go of the connection."""
        self._asking.close()
