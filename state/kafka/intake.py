"""Forward reading of a log: one consumer for many partitions, with a queue for each."""

import threading
from collections import deque
from collections.abc import Iterable

from confluent_kafka import Consumer, Message, TopicPartition

from state.kafka.cluster import Cluster
from state.kafka.reader import refuse

_AHEAD = 4
_TOGETHER = 1_000
_BLOCK_S = 0.1


class Lane:
    """Fetched messages of one partition that were not taken yet; for one thread at a time.

    Args:
        intake: Fetches the messages.
        place: Topic, partition and Kafka's offset of the first message to fetch.
    """

    def __init__(self, intake: "Intake", place: TopicPartition) -> None:
        self._intake, self._place = intake, place
        self._messages: deque[Message] = deque()
        # One thread adds to each of them: the fetching thread, and the taking thread.
        self._brought_bytes = self._taken_bytes = 0
        self._is_paused = False
        self._reached = place.offset

    def take(self, most: int) -> Iterable[Message]:
        """Yield messages that were fetched already, errors included."""
        while len(self._messages) < most and self._intake.pump():
            pass
        for _ in range(min(most, len(self._messages))):
            message = self._messages.popleft()
            self._taken_bytes += len(message)
            yield message
        if self._is_paused and 2 * self._held_bytes < self._intake.most_bytes:
            self._resume()

    def holds_more(self) -> bool:
        """Whether a fetched message was not taken yet."""
        return bool(self._messages)

    @property
    def reached(self) -> int:
        """Kafka's offset before which every record can be taken.

        Markers and aborted records count. librdkafka knows it without a request, but already
        counts messages that another thread fetched and did not put into its lane yet.
        """
        (place,) = self._intake.consumer.position([self._place])
        if not self._intake.is_bringing():
            self._reached = max(self._reached, place.offset)
        return self._reached

    def wait(self, seconds: float = _BLOCK_S) -> bool:
        """Wait a little for messages in flight; return whether any came."""
        before = self.reached
        self._intake.await_for(self, seconds)
        return self.holds_more() or self.reached > before

    def put(self, message: Message) -> None:
        """Add a fetched message; pause fetching if the lane is full."""
        self._messages.append(message)
        self._brought_bytes += len(message)
        if self._held_bytes > self._intake.most_bytes and not self._is_paused:
            self._is_paused = True
            self._intake.consumer.pause([self._place])

    def close(self) -> None:
        """Stop fetching."""
        if self._is_paused:  # librdkafka would keep that for the next lane of the partition
            self._resume()
        self._intake.drop(self._place)

    @property
    def _held_bytes(self) -> int:
        return self._brought_bytes - self._taken_bytes

    def _resume(self) -> None:
        self._is_paused = False
        self._intake.consumer.resume([self._place])


class Intake:
    """One consumer that fetches for many lanes; a partition has one lane at a time.

    Args:
        cluster: Cluster to read from.

    Attributes:
        consumer: The consumer.
        most_bytes: Bytes in a lane beyond which fetching for it is paused.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        # A fetch in flight delays the next assignment for as long as the fetch may wait.
        options = {"fetch.wait.max.ms": 10, "enable.partition.eof": False}
        self.consumer: Consumer = cluster.consumer(options)
        self.most_bytes = _AHEAD * cluster.fetch_bytes
        self._lock = threading.Lock()
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._known: set[str] = set()

    def open(self, name: str, partition: int, physical: int) -> Lane | None:
        """Open a lane at one of Kafka's offsets; None: the partition has a lane already."""
        with self._lock:
            if (name, partition) in self._lanes:
                return None
            if name not in self._known:
                self._cluster.look_up(self.consumer, name, lambda s: self._bring(1, s))
                self._known.add(name)
            place = TopicPartition(name, partition, physical)
            lane = self._lanes[name, partition] = Lane(self, place)
            self.consumer.incremental_assign([place])
            return lane

    def pump(self) -> bool:
        """Put fetched messages into their lanes; return whether there were any.

        If another thread is doing so, return at once.
        """
        if not self._lock.acquire(blocking=False):
            return False
        try:
            return self._bring(_TOGETHER, 0)
        finally:
            self._lock.release()

    def is_bringing(self) -> bool:
        """Whether a thread may hold fetched messages that are not in their lanes yet."""
        return self._lock.locked()

    def await_for(self, lane: Lane, seconds: float) -> None:
        """Wait for one message of any lane, unless another thread has filled this lane."""
        with self._lock:
            if not lane.holds_more():
                self._bring(1, seconds)  # for more messages it would wait for all of them

    def _bring(self, most: int, seconds: float) -> bool:
        messages = self.consumer.consume(most, seconds)
        for message in messages:
            lane = self._lanes.get((message.topic() or "", message.partition() or 0))
            error = message.error()
            if lane is not None:
                lane.put(message)
            elif error is not None:
                refuse(self._cluster, "topics", error)
        return bool(messages)

    def drop(self, place: TopicPartition) -> None:
        """Close a lane."""
        with self._lock:
            self._lanes.pop((place.topic, place.partition))
            self.consumer.incremental_unassign([place])

    def close(self) -> None:
        """Let go of the connections."""
        self.consumer.close()


class Intakes:
    """As many intakes as needed to read one partition at several offsets at once.

    Args:
        cluster: Cluster to read from.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lock = threading.Lock()
        self._all: list[Intake] = []

    def open(self, name: str, partition: int, physical: int) -> Lane:
        """Open a lane at one of Kafka's offsets.

        Raises:
            LogError: Kafka does not answer.
        """
        with self._lock:
            for intake in self._all:
                lane = intake.open(name, partition, physical)
                if lane is not None:
                    return lane
            intake = Intake(self._cluster)
            self._all.append(intake)
            lane = intake.open(name, partition, physical)
            assert lane is not None
            return lane

    def close(self) -> None:
        """Let go of the connections."""
        while self._all:
            self._all.pop().close()
