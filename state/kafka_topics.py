"""Topics in Kafka as Headwater wants them: made, and compared with what is there."""

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

from state.kafka_cluster import MAX_MESSAGE_BYTES, Cluster, Waiting
from state.log import LogError, UnknownTopicError

_LIMIT_S = 30
_RECHECK_S = 0.01


def config_of(replication: int) -> dict[str, str]:
    """The settings of each topic: nothing is dropped, and an append has two copies at least.

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
    partitions: int
    config: dict[str, str]


class Topics:
    """The topics of one cluster.

    Args:
        cluster: Which.
        asking: A consumer that never reads.
        replication: Copies of each record in the topics that this makes.
    """

    def __init__(self, cluster: Cluster, asking: Consumer, replication: int) -> None:
        self._cluster, self._asking, self._replication = cluster, asking, replication

    def partitions(self, name: str) -> int:
        """How many partitions a topic has.

        Raises:
            UnknownTopicError: There is no such topic.
        """
        what = f"look for topic {name!r}"
        with self._cluster.doing(what):
            found = self._cluster.ask(what, lambda s: self._look(name, s), self._asking.poll)
        if found is None:
            msg = f"topic must be created first; got {name!r} in {self._cluster}"
            raise UnknownTopicError(msg)
        return found

    def _look(self, name: str, seconds: float) -> int | None:
        topic = self._asking.list_topics(name, seconds).topics[name]
        if topic.error is None:
            return len(topic.partitions)
        if topic.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        raise KafkaException(topic.error)

    def create(self, name: str, partitions: int) -> None:
        """Make a topic; nothing is done if it is there."""
        config = config_of(self._replication)
        new = NewTopic(name, partitions, self._replication, config=config)
        with self._administering(f"make topic {name!r}"):
            admin = self._cluster.admin()  # it must live until the result is there
            try:
                admin.create_topics([new])[name].result(_LIMIT_S)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
        self._await(name)

    def _await(self, name: str) -> None:
        """Brokers hear of a new topic one after the other."""
        waiting = Waiting(self._cluster, f"see topic {name!r}")
        while True:
            try:
                self.partitions(name)
            except UnknownTopicError:
                self._asking.poll(_RECHECK_S)
                waiting.go_on()
            else:
                return

    def delete_before(self, place: TopicPartition) -> None:
        """Delete the records of a partition that lie before an offset of Kafka's."""
        with self._administering(f"trim topic {place.topic!r}"):
            admin = self._cluster.admin()
            (deletion,) = admin.delete_records([place]).values()
            deletion.result(_LIMIT_S)

    def differences(self, wanted: Mapping[str, int]) -> Iterator[Difference]:
        """What is not as it should be.

        Args:
            wanted: How many partitions each topic should have.
        """
        for name, partitions in wanted.items():
            try:
                there = self.partitions(name)
            except UnknownTopicError:
                line = f"+ {name}: {partitions} partition{'s' * (partitions > 1)}"
                yield Difference(name, line, partitions, {})
                continue
            if there != partitions:
                line = f"! {name}: has {there} partitions, must have {partitions}"
                yield Difference(name, line, 0, {})
            have = self._configured(name)
            for key, value in config_of(self._replication).items():
                if have.get(key) != value:
                    line = f"~ {name}: {key} {have.get(key)} → {value}"
                    yield Difference(name, line, 0, {key: value})

    def mend(self, difference: Difference) -> bool:
        """Make or change what can be; whether it could."""
        if difference.partitions:
            self.create(difference.topic, difference.partitions)
        elif difference.config:
            self._configure(difference.topic, difference.config)
        return bool(difference.partitions or difference.config)

    @contextmanager
    def _administering(self, what: str) -> Iterator[None]:
        """Make an error of an administrator's one of ours; its silence has no words."""
        try:
            with self._cluster.doing(what):
                yield
        except TimeoutError as error:
            msg = f"{self._cluster} must {what} within {_LIMIT_S} s; got no answer"
            raise LogError(msg) from error

    def _configured(self, name: str) -> dict[str, str]:
        resource = ConfigResource(ResourceType.TOPIC, name)
        with self._administering(f"see the settings of topic {name!r}"):
            admin = self._cluster.admin()
            entries = admin.describe_configs([resource])[resource].result(_LIMIT_S)
        return {key: str(entry.value) for key, entry in entries.items()}

    def _configure(self, name: str, config: Mapping[str, str]) -> None:
        entries = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
            for key, value in config.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        with self._administering(f"change the settings of topic {name!r}"):
            admin = self._cluster.admin()
            admin.incremental_alter_configs([resource])[resource].result(_LIMIT_S)
