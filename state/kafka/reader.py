"""Reading records from Kafka by their physical offsets, and errors that come in their place."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, TopicPartition

from state.kafka.cluster import Cluster, Patience, passes
from state.kafka.records import FoundRecord, found
from state.log import OffsetError

_EOF = KafkaError._PARTITION_EOF  # noqa: SLF001 - librdkafka's own names
_CUT = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})  # noqa: SLF001
_BLOCK_S = 0.1


class PointReader:
    """Reads a few records at any position; for one thread at a time.

    Args:
        cluster: Cluster of the log.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lock = threading.Lock()
        # A pending fetch would delay the next one for as long as it may wait.
        self._consumer = cluster.consumer({"fetch.wait.max.ms": 1, "queued.min.messages": 1})
        self._known: set[str] = set()

    def records(
        self, name: str, partition: int, physical: int, most: int, *, until: int | None = None
    ) -> list[FoundRecord]:
        """Read committed records from a physical offset on.

        Args:
            name: Name of the topic in Kafka.
            partition: The partition.
            physical: Offset between the low and the high watermark.
            most: Most records; fewer at the end.
            until: Physical offset; wait for no more records once all before it have come.
        """
        place = f"{name}/{partition}"
        records: list[FoundRecord] = []
        assigned = TopicPartition(name, partition, physical)
        with self._lock, self._assigned(assigned):
            waiting = Patience(self._cluster, f"read {place}")
            while len(records) < most:
                messages = self._consumer.consume(most - len(records), 0)
                if not messages:
                    if until is not None and self._reached(assigned) >= until:
                        break
                    messages = self._consumer.consume(1, _BLOCK_S)
                for message in messages:
                    error = message.error()
                    if error is None:
                        records.append(found(message))
                    elif error.code() == _EOF:
                        return records
                    else:
                        refuse(self._cluster, place, error)
                    waiting = Patience(self._cluster, f"read {place}")
                waiting.go_on()
        return records

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()

    def _reached(self, assigned: TopicPartition) -> int:
        (place,) = self._consumer.position([assigned])
        return max(assigned.offset, place.offset)

    @contextmanager
    def _assigned(self, place: TopicPartition) -> Iterator[None]:
        if place.topic not in self._known:
            self._cluster.look_up(self._consumer, place.topic, self._consumer.poll)
            self._known.add(place.topic)
        self._consumer.assign([place])
        try:
            yield
        finally:
            self._consumer.unassign()


def refuse(cluster: Cluster, place: str, error: KafkaError) -> None:
    """Raise the error that a reader got instead of a record, unless it is temporary.

    Raises:
        OffsetError: The next record was deleted.
        LogError: Reading is not permitted, or fails.
    """
    if error.code() in _CUT:
        msg = f"log must still hold the next record; got '{error.str()}' in {place}: was it cut?"
        raise OffsetError(msg)
    # librdkafka asks for the coordinator of a group that is not used here.
    if not passes(error) and error.code() != KafkaError.GROUP_AUTHORIZATION_FAILED:
        what = f"read {place}"
        raise cluster.failure(what, error)
    cluster.note(error)
