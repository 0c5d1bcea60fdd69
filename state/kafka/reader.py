"""Read from Kafka: single records by physical offset, or many in order of their sequences."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from state.kafka.cluster import Cluster, Patience, passes
from state.kafka.records import FoundRecord, found, record_of
from state.log import LogError, OffsetError, Record

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
                    if until is not None and _position(self._consumer, assigned) >= until:
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

    @contextmanager
    def _assigned(self, place: TopicPartition) -> Iterator[None]:
        self._look_up(place.topic)
        self._consumer.assign([place])
        try:
            yield
        finally:
            self._consumer.unassign()

    def _look_up(self, name: str) -> None:
        """Look up a topic's leader, which librdkafka does only a second after the first use."""
        if name not in self._known:
            consumer, what = self._consumer, f"look up topic {name!r}"
            with self._cluster.doing(what):
                self._cluster.ask(what, lambda s: consumer.list_topics(name, s), consumer.poll)
            self._known.add(name)


class Cursor:
    """Reads one partition forward; for one thread at a time.

    Args:
        cluster: Cluster of the log.
        name: Name of the topic in Kafka.
        partition: The partition.
        physical: Physical offset at or before the first wanted record.
        sequence: Sequence of the first wanted record.

    Attributes:
        next: Sequence of the first record of the next `take`.
    """

    def __init__(
        self, cluster: Cluster, name: str, partition: int, physical: int, sequence: int
    ) -> None:
        self._cluster, self._place = cluster, f"{name}/{partition}"
        self.next = sequence
        self._came = sequence
        self._held: deque[Record] = deque()
        self._newest: Message | None = None
        options = {"fetch.wait.max.ms": 100, "enable.partition.eof": False}
        self._consumer: Consumer = cluster.consumer(options)
        self._assigned = TopicPartition(name, partition, physical)
        self._consumer.assign([self._assigned])

    def take(self, max_records: int, max_bytes: int, *, first: bool) -> list[Record]:
        """Take records that have come already, up to the limits.

        Args:
            max_records: Most records.
            max_bytes: Most bytes of values.
            first: Return the first record whatever its size.
        """
        if len(self._held) < max_records:
            self._accept(self._consumer.consume(max_records - len(self._held), 0))
        records: list[Record] = []
        held, room = self._held, max_bytes
        while held and len(records) < max_records:
            room -= len(held[0].value)
            if room < 0 and (records or not first):
                break
            records.append(held.popleft())
        self.next += len(records)
        return records

    def holds_more(self) -> bool:
        """Whether a record has come that was not taken."""
        return bool(self._held)

    @property
    def reached(self) -> int:
        """The physical offset before which all records have come."""
        return _position(self._consumer, self._assigned)

    def wait(self, seconds: float = _BLOCK_S) -> bool:
        """Wait a little for records; return whether any came."""
        before = self.reached
        self._accept(self._consumer.consume(1, seconds))
        return self.reached > before

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()

    def _accept(self, messages: list[Message]) -> None:
        for message in messages:
            error = message.error()
            if error is not None:
                refuse(self._cluster, self._place, error)
                continue
            record = record_of(message)
            if record.offset < self._came:
                continue  # before the first wanted record, or a second copy by MirrorMaker
            if record.offset > self._came:
                msg = (
                    f"sequences must have no gap; got {record.offset} after {self._came - 1} "
                    f"in {self._place} at Kafka's offset {message.offset()}"
                )
                raise LogError(msg)
            self._came += 1
            self._held.append(record)
            self._newest = message

    @property
    def last(self) -> FoundRecord | None:
        """The last record that came, if any."""
        return None if self._newest is None else found(self._newest)


def _position(consumer: Consumer, assigned: TopicPartition) -> int:
    """The physical offset before which all has come, including markers and aborted records.

    librdkafka knows it without a request.
    """
    (place,) = consumer.position([assigned])
    return max(assigned.offset, place.offset)


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
