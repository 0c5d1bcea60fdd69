"""The log: append-only topics in partitions; all other state of Headwater is a fold of it."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable
from zlib import crc32

import msgspec

T = TypeVar("T")

EVENTS = "events"
"""Name of the topic from which all others are derived."""

MAX_VALUE_BYTES = 16 * 2**20
"""Largest value that every backend accepts, in bytes."""

MOST_PARTITIONS = 10_000
"""Most partitions of a topic; on the embedded log each is a file."""

MAX_READ_BYTES = 16 * 2**20
"""Bytes of values that one read returns at most, by default."""


class Entry(NamedTuple):
    """A record to append: append time (microseconds UTC), key and value."""

    append_time: int
    key: bytes
    value: bytes


class Record(NamedTuple):
    """A stored record: an entry with its offset."""

    offset: int
    append_time: int
    key: bytes
    value: bytes


Parts = Mapping[str, tuple[int | None, Sequence[Entry]]]
"""Sequence, as `Log.append` takes it, and entries, by topic."""


class LogError(OSError):
    """The log cannot do this; the message names the place."""


class UnknownTopicError(LogError):
    """The topic or the partition does not exist."""


class OffsetError(LogError):
    """A read outside the offsets that the log holds."""


class SequenceConflictError(LogError):
    """A numbered append differs from the stored records, or would leave a gap."""


class ReadableLog(Protocol):
    """The methods of `Log` that only read."""

    def partitions(self, topic: str) -> int:
        """Number of partitions of a topic.

        Raises:
            UnknownTopicError: The topic does not exist.
        """

    def read(
        self,
        topic: str,
        partition: int,
        offset: int,
        *,
        max_records: int = 1000,
        max_bytes: int = MAX_READ_BYTES,
    ) -> list[Record]:
        """Read records from `offset` on, in order, as far as they are available.

        An empty list means that the log ended at `offset`: records appended by the same log object
        are always seen, those appended by others within milliseconds. A list shorter than the
        limits does not mean the end: to read all records, read until the list is empty or an `end`
        is reached. A read never waits for new records.

        Args:
            topic: Name of an existing topic.
            partition: Partition, from 0.
            offset: Offset of the first record.
            max_records: Most records to return, at least 1.
            max_bytes: Limit on the bytes of the values; the first record is always returned.

        Raises:
            OffsetError: `offset` is after the end or before the first record that is left.
            UnknownTopicError: The topic or the partition does not exist.
        """

    def start(self, topic: str, partition: int) -> int:
        """The first offset that is left; 0 unless old records were deleted."""

    def end(self, topic: str, partition: int) -> int:
        """The offset of the next entry; never below what the same log object has read."""


class Log(ReadableLog, Protocol):
    """The promises of every backend, checked by `tests/state/log_contract.py`.

    Offsets of a partition are dense and start at 0. Besides one writer, several readers may use the
    log, in other threads and processes.
    """

    def create(self, topic: str, partitions: int) -> None:
        """Create a topic; do nothing if it exists with this number of partitions.

        Raises:
            ValueError: The topic exists with another number of partitions, or its name is invalid.
        """

    def append(
        self, topic: str, partition: int, entries: Sequence[Entry], *, sequence: int | None = None
    ) -> int:
        """Append all entries or none; they are durable when this returns.

        Append times of a partition never decrease: an earlier one is raised to the last one.

        Args:
            topic: Name of an existing topic.
            partition: Partition, from 0.
            entries: Entries with values of at most `MAX_VALUE_BYTES`.
            sequence: Offset that the first entry must get. An entry that is already stored must
                have the same key and value, and is skipped with its stored append time.

        Returns:
            The offset after the last of these entries.

        Raises:
            SequenceConflictError: A stored entry differs, or `sequence` is after the end.
            UnknownTopicError: The topic or the partition does not exist.
            ValueError: A value is too large.
        """

    def append_all(self, partition: int, parts: Parts) -> dict[str, int]:
        """Append to several topics that one process writes; durable when this returns.

        Readers see all of a topic's entries or none. An interrupted call may have appended to the
        first topics only (on a backend with transactions: to all or none); the same call with
        sequences completes it.

        Args:
            partition: Partition of each topic.
            parts: Entries by topic, in the order of appending.

        Returns:
            By topic, the offset after the last of these entries. Errors as for `append`.
        """

    def close(self) -> None:
        """Close files and connections."""


class Trimmable(Log, Protocol):
    """A log whose oldest records can be deleted."""

    def trim(self, topic: str, partition: int, before: int) -> int:
        """Delete the records below an offset, and free their space.

        The newest record always stays, so that offsets and append times continue. Readers and a
        writer may use the log meanwhile; an interrupted call has deleted some of the oldest records
        or none, and the next call continues.

        Args:
            topic: Name of an existing topic.
            partition: Partition, from 0.
            before: First offset to keep; no effect if it is at or before the start.

        Returns:
            The first offset that is left.

        Raises:
            OffsetError: `before` is after the end.
            UnknownTopicError: The topic or the partition does not exist.
        """


@runtime_checkable
class LocalLog(Protocol):
    """A log that knows the file in which it keeps a partition."""

    def place(self, topic: str, partition: int) -> str:
        """Path of a partition's file, for messages."""


def place_of(log: ReadableLog, topic: str, partition: int) -> str:
    """Name of a partition for messages, with its path if the log has one.

    Args:
        log: Log with the topic.
        topic: Name of the topic.
        partition: Partition of the topic.
    """
    place = f"{topic}/{partition}"
    return f"{place} ({log.place(topic, partition)})" if isinstance(log, LocalLog) else place


def decoded(topic: str, partition: int, record: Record, kind: type[T]) -> T:
    """Decode a record that Headwater wrote.

    Args:
        topic: Topic of the record.
        partition: Partition of the topic.
        record: Record to decode.
        kind: Type of its value.

    Raises:
        LogError: The value is not of that type: it was altered.
    """
    try:
        return msgspec.json.decode(record.value, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        msg = (
            f"record must be as it was written; got '{error}' in {topic}/{partition} at offset "
            f"{record.offset}: it was altered, restore the log from a copy"
        )
        raise LogError(msg) from error


def append_each(log: Log, partition: int, parts: Parts) -> dict[str, int]:
    """`Log.append_all` for a backend without transactions: one topic after the other."""
    return {
        topic: log.append(topic, partition, entries, sequence=sequence)
        for topic, (sequence, entries) in parts.items()
    }


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of all records with a key.

    Example:
        >>> partition_of(b"123456789", 8) == 0xCBF43926 % 8
        True
    """
    return crc32(key) % partitions


def newest_append_time(log: ReadableLog, topic: str) -> int:
    """The highest append time of all partitions of a topic; 0 if it is empty."""
    newest = 0
    for partition in range(log.partitions(topic)):
        end = log.end(topic, partition)
        if end > log.start(topic, partition):
            (last,) = log.read(topic, partition, end - 1, max_records=1)
            newest = max(newest, last.append_time)
    return newest


def oldest_append_time(log: ReadableLog, topic: str) -> int:
    """The lowest append time of all partitions of a topic; 0 for an empty one."""
    firsts = (
        first.append_time
        for partition in range(log.partitions(topic))
        for first in log.read(topic, partition, log.start(topic, partition), max_records=1)
    )
    return min(firsts, default=0)


def offset_at(log: ReadableLog, topic: str, partition: int, append_time: int) -> int:
    """The first offset appended at or after a time; the end offset if there is none."""
    held = range(log.start(topic, partition), log.end(topic, partition))

    def appended(offset: int) -> int:
        return log.read(topic, partition, offset, max_records=1)[0].append_time

    return held.start + bisect_left(held, append_time, key=appended)


def check_values(topic: str, partition: int, entries: Sequence[Entry]) -> None:
    """Refuse values that are too large for some backend.

    Raises:
        ValueError: A value is larger than `MAX_VALUE_BYTES`.
    """
    largest = max((len(entry.value) for entry in entries), default=0)
    if largest > MAX_VALUE_BYTES:
        message = (
            f"value must be at most {MAX_VALUE_BYTES} bytes; got {largest} in {topic}/{partition}"
        )
        raise ValueError(message)


def check_offset(topic: str, partition: int, offset: int, start: int, end: int) -> None:
    """Refuse to read outside the offsets of a log.

    Raises:
        OffsetError: `offset` is not between `start` and `end`, both included.

    Example:
        >>> check_offset("a", 0, 90, 0, 81)
        Traceback (most recent call last):
        state.log.protocol.OffsetError: log ends at offset 81, asked for 90: was it truncated? (a/0)
    """
    place = f"({topic}/{partition})"
    if offset > end:
        message = f"log ends at offset {end}, asked for {offset}: was it truncated? {place}"
        raise OffsetError(message)
    if offset < start:
        message = f"log starts at offset {start}, asked for {offset}: was it cut? {place}"
        raise OffsetError(message)


def check_gap(topic: str, partition: int, sequence: int, end: int) -> None:
    """Refuse a numbered append that would leave a gap.

    Raises:
        SequenceConflictError: `sequence` is after `end`.
    """
    if sequence > end:
        message = f"sequence must be at most the end {end}; got {sequence} in {topic}/{partition}"
        raise SequenceConflictError(message)


def check_same(
    topic: str, partition: int, stored: Sequence[Record], entries: Sequence[Entry]
) -> None:
    """Compare stored records with the entries for the same offsets, pair by pair.

    Raises:
        SequenceConflictError: Keys or values of a pair differ; the message shows the first
            difference.

    Example:
        >>> check_same("metrics", 0, [Record(7, 5, b"", b"abc")], [Entry(9, b"", b"abd")])
        Traceback (most recent call last):
        state.log.protocol.SequenceConflictError: value must equal the stored b'abc'; got b'abd' ...
    """
    for record, entry in zip(stored, entries, strict=False):
        if record[2:] != entry[1:]:
            raise SequenceConflictError(_difference(topic, partition, record, entry))


def _difference(topic: str, partition: int, record: Record, entry: Entry) -> str:
    field = "key" if record.key != entry.key else "value"
    old, new = getattr(record, field), getattr(entry, field)
    at = _first_difference(old, new)
    return (
        f"{field} must equal the stored {_around(old, at)}; got {_around(new, at)} "
        f"in {topic}/{partition} at sequence {record.offset}, byte {at}"
    )


def _first_difference(old: bytes, new: bytes) -> int:
    shorter = min(len(old), len(new))
    return next((i for i in range(shorter) if old[i] != new[i]), shorter)


def _around(value: bytes, at: int) -> str:
    first, last = max(0, at - 40), at + 40
    return f"{'…' * (first > 0)}{value[first:last]!r}{'…' * (last < len(value))}"
