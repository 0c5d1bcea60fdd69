"""The log in Kafka: a Kafka topic for each topic; exactly once by sequences and fencing."""

import re
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from state.kafka.cluster import Cluster
from state.kafka.intake import Intakes
from state.kafka.partition import KafkaPartition
from state.kafka.reader import PointReader
from state.kafka.retention import Retention
from state.kafka.topics import Topics
from state.kafka.writer import ForgottenError, Part, Writer
from state.log import (
    MAX_READ_BYTES,
    Entry,
    LogError,
    Parts,
    Record,
    UnknownTopicError,
    check_gap,
    check_offset,
    check_same,
    check_values,
)

_LOOK_EVERY_S = 0.1
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,200}")


class KafkaLog:
    """A log in a Kafka cluster, for any number of threads, processes and machines.

    Each append is one transaction: readers see all of it or nothing, and every in-sync replica has
    it when the call returns. Each role has one writer in a partition. The first append of another
    process fences off the previous writer, whose next append raises a `FencedError`.

    Offsets are the sequences in the records' headers; see `state.kafka.records`.

    Args:
        cluster: Cluster of the log.
        prefix: Prefix of Kafka's names of topics and writers.
        replication: Copies of each record in topics that `create` makes.
        writer: Description of this writer in each record: host, process and start.
        role_of: Returns the role that writes a partition of a topic; one process must write all
            topics of a role in a partition.
        msgpack: Store values as MessagePack if they come back byte for byte; reading gives the same
            bytes either way.
        keep_s: Seconds for which records stay, by topic; the newest of a partition always does.
            Default: for ever. Each process deletes old records where it writes.
        named_within_s: Seconds that a fenced-off writer waits for its successor to write its name.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        prefix: str = "",
        replication: int = 1,
        writer: str = "",
        role_of: Callable[[str, int], str] = lambda topic, _: topic,
        msgpack: bool = False,
        keep_s: Mapping[str, float] = {},
        named_within_s: float = 25.0,
    ) -> None:
        self._named_within_s, self._msgpack = named_within_s, msgpack
        self._cluster, self._prefix = cluster, prefix
        self._me, self._role_of = writer, role_of
        self._asking = cluster.consumer({})
        self._probe = PointReader(cluster)
        self._intakes = Intakes(cluster)
        self._topics = Topics(cluster, self._asking, replication)
        self._lock = threading.RLock()
        self._counts: dict[str, int] = {}
        self._partitions: dict[tuple[str, int], KafkaPartition] = {}
        self._writers: dict[tuple[str, int], Writer] = {}
        self._making: dict[tuple[str, int], threading.Lock] = {}
        self._keep_s = keep_s
        self._retentions: dict[tuple[str, int], Retention] = {}

    def create(self, topic: str, partitions: int) -> None:
        """See `Log.create`."""
        if not _NAME.fullmatch(topic):
            message = f"topic must be letters, digits, '.', '_' and '-'; got {topic!r}"
            raise ValueError(message)
        if partitions < 1:
            message = f"partitions must be positive; got {partitions} for topic {topic!r}"
            raise ValueError(message)
        try:
            found = self.partitions(topic)
        except UnknownTopicError:
            found = self._counts[topic] = self._topics.create(self._prefix + topic, partitions)
        if found != partitions:
            message = f"partitions must be {found} as made; got {partitions} for topic {topic!r}"
            raise ValueError(message)

    def partitions(self, topic: str) -> int:
        """See `Log.partitions`."""
        if topic not in self._counts:
            self._counts[topic] = self._topics.partitions(self._prefix + topic)
        return self._counts[topic]

    def append(
        self, topic: str, partition: int, entries: Sequence[Entry], *, sequence: int | None = None
    ) -> int:
        """See `Log.append`.

        Raises:
            FencedError: Another writer has taken over.
        """
        return self.append_all(partition, {topic: (sequence, entries)})[topic]

    def append_all(self, partition: int, parts: Parts) -> dict[str, int]:
        """See `Log.append_all`; one transaction for all topics, which must be of one role."""
        for topic, (_, entries) in parts.items():
            check_values(topic, partition, entries)
            self._partition(topic, partition)
        if not parts:
            return {}
        (role,) = {self._role_of(topic, partition) for topic in parts}
        writer = self._writer(role, partition)
        try:
            return self._append(writer, partition, parts)
        except ForgottenError:  # nothing was written; the new writer looks up the end again
            self._drop(role, partition, writer)
            return self._append(self._writer(role, partition), partition, parts)

    def _append(self, writer: Writer, partition: int, parts: Parts) -> dict[str, int]:
        with writer.lock:
            ends, new = {}, []
            for topic, (sequence, entries) in parts.items():
                part = self._part(writer, topic, partition, sequence, entries)
                ends[topic] = part.sequence + len(part.entries)
                if topic in self._keep_s:
                    first = part.sequence if sequence is None else sequence
                    kept = Retention(self._keep_s[topic], first)
                    self._retentions.setdefault((topic, partition), kept)
                if part.entries:
                    new.append((topic, part))
            if new:
                writer.commit([part for _, part in new])
            for topic, part in new:
                writer.ends[topic] = ends[topic], part.entries[-1].append_time
                self._partition(topic, partition).appended(ends[topic])
                self._let_go(topic, partition, ends[topic])
        return {
            topic: ends[topic] if sequence is None else sequence + len(entries)
            for topic, (sequence, entries) in parts.items()
        }

    def read(
        self,
        topic: str,
        partition: int,
        offset: int,
        *,
        max_records: int = 1000,
        max_bytes: int = MAX_READ_BYTES,
    ) -> list[Record]:
        """See `Log.read`."""
        return self._partition(topic, partition).read(offset, max_records, max_bytes)

    def start(self, topic: str, partition: int) -> int:
        """See `Log.start`."""
        return self._partition(topic, partition).start()

    def end(self, topic: str, partition: int) -> int:
        """See `Log.end`."""
        return self._partition(topic, partition).end()

    def trim(self, topic: str, partition: int, before: int) -> int:
        """See `Trimmable.trim`."""
        return self._partition(topic, partition).trim(before, self._topics.delete_before)

    def close(self) -> None:
        """See `Log.close`; the log must not be used afterwards."""
        while self._writers:
            self._writers.popitem()[1].close()
        while self._partitions:
            self._partitions.popitem()[1].close()
        self._intakes.close()
        self._probe.close()
        self._asking.close()

    def _partition(self, topic: str, partition: int) -> KafkaPartition:
        place = topic, partition
        if place not in self._partitions:
            last = self.partitions(topic) - 1
            if not 0 <= partition <= last:
                message = f"partition must be in 0 to {last}; got {partition} in {topic!r}"
                raise UnknownTopicError(message)
            with self._lock:
                self._partitions.setdefault(
                    place,
                    KafkaPartition(
                        self._cluster,
                        self._asking,
                        self._probe,
                        self._intakes.open,
                        name=self._prefix + topic,
                        topic=topic,
                        partition=partition,
                    ),
                )
        return self._partitions[place]

    def _writer(self, role: str, partition: int) -> Writer:
        with self._lock:
            making = self._making.setdefault((role, partition), threading.Lock())
        with making:  # Kafka takes its time for each, and many can be made beside each other
            if (role, partition) not in self._writers:
                name = f"{self._prefix}headwater-{role}-{partition}"
                self._writers[role, partition] = Writer(
                    self._cluster,
                    name,
                    partition,
                    self._me,
                    self._successor,
                    msgpack=self._msgpack,
                )
            return self._writers[role, partition]

    def _drop(self, role: str, partition: int, writer: Writer) -> None:
        with self._lock:
            if self._writers.get((role, partition)) is writer:
                self._writers.pop((role, partition)).close()

    def _successor(self, part: Part, partition: int) -> str:
        """The name of the successor, which may need time before it writes."""
        there = self._partition(part.name.removeprefix(self._prefix), partition)
        limit = time.monotonic() + self._named_within_s
        while True:
            there.refresh()
            last = there.last()
            if last is not None and last.record.offset >= part.sequence:
                return last.writer
            if time.monotonic() >= limit:
                return ""
            time.sleep(_LOOK_EVERY_S)

    def _part(
        self,
        writer: Writer,
        topic: str,
        partition: int,
        sequence: int | None,
        entries: Sequence[Entry],
    ) -> Part:
        """The part to append: entries not stored yet, with sequence and raised append times."""
        there = self._partition(topic, partition)
        if topic not in writer.ends:
            there.refresh()  # an earlier writer may have appended until this one fenced it off
            last = there.last()
            writer.ends[topic] = (
                (last.record.offset + 1, last.record.append_time) if last else (0, 0)
            )
        end, last_time = writer.ends[topic]
        if sequence is not None:
            check_gap(topic, partition, sequence, end)
            if sequence < end:  # otherwise there is nothing to compare
                check_offset(topic, partition, sequence, there.start(), end)
                old = min(len(entries), end - sequence)
                stored = self._stored(topic, partition, sequence, old)
                check_same(topic, partition, stored, entries)
                entries = entries[old:]
        return Part(self._prefix + topic, end, _lifted(entries, last_time))

    def _let_go(self, topic: str, partition: int, end: int) -> None:
        """Delete records that are old enough; report an error, and retry later."""
        retention = self._retentions.get((topic, partition))
        limit = retention.limit(end) if retention else None
        if limit is not None:
            there, span_s = self._partition(topic, partition), self._keep_s[topic]
            try:
                there.trim_old(span_s, limit, self._topics.delete_before)
            except LogError as error:
                self._cluster.say(f"cannot delete old records of {topic}/{partition} now: {error}")

    def _stored(self, topic: str, partition: int, sequence: int, count: int) -> list[Record]:
        there = self._partition(topic, partition)
        there.end()  # waits until this process's own records can be read
        stored: list[Record] = []
        while len(stored) < count:
            new = there.read(sequence + len(stored), count - len(stored), sys.maxsize)
            if not new:
                check_offset(topic, partition, sequence + count, there.start(), there.end())
            stored += new
        return stored


def _lifted(entries: Sequence[Entry], floor: int) -> list[Entry]:
    """The entries, with append times raised so that they do not decrease."""
    lifted = []
    for append_time, key, value in entries:
        floor = max(floor, append_time)
        lifted.append(Entry(floor, key, value))
    return lifted
