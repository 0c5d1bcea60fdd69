"""A tail: reads a topic's records once each, as they come, a bounded number at a time."""

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from state.log import Log, Record, decoded
from state.log.protocol import UnknownTopicError

T = TypeVar("T")
_MOST_RECORDS = 20_000
_MOST_BYTES = 8 * 2**20


class Tail(Generic[T]):
    """Reads all partitions of a topic forward, from the first records that are left.

    Args:
        topic: Name of the topic.
        kind: Type of the records, with the needed fields.
        take: Receives the partition and each record.
    """

    def __init__(self, topic: str, kind: type[T], take: Callable[[int, T], object]) -> None:
        self._topic, self._kind, self._take = topic, kind, take
        self._decode = msgspec.json.Decoder(kind).decode
        self._next: dict[int, int] = {}

    def read_on(self, log: Log) -> int:
        """Read new records up to a bound; return the number left for the next call.

        Args:
            log: Log of all calls; it may have been reopened.
        """
        try:
            partitions = log.partitions(self._topic)
        except UnknownTopicError:  # an older log
            return 0
        left, room, room_bytes = 0, _MOST_RECORDS, _MOST_BYTES
        for partition in range(partitions):
            end = log.end(self._topic, partition)
            following = self._next.setdefault(partition, log.start(self._topic, partition))
            if following < end:
                following = max(following, log.start(self._topic, partition))
            while following < end and room > 0 and room_bytes > 0:
                records = log.read(
                    self._topic,
                    partition,
                    following,
                    max_records=min(room, end - following, 1000),
                    max_bytes=room_bytes,
                )
                if not records:
                    break
                for record in records:
                    self._take(partition, self._read(partition, record))
                    following = self._next[partition] = record.offset + 1
                room -= len(records)
                room_bytes -= sum(len(record.value) for record in records)
            self._next[partition] = following
            left += max(end - following, 0)
        return left

    def _read(self, partition: int, record: Record) -> T:
        try:
            return self._decode(record.value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return decoded(self._topic, partition, record, self._kind)
