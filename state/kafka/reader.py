"""Reading from Kafka: one record by its physical offset, or many in order of their sequences."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from state.kafka.cluster import Cluster, Waiting, passes
from state.kafka.records import Found, found, record_of
from state.log import LogError, OffsetError, Record

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
                    waiting = Waiting(self._cluster, f"read {place}")
                waiting.go_on()
        return records

    def close(self) -> None:
        """Let go of the connections."""
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
        """Learn who leads a topic: by itself librdkafka does so a second after its first use."""
        if name not in self._known:
            consumer, what = self._consumer, f"look for topic {name!r}"
            with self._cluster.doing(what):
                self._cluster.ask(what, lambda s: consumer.list_topics(name, s), consumer.poll)
            self._known.add(name)


class Cursor:
    """Reads one partition forward; used by one thread at a time.

    Args:
        cluster: Where.
        name: Kafka's of the topic.
        partition: Which.
        physical: At or before the first record wanted.
        sequence: Of the first record wanted.

    Attributes:
        next: The sequence of the record that the next `take` begins with.
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
        """Records that have come already: as many as are asked for, or fewer.

        Args:
            max_records: At most so many.
            max_bytes: At most so many bytes of values.
            first: The first record is given whatever its size.
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
        """The physical offset before which all has come."""
        return _position(self._consumer, self._assigned)

    def wait(self, seconds: float = _BLOCK_S) -> bool:
        """Give what is on its way a little time; whether anything came."""
        before = self.reached
        self._accept(self._consumer.consume(1, seconds))
        return self.reached > before

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()

    def _accept(self, messages: list[Message]) -> None:
        for message in messages:
            error = message.error()
            if error is not None:
                refuse(self._cluster, self._place, error)
                continue
            record = record_of(message)
            if record.offset < self._came:
                continue  # before the first wanted, or MirrorMaker's second copy
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
    def last(self) -> Found | None:
        """The last record that came, if one did."""
        return None if self._newest is None else found(self._newest)


def _position(consumer: Consumer, assigned: TopicPartition) -> int:
    """The physical offset before which all has come; Kafka's markers count, and what was aborted.

    librdkafka knows it without asking anybody.
    """
    (place,) = consumer.position([assigned])
    return max(assigned.offset, place.offset)


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
