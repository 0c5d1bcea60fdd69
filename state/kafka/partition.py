"""One partition of a topic in Kafka, read by sequence."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from confluent_kafka import Consumer, TopicPartition

from state.kafka.cluster import Cluster, Patience
from state.kafka.cursor import Cursor
from state.kafka.intake import Lane
from state.kafka.reader import PointReader
from state.kafka.records import FoundRecord
from state.log import LogError, Record, check_offset

_FRESH_S = 0.02
_NEAR = 200
_MOST_IDLE = 3
_RECHECK_S = 0.002


class _Watermarks(NamedTuple):
    """Kafka's watermarks of a partition: first offset, and offset after all committed records."""

    low: int
    high: int


class KafkaPartition:
    """Reads one partition, from any thread.

    Appends of other processes are seen within `_FRESH_S`, those reported by `appended` at once.

    Args:
        cluster: Cluster that has the topic.
        asking: Consumer for metadata requests; it reads no records.
        probe: Reads single records; shared with other partitions.
        lane: Opens a lane, given the topic's name in Kafka, a partition and Kafka's offset.
        name: The topic's name in Kafka, with the prefix.
        topic: Headwater's name of the topic.
        partition: Number of the partition.
    """

    def __init__(
        self,
        cluster: Cluster,
        asking: Consumer,
        probe: PointReader,
        lane: Callable[[str, int, int], Lane],
        *,
        name: str,
        topic: str,
        partition: int,
    ) -> None:
        self._cluster, self._asking, self._probe, self._lane = cluster, asking, probe, lane
        self._name, self._topic, self._partition = name, topic, partition
        self._place = TopicPartition(name, partition)
        self._lock = threading.Lock()
        self._idle: list[Cursor] = []
        self._asked_at = float("-inf")
        self._marks = _Watermarks(0, 0)
        self._first: tuple[int, FoundRecord | None] = (-1, None)
        self._last: tuple[int, FoundRecord | None] = (-1, None)
        self._known_end = 0
        self._ended_at = -1

    def start(self) -> int:
        """See `Log.start`."""
        first = self._first_left()
        return 0 if first is None else first.record.offset

    def end(self) -> int:
        """See `Log.end`."""
        waiting = Patience(self._cluster, f"read the newest records of {self._name}")
        while True:
            self.last()
            if self._seen_end() >= self._known_end:
                return self._seen_end()
            # A transaction is durable a little before its records can be read.
            time.sleep(_RECHECK_S)
            self.refresh()
            waiting.go_on()

    def last(self) -> FoundRecord | None:
        """The last committed record; None if there was never one."""
        low, high = self._watermarks()
        if self._last[0] != high:
            self._last = high, self._find_last(low, high)
        return self._last[1]

    def read(self, offset: int, max_records: int, max_bytes: int) -> list[Record]:
        """See `Log.read`."""
        cursor = self._idle_at(offset)
        if cursor is None and max_records == 1:
            return self._read_one(offset)
        if cursor is None and self._ends_at(offset):
            return []
        is_new = cursor is None
        cursor = cursor or self._begun_at(offset)
        try:
            if is_new:  # a transaction is durable a little before its records can be read
                cursor.wait(_FRESH_S)
            records = self._take(cursor, max_records, max_bytes)
        except BaseException:
            cursor.close()
            raise
        self._know(cursor.next)
        self._put_back(cursor)
        return records

    def trim(self, before: int, delete: Callable[[TopicPartition], None]) -> int:
        """See `Trimmable.trim`.

        Args:
            before: First offset to keep.
            delete: Deletes the records before a position in Kafka.
        """
        start, end = self.start(), self.end()
        check_offset(self._topic, self._partition, max(before, start), start, end)
        before = min(before, end - 1)
        if before > start:
            physical = self._found(before).physical
            delete(TopicPartition(self._name, self._partition, physical))
            self.refresh()
        return self.start()

    def trim_old(self, span_s: float, limit: int, delete: Callable[[TopicPartition], None]) -> None:
        """Delete records older than a span, by Kafka's clock.

        Args:
            span_s: Age in seconds.
            limit: First offset to keep in any case.
            delete: Deletes the records before a position in Kafka.
        """
        since_ms = round((time.time() - span_s) * 1000)
        what = f"look up old records of {self._name}"
        asked = TopicPartition(self._name, self._partition, since_ms)
        with self._cluster.doing(what):
            (since,) = self._cluster.ask(
                what, lambda s: self._asking.offsets_for_times([asked], s), self._asking.poll
            )
        if since.offset >= 0:
            newer = self._probe.records(self._name, self._partition, since.offset, 1)
            limit = min([limit, *(found.record.offset for found in newer)])
        self.trim(limit, delete)

    def appended(self, end: int) -> None:
        """Note that this process has appended up to a sequence."""
        self._know(end)
        self.refresh()

    def refresh(self) -> None:
        """Ask Kafka again at the next call."""
        self._asked_at = float("-inf")

    def close(self) -> None:
        """Close the connections."""
        while self._idle:
            self._idle.pop().close()

    def _watermarks(self) -> _Watermarks:
        now = time.monotonic()
        if now - self._asked_at > _FRESH_S:
            what = f"look up the end of {self._name}"
            with self._cluster.doing(what):
                low, high = self._cluster.ask(what, self._ask, self._asking.poll)
            self._marks, self._asked_at = _Watermarks(low, high), now
        return self._marks

    def _ask(self, seconds: float) -> tuple[int, int]:
        marks = self._asking.get_watermark_offsets(self._place, seconds)
        assert marks is not None
        return marks

    def _first_left(self) -> FoundRecord | None:
        low, high = self._watermarks()
        if self._first[0] != low or self._first[1] is None:
            there = self._probe.records(self._name, self._partition, low, 1) if high > low else []
            self._first = low, there[0] if there else None
            self._check_known(low, there)
        return self._first[1]

    def _find_last(self, low: int, high: int) -> FoundRecord | None:
        """Search backwards in growing steps, as markers and aborted records may come after it."""
        back = 2
        while high > low:
            first = max(low, high - back)
            place = self._name, self._partition
            there = self._probe.records(*place, first, back, until=high)
            # Some may have been committed since: the end moves by whole appends only.
            before = [found for found in there if found.physical < high]
            if before:
                return before[-1]
            if first == low:
                break
            back *= 8
        self._check_known(low, [])
        return None

    def _check_known(self, low: int, left: list[FoundRecord]) -> None:
        if low and not left:
            msg = (
                f"a record must be left for the sequences to go on from; "
                f"got none in {self._name}/{self._partition}, which begins at Kafka's offset {low}"
            )
            raise LogError(msg)

    def _idle_at(self, offset: int) -> Cursor | None:
        with self._lock:
            for cursor in self._idle:
                if cursor.next == offset:
                    self._idle.remove(cursor)
                    return cursor
        return None

    def _ends_at(self, offset: int) -> bool:
        """Whether there is nothing to read; whoever asks again is one who waits for more."""
        self.refresh()
        before, self._ended_at = self._ended_at, self.end()
        return before != offset == self._ended_at

    def _begun_at(self, offset: int) -> Cursor:
        lane = self._lane(self._name, self._partition, self._physical(offset))
        return Cursor(self._cluster, f"{self._name}/{self._partition}", lane, offset)

    def _know(self, end: int) -> None:
        with self._lock:
            self._known_end = max(self._known_end, end)

    def _put_back(self, cursor: Cursor) -> None:
        with self._lock:
            self._idle.append(cursor)
            surplus = self._idle.pop(0) if len(self._idle) > _MOST_IDLE else None
        if surplus is not None:
            surplus.close()

    def _take(self, cursor: Cursor, max_records: int, max_bytes: int) -> list[Record]:
        """Return records that have come, without waiting for more than the last known end."""
        records = cursor.take(max_records, max_bytes, first=True)
        there = max(self._known_end, self._seen_end())
        if not records:
            if self._all_came(cursor):
                # Another thread may have brought some since.
                return cursor.take(max_records, max_bytes, first=True)
            there = max(there, cursor.next + 1)
        waiting = None
        # Another thread may bring some at any time; records that are held have no room here.
        while len(records) < max_records and cursor.next < there:
            if records and cursor.holds_more():
                break
            waiting = waiting or Patience(self._cluster, f"read {self._name}/{self._partition}")
            if cursor.holds_more() or cursor.wait():
                waiting = None
            else:
                waiting.go_on()
            room = max_bytes - sum(len(record.value) for record in records)
            records += cursor.take(max_records - len(records), room, first=not records)
        return records

    def _seen_end(self) -> int:
        last = self._last[1]
        return 0 if last is None else last.record.offset + 1

    def _all_came(self, cursor: Cursor) -> bool:
        if cursor.next >= self._known_end:
            high = self._watermarks().high
            if cursor.reached >= high:
                last = None if cursor.holds_more() else cursor.last
                if last is not None and last.physical < high:
                    self._last = high, last
                return True
        return cursor.next >= self.end()

    def _read_one(self, offset: int) -> list[Record]:
        if offset == self.end():
            return []
        last = self.last()
        if last is not None and last.record.offset == offset:
            return [last.record]
        return [self._found(offset).record]

    def _found(self, offset: int) -> FoundRecord:
        physical = self._physical(offset)
        near = self._probe.records(self._name, self._partition, physical, _NEAR + 1)
        there = [found for found in near if found.record.offset == offset]
        if not there:
            msg = f"sequences must have no gap; got none {offset} in {self._name}/{self._partition}"
            raise LogError(msg)
        return there[0]

    def _physical(self, offset: int) -> int:
        """Kafka's offset of a record, or up to `_NEAR` before it.

        Raises:
            OffsetError: The record does not exist.
        """
        end, start = self.end(), self.start()
        check_offset(self._topic, self._partition, offset, start, end)
        high, last = self._last
        first = self._first_left()
        if offset == end or first is None or last is None:
            return high
        # Kafka's offsets are ahead of the sequences, by a growing distance.
        low = first.physical + offset - first.record.offset
        high = last.physical - (last.record.offset - offset)
        while high - low > _NEAR:
            middle = (low + high) // 2
            (found,) = self._probe.records(self._name, self._partition, middle, 1)
            there = found.physical + offset - found.record.offset
            if found.record.offset <= offset:
                low = there
            else:
                high = min(middle, there)
        return low
