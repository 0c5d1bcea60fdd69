"""Reading records from Kafka by their physical offsets, and errors that come in their place."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, TopicPartition

from state.kafka.cluster import Cluster, Waiting, passes
from state.kafka.records import Found, found
from state.log import OffsetError

_EOF = KafkaError._PARTITION_EOF  # noqa: SLF001 - librdkafka's own names
_CUT = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})  # noqa: SLF001
_BLOCK_S = 0.1


class PointReader:
    """Reads a few records anywhere; used by one thread at a time.

    Args:
        cluster: Where.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lock = threading.Lock()
        # A fetch that is under way holds up the next one for as long as it may wait.
        self._consumer = cluster.consumer({"fetch.wait.max.ms": 1, "queued.min.messages": 1})
        self._known: set[str] = set()

    def records(
        self, name: str, partition: int, physical: int, most: int, *, until: int | None = None
    ) -> list[Found]:
        """At most so many committed records from a physical offset on.

        Args:
            name: Kafka's of the topic.
            partition: Which.
            physical: From the low to the high watermark.
            most: So many; fewer at the end.
            until: No more are waited for once all before this physical offset have come.
        """
        place = f"{name}/{partition}"
        records: list[Found] = []
        assigned = TopicPartition(name, partition, physical)
        with self._lock, self._assigned(assigned):
            waiting = Waiting(self._cluster, f"read {place}")
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
                    waiting = Waiting(self._cluster, f"read {place}")
                waiting.go_on()
        return records

    def close(self) -> None:
        """Let go of the connections."""
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
    """Raise what a reader was told instead of a record, unless it will pass.

    Raises:
        OffsetError: What is read next is gone.
        LogError: It must not be read.
    """
    if error.code() in _CUT:
        msg = f"log must still hold what is read next; got '{error.str()}' in {place}: was it cut?"
        raise OffsetError(msg)
    # librdkafka asks for the coordinator of a group that nothing here belongs to.
    if not passes(error) and error.code() != KafkaError.GROUP_AUTHORIZATION_FAILED:
        what = f"read {place}"
        raise cluster.failure(what, error)
    cluster.note(error)
