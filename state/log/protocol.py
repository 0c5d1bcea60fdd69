"""The log: append-only topics in partitions; everything else in Headwater is a fold of it."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable
from zlib import crc32

import msgspec

T = TypeVar("T")

EVENTS = "events"
"""The topic that all others follow from."""

MAX_VALUE_BYTES = 16 * 2**20
"""The largest value that every backend takes."""

MOST_PARTITIONS = 10_000
"""A topic has no more: on the embedded log each is a file."""

MAX_READ_BYTES = 16 * 2**20
"""How many bytes of values one read returns unless told otherwise."""


class Entry(NamedTuple):
    """What is appended: append time in microseconds UTC, key and value."""

    append_time: int
    key: bytes
    value: bytes


class Record(NamedTuple):
    """What is read: an entry at its offset."""

    offset: int
    append_time: int
    key: bytes
    value: bytes


Parts = Mapping[str, tuple[int | None, Sequence[Entry]]]
"""For each topic a sequence, as `Log.append` takes it, and the entries."""


class LogError(OSError):
    """The log cannot do what was asked; the message names the place."""


class UnknownTopicError(LogError):
    """There is no such topic, or it has no such partition."""


class OffsetError(LogError):
    """A read outside what the log holds: history is missing."""


class SequenceConflictError(LogError):
    """A numbered append differs from what is stored, or leaves a gap before itself."""


class ReadableLog(Protocol):
    """The part of `Log` that changes nothing: who is given no more can only read."""

    def partitions(self, topic: str) -> int:
        """How many partitions the topic has.

        Raises:
            UnknownTopicError: It was never created.
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
        """The records from `offset` on, in order, as far as they are at hand.

        An empty list says that the log ended at `offset`: what the same log object has appended is
        never missed, what others append is seen within milliseconds. A list that is shorter than
        the limits allow says nothing: whoever needs all records reads on until there are none, or
        up to an `end`. A read never waits for records to be appended.

        Args:
            topic: A topic that was created.
            partition: From 0.
            offset: Of the first record.
            max_records: At most so many, and at least one.
            max_bytes: Stop once the values exceed this; the first record is always returned.

        Raises:
            OffsetError: `offset` is beyond the end or before the first record left.
            UnknownTopicError: No such topic or partition.
        """

    def start(self, topic: str, partition: int) -> int:
        """The first offset left, 0 unless history was cut."""

    def end(self, topic: str, partition: int) -> int:
        """The offset that the next entry gets; never below what the same log object has read."""


class Log(ReadableLog, Protocol):
    """What every backend promises; `tests/state/log_contract.py` holds each to it.

    Offsets of a partition are dense and start at 0. Several readers may work beside one writer,
    in other threads and other processes.
    """

    def create(self, topic: str, partitions: int) -> None:
        """Make a topic, or do nothing where it is already there.

        Raises:
            ValueError: It is there with another number of partitions, or the name is no name.
        """

    def append(
        self, topic: str, partition: int, entries: Sequence[Entry], *, sequence: int | None = None
    ) -> int:
        """Append all entries or none; they are durable when this returns.

        Append times never run backwards in a partition: an earlier one is lifted to the last.

        Args:
            topic: A topic that was created.
            partition: From 0.
            entries: Values of at most `MAX_VALUE_BYTES`.
            sequence: The offset that the first entry must get. Entries that are already there
                must equal the stored key and value and are skipped; their append time stays.

        Returns:
            The offset after the last of these entries.

        Raises:
            SequenceConflictError: A stored entry differs, or `sequence` is beyond the end.
            UnknownTopicError: No such topic or partition.
            ValueError: A value is too large.
        """

    def append_all(self, partition: int, parts: Parts) -> dict[str, int]:
        """Append to several topics that one process writes; durable when this returns.

        Readers see all of a topic's entries or none. A call that was cut off may have appended to
        the first topics only, or to all or none where the backend has transactions; the same call
        with sequences completes it.

        Args:
            partition: Of each topic.
            parts: In the order in which they are appended.

        Returns:
            For each topic the offset after the last of these entries. Errors as for `append`.
        """

    def close(self) -> None:
        """Let go of files and connections."""


class Trimmable(Log, Protocol):
    """A log whose oldest records can be given up."""

    def trim(self, topic: str, partition: int, before: int) -> int:
        """Drop the records below an offset and give their space back.

        The newest record always stays, so that offsets and append times go on. Readers and a
        writer may be at work; an interrupted call has dropped some of the oldest records or none,
        and the next one goes on.

        Args:
            topic: A topic that was created.
            partition: From 0.
            before: The first offset to keep; nothing happens where it is at or before the start.

        Returns:
            The first offset left.

        Raises:
            OffsetError: `before` is beyond the end.
            UnknownTopicError: No such topic or partition.
        """


@runtime_checkable
class Placed(Protocol):
    """A log that can say where on this machine it keeps a partition."""

    def place(self, topic: str, partition: int) -> str:
        """Where, for a message."""


def place_of(log: ReadableLog, topic: str, partition: int) -> str:
    """A partition, for a message, and where it is kept as far as the log can say.

    Args:
        log: Whose.
        topic: Which.
        partition: Which of its.
    """
    place = f"{topic}/{partition}"
    return f"{place} ({log.place(topic, partition)})" if isinstance(log, Placed) else place


def decoded(topic: str, partition: int, record: Record, kind: type[T]) -> T:
    """What a record says that Headwater itself wrote.

    Args:
        topic: That it is in.
        partition: The same.
        record: Which.
        kind: What it must be.

    Raises:
        LogError: It is no such thing any more: it was altered.
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
    """`Log.append_all` where no transaction spans topics: one after the other."""
    return {
        topic: log.append(topic, partition, entries, sequence=sequence)
        for topic, (sequence, entries) in parts.items()
    }


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that holds all records of a key.

    Example:
        >>> partition_of(b"123456789", 8) == 0xCBF43926 % 8
        True
    """
    return crc32(key) % partitions


def newest_append_time(log: ReadableLog, topic: str) -> int:
    """The highest append time of all partitions of a topic; 0 for an empty one."""
    newest = 0
    for partition in range(log.partitions(topic)):
        end = log.end(topic, partition)
        if end > log.start(topic, partition):
            (last,) = log.read(topic, partition, end - 1, max_records=1)
            newest = max(newest, last.append_time)
    return newest


def offset_at(log: ReadableLog, topic: str, partition: int, append_time: int) -> int:
    """The first offset left that was appended at or after a time; the end if none was."""
    held = range(log.start(topic, partition), log.end(topic, partition))

    def appended(offset: int) -> int:
        return log.read(topic, partition, offset, max_records=1)[0].append_time

    return held.start + bisect_left(held, append_time, key=appended)


def check_values(topic: str, partition: int, entries: Sequence[Entry]) -> None:
    """Refuse values that some backend could not hold.

    Raises:
        ValueError: One is larger than `MAX_VALUE_BYTES`.
    """
    largest = max((len(entry.value) for entry in entries), default=0)
    if largest > MAX_VALUE_BYTES:
        message = (
            f"value must be at most {MAX_VALUE_BYTES} bytes; got {largest} in {topic}/{partition}"
        )
        raise ValueError(message)


def check_offset(topic: str, partition: int, offset: int, start: int, end: int) -> None:
    """Refuse to read where the log holds nothing.

    Raises:
        OffsetError: `offset` is not in `start` to `end`, both included.

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
    """Refuse a numbered append that would leave a hole before itself.

    Raises:
        SequenceConflictError: `sequence` is beyond `end`.
    """
    if sequence > end:
        message = f"sequence must be at most the end {end}; got {sequence} in {topic}/{partition}"
        raise SequenceConflictError(message)


def check_same(
    topic: str, partition: int, stored: Sequence[Record], entries: Sequence[Entry]
) -> None:
    """Compare stored records with the entries that want their places, pair by pair.

    Raises:
        SequenceConflictError: Key or value of a pair differ; the message shows where.

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
