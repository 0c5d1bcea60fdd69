"""Read foreign topics: many partitions in one order, by append time."""

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import NamedTuple

from confluent_kafka import (
    TIMESTAMP_LOG_APPEND_TIME,
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    Message,
    TopicPartition,
)

from state.ingest.append_time import LOOKAHEAD, NEVER, append_time, append_times
from state.ingest.mapping import Foreign
from state.kafka.broker_clocks import BrokerClocks
from state.kafka.cluster import Cluster, Patience, passes
from state.kafka.records import headers_of
from state.kafka.topics import Topics
from state.log import OffsetError

_EOF = KafkaError._PARTITION_EOF  # noqa: SLF001 - librdkafka's own names
_CUT = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})  # noqa: SLF001
_WAIT_S = 0.05
_MOST = 10_000
_MOST_BYTES = 8 * 2**20
_BUFFER_BYTES = 64 * 2**20

_Name = tuple[str, int]


class ArrivedRecord(NamedTuple):
    """A foreign record and its estimated append time (µs UTC)."""

    record: Foreign
    append_time: int


class _Partition:
    """Records of one partition that were fetched but not returned yet."""

    def __init__(self, name: _Name, start: int) -> None:
        self.place = TopicPartition(*name, start)
        self.name = name
        self.fetched: deque[Foreign] = deque()
        self.next = start
        self.size = 0
        self.ended = False
        self.ended_after: int | None = None
        self.paused = False
        self.time = 0

    def is_ready(self) -> bool:
        """Whether its first record can be timed: enough later ones are known, or all."""
        return len(self.fetched) > LOOKAHEAD or (self.ended and bool(self.fetched))

    def first_time(self, now: int) -> int:
        """The append time of its first record."""
        near = [record.timestamp for record in islice(self.fetched, LOOKAHEAD + 1)]
        if max(near) <= now:
            return min(append_time(near, self.time), now)
        if min(near) > now:
            return now  # it has arrived, whatever its neighbours say
        return min(next(append_times(near, self.time, now)), now)


class ForeignTopics:
    """All partitions of some topics, read forward.

    Records come in the order of their append times, as far as these are known: a lagging partition
    holds up the others, so that a backlog of labels does not overtake that of their requests. The
    append time is Kafka's timestamp; a producer's timestamp that jumps ahead of the records after
    it is lowered to theirs, and none is after now.

    Args:
        cluster: Cluster with the topics.
        topics: Names in Kafka.
        position: Returns the offset at which to resume a partition; None: its begin.
        now: Returns the current time, microseconds UTC.
        clocks: Compares the brokers' clocks with that time.
        skip_lost: Resume at a partition's begin if the next record was deleted.

    Raises:
        LogError: A topic is missing, or its next record was deleted.
    """

    def __init__(
        self,
        cluster: Cluster,
        topics: Iterable[str],
        position: Callable[[str], int | None],
        now: Callable[[], int],
        clocks: BrokerClocks,
        *,
        skip_lost: bool,
    ) -> None:
        self._cluster, self._names, self._position = cluster, list(topics), position
        self._now, self._clocks, self._skip_lost = now, clocks, skip_lost
        self._asking = cluster.consumer({})
        self._topics = Topics(cluster, self._asking, 1)
        self._consumer: Consumer = cluster.consumer({"fetch.wait.max.ms": 50})
        self._partitions: dict[_Name, _Partition] = {}
        self._ready: list[tuple[int, _Name]] = []
        self._unready: set[_Name] = set()
        self._waiting: Patience | None = None
        self._led: dict[_Name, str] = {}
        self._emptied_at: int | None = None
        self.look()

    def look(self) -> None:
        """Start reading new partitions, and check that the cluster is there.

        Raises:
            LogError: The cluster or a topic is gone.
        """
        self._led = {
            (topic, partition): place.leader
            for topic in self._names
            for partition, place in enumerate(self._topics.places(topic))
        }
        lost = [f"{name[0]}/{name[1]}" for name, leader in self._led.items() if not leader]
        if lost:
            self._cluster.say(f"Waiting for a broker that leads {', '.join(lost)}")
        new = [name for name in self._led if name not in self._partitions]
        for name in new:
            self._partitions[name] = _Partition(name, self._start(name))
            self._unready.add(name)
        if new:
            self._consumer.incremental_assign([self._partitions[name].place for name in new])

    def read(self) -> list[ArrivedRecord]:
        """The next records in order; empty if none have come.

        Raises:
            LogError: A partition does not answer, and holds up the others.
        """
        self._fetch(0.0 if self._can_give() else _WAIT_S)
        arrived: list[ArrivedRecord] = []
        room, now = _MOST_BYTES, self._now()
        while self._can_give() and len(arrived) < _MOST and room > 0:
            time, name = heapq.heappop(self._ready)
            partition = self._partitions[name]
            record = partition.fetched.popleft()
            size = _size(record)
            partition.size -= size
            partition.time = time
            room -= size
            arrived.append(ArrivedRecord(record, time))
            self._judge(partition, now)
        self._resume()
        return arrived

    def at_end(self) -> bool:
        """Whether all available records were returned."""
        return not self._ready and not self._blocking()

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()
        self._asking.close()

    def _start(self, name: _Name) -> int:
        topic, partition = name
        what, place = f"look up the ends of {topic}/{partition}", TopicPartition(*name)
        with self._cluster.doing(what):
            low, high = self._cluster.ask(what, lambda s: self._ends(place, s), self._asking.poll)
        position = self._position(f"{topic}/{partition}")
        if position is None or (position < low and self._skip_lost):
            return low
        if position < low:
            msg = (
                f"foreign topic must still hold offset {position}; got {low} as its first in "
                f"{topic}/{partition}: deleted records were never ingested; "
                "ingest.skip_lost = true skips them"
            )
            raise OffsetError(msg)
        if position > high:
            msg = (
                f"foreign topic must reach offset {position}; got {high} as its end in "
                f"{topic}/{partition}: was it created again?"
            )
            raise OffsetError(msg)
        return position

    def _ends(self, place: TopicPartition, seconds: float) -> tuple[int, int]:
        ends = self._asking.get_watermark_offsets(place, seconds)
        assert ends is not None
        return ends

    def _can_give(self) -> bool:
        """Whether no partition that is still being fetched could hold an earlier record."""
        return bool(self._ready) and not self._blocking()

    def _blocking(self) -> list[_Name]:
        """Partitions whose next record is unknown, and not known to be missing."""
        return sorted(name for name in self._unready if not self._partitions[name].ended)

    def _fetch(self, seconds: float) -> None:
        messages = self._consumer.consume(_MOST, seconds)
        now = self._now()
        newest: dict[_Name, tuple[Message, int | None]] = {}
        for message in messages:
            name = message.topic() or "", message.partition() or 0
            error = message.error()
            if error is not None and error.code() != _EOF:
                self._refuse(name, error)  # it may belong to no partition
                continue
            partition = self._partitions[name]
            if error is None:
                record = _foreign(message, now)
                if record.offset < partition.next:
                    continue  # fetched twice, around a pause
                partition.next = record.offset + 1
                partition.fetched.append(record)
                partition.size += _size(record)
                first = newest.get(name)
                newest[name] = message, first[1] if first else partition.ended_after
                partition.ended, partition.ended_after = False, None
            else:
                partition.ended, partition.ended_after = True, self._emptied_at
            if name in self._unready:
                self._judge(partition, now)
            self._pause(partition)
        self._compare_clocks(newest, now)
        # All fetched records are returned now, so the next ones come later.
        self._emptied_at = now if len(messages) < _MOST else None
        self._wait_for(self._blocking())

    def _compare_clocks(self, newest: dict[_Name, tuple[Message, int | None]], now: int) -> None:
        """Compare clocks by the newest records of partitions that had ended: these are recent."""
        for name, (message, ended_after) in newest.items():
            kind, timestamp_ms = message.timestamp()
            if kind == TIMESTAMP_LOG_APPEND_TIME:
                stamped = timestamp_ms * 1000
                since = stamped if ended_after is None else ended_after
                place = f"{name[0]}/{name[1]}"
                self._clocks.compare(self._led[name], place, stamped, since, now)

    def _wait_for(self, blocking: list[_Name]) -> None:
        """Wait for partitions within the time limit, whatever the others send meanwhile."""
        if not blocking:
            self._waiting = None
            return
        (topic, partition), *others = blocking
        more = f" and {len(others)} more" if others else ""
        what = f"read {topic}/{partition}{more}, which must come before records of others"
        self._waiting = self._waiting or Patience(self._cluster, what)
        self._waiting.what = what
        self._waiting.go_on()

    def _judge(self, partition: _Partition, now: int) -> None:
        """Move a partition to those whose first record has a time, or to the others."""
        if partition.is_ready():
            self._unready.discard(partition.name)
            heapq.heappush(self._ready, (partition.first_time(now), partition.name))
        else:
            self._unready.add(partition.name)

    def _pause(self, partition: _Partition) -> None:
        if not partition.paused and partition.size > _BUFFER_BYTES // len(self._partitions):
            partition.paused = True
            self._consumer.pause([partition.place])

    def _resume(self) -> None:
        low = [p for p in self._partitions.values() if p.paused and not p.is_ready()]
        for partition in low:
            partition.paused = False
        if low:
            self._consumer.resume([partition.place for partition in low])

    def _refuse(self, name: _Name, error: KafkaError) -> None:
        place = f"{name[0]}/{name[1]}" if name[0] else ", ".join(self._names)
        if error.code() in _CUT:
            msg = f"foreign topic must still hold the next record; got '{error.str()}' in {place}"
            raise OffsetError(msg)
        if not passes(error) and error.code() != KafkaError.GROUP_AUTHORIZATION_FAILED:
            what = f"read {place}"
            raise self._cluster.failure(what, error)
        self._cluster.note(error)


def _foreign(message: Message, now: int) -> Foreign:
    kind, timestamp_ms = message.timestamp()
    offset = message.offset()
    assert offset is not None
    return Foreign(
        message.topic() or "",
        message.partition() or 0,
        offset,
        now if kind == TIMESTAMP_NOT_AVAILABLE else min(max(0, timestamp_ms) * 1000, NEVER),
        _bytes(message.key()),
        {name: _bytes(content) for name, content in headers_of(message).items()},
        message.value(),
    )


def _bytes(content: str | bytes | None) -> bytes:
    return content.encode() if isinstance(content, str) else content or b""


def _size(record: Foreign) -> int:
    headers = sum(len(name) + len(content) + 100 for name, content in record.headers.items())
    return len(record.value or b"") + len(record.key) + headers + 100
