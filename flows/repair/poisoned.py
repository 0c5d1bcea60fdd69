"""Find records of `events` with append times ahead of the clock, and the records that caused them.

Earlier versions appended an event from the future at its own event time, and raised the append
times of all later records to it. So a record ahead of the clock is either a cause or a follower.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from state.log import EVENTS, Log, Record, offset_at

Peek = Callable[[bytes], tuple[int | None, bytes]]

_CLAIMS = 8
"""Number of append times without a cause from which on the clock, not an envelope, was wrong."""


class BadRecord(NamedTuple):
    """A record that caused a wrong append time.

    Attributes:
        partition: Partition of `events`.
        offset: Offset in that partition.
        id: Id of the event; empty if it has none.
        append_time: Stored append time, microseconds UTC.
        event_time: Event time, microseconds UTC; None if the record is not a valid event.
    """

    partition: int
    offset: int
    id: str
    append_time: int
    event_time: int | None


class BadAppendTimes(NamedTuple):
    """The wrong append times of a log.

    Attributes:
        firsts: Offset of the first record with a wrong append time, by partition; the end offset if
            there is none.
        wrong: The records that caused the wrong times.
    """

    firsts: list[int]
    wrong: list[BadRecord]


class _EventId(msgspec.Struct):
    id: str = ""


_decode = msgspec.json.Decoder(_EventId).decode


def poisoned(log: Log, peek: Peek, latest: int) -> BadAppendTimes:
    """Find append times ahead of the clock, and their causes.

    A record is a cause if its own event time is ahead. If no such event explains an append time, an
    envelope claimed it: then the record with the oldest event is the cause, as later records were
    only raised to its time.

    Args:
        log: Log to search.
        peek: Returns event time and key of a record's value.
        latest: Latest valid append time, microseconds UTC.
    """
    firsts = [offset_at(log, EVENTS, p, latest + 1) for p in range(log.partitions(EVENTS))]
    wrong: list[BadRecord] = []
    claims: defaultdict[int, list[BadRecord]] = defaultdict(list)
    explained: set[int] = set()
    for partition, first in enumerate(firsts):
        newest = latest
        for record in records_of(log, partition, first, log.end(EVENTS, partition)):
            event_time = peek(record.value)[0]
            is_future = event_time is not None and event_time > latest
            if is_future or record.append_time > newest:
                one = _wrong(partition, record, event_time)
                (wrong if is_future else claims[record.append_time]).append(one)
            if is_future:
                explained.add(record.append_time)
            newest = max(newest, record.append_time)
    unexplained = [of for time, of in claims.items() if time not in explained]
    if len(unexplained) <= _CLAIMS:
        wrong += (min(of, key=lambda one: one.event_time or 0) for of in unexplained)
    return BadAppendTimes(firsts, sorted(wrong))


def records_of(log: Log, partition: int, start: int, end: int) -> Iterator[Record]:
    """Records of `events` in a range of offsets."""
    while start < end:
        records = log.read(EVENTS, partition, start, max_records=min(1_000, end - start))
        yield from records
        start += len(records)


def _wrong(partition: int, record: Record, event_time: int | None) -> BadRecord:
    try:
        name = _decode(record.value).id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        name = ""
    return BadRecord(partition, record.offset, name, record.append_time, event_time)
