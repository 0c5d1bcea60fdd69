"""Topics in Kafka: create them as a log needs them, describe them, and trim them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from state.kafka.cluster import MAX_MESSAGE_BYTES, Cluster, Patience
from state.log import LogError, UnknownTopicError

_LIMIT_S = 30
_RECHECK_S = 0.01


def config_of(replication: int) -> dict[str, str]:
    """Settings of each topic: no retention, and an append has at least two copies.

    Args:
        replication: Copies of each record.

    Example:
        >>> config_of(3)["min.insync.replicas"]
        '2'
    """
    return {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "max.message.bytes": str(MAX_MESSAGE_BYTES + 2**16),
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": str(max(1, replication - 1)),
        "unclean.leader.election.enable": "false",
    }


class Place(NamedTuple):
    """The brokers of a partition.

    Attributes:
        leader: `host:port` of the leading broker; empty: there is none.
        copies: Number of replicas it should have.
    """

    leader: str
    copies: int


class Topics:
    """The topics of one cluster.

    Args:
        cluster: The cluster.
        asking: A consumer for metadata, which never reads.
        replication: Copies of each record in topics that `create` makes.
    """

    def __init__(self, cluster: Cluster, asking: Consumer, replication: int) -> None:
        self._cluster, self._asking, self._replication = cluster, asking, replication

    def partitions(self, name: str) -> int:
        """Number of partitions of a topic.

        Raises:
            UnknownTopicError: The topic does not exist.
        """
        return len(self.places(name))

    def places(self, name: str) -> list[Place]:
        """The brokers of a topic's partitions; raises as `partitions` does."""
        what = f"look up topic {name!r}"
        with self._cluster.doing(what):
            found = self._cluster.ask(what, lambda s: self._look(name, s), self._asking.poll)
        if found is None:
            msg = f"topic must be created first; got {name!r} in {self._cluster}"
            raise UnknownTopicError(msg)
        return found

    def _look(self, name: str, seconds: float) -> list[Place] | None:
        there = self._asking.list_topics(name, seconds)
        topic = there.topics[name]
        if topic.error is None:
            brokers = {n: f"{one.host}:{one.port}" for n, one in there.brokers.items()}
            partitions = [topic.partitions[p] for p in sorted(topic.partitions)]
            return [Place(brokers.get(p.leader, ""), len(p.replicas)) for p in partitions]
        if topic.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        raise KafkaException(topic.error)

    def create(self, name: str, partitions: int) -> int:
        """Create a topic unless it exists; return its number of partitions."""
        config = config_of(self._replication)
        new = NewTopic(name, partitions, self._replication, config=config)
        with self._administering(f"make topic {name!r}"):
            admin = self._cluster.admin()  # it must live until the result is there
            try:
                admin.create_topics([new])[name].result(_LIMIT_S)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
        return self._await(name)

    def _await(self, name: str) -> int:
        """Wait until brokers know a new topic; each request may reach another broker."""
        waiting = Patience(self._cluster, f"find topic {name!r}")
        while True:
            try:
                return self.partitions(name)
            except UnknownTopicError:
                self._asking.poll(_RECHECK_S)
                waiting.go_on()

    def delete_before(self, place: TopicPartition) -> None:
        """Delete the records of a partition before an offset of Kafka's."""
        with self._administering(f"trim topic {place.topic!r}"):
            admin = self._cluster.admin()
            (deletion,) = admin.delete_records([place]).values()
            deletion.result(_LIMIT_S)

    def configured(self, name: str) -> dict[str, str]:
        """All settings of a topic."""
        resource = ConfigResource(ResourceType.TOPIC, name)
        with self._administering(f"read the settings of topic {name!r}"):
            admin = self._cluster.admin()
            entries = admin.describe_configs([resource])[resource].result(_LIMIT_S)
        return {key: str(entry.value) for key, entry in entries.items()}

    def configure(self, name: str, config: Mapping[str, str]) -> None:
        """Change settings of a topic; the others stay."""
        entries = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
            for key, value in config.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        with self._administering(f"change the settings of topic {name!r}"):
            admin = self._cluster.admin()
            admin.incremental_alter_configs([resource])[resource].result(_LIMIT_S)

    @contextmanager
    def _administering(self, what: str) -> Iterator[None]:
        """Turn an administrator's error into a LogError; a timeout has no message of its own."""
        try:
            with self._cluster.doing(what):
                yield
        except TimeoutError as error:
            msg = f"{self._cluster} must {what} within {_LIMIT_S} s; got no answer"
            raise LogError(msg) from error
