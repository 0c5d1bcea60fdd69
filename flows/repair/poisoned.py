"""Records of `events` whose append time lies beyond the clock, and those that brought it.

An event from the future was appended at its own time by earlier versions, and lifted all that came
after it. So what has an append time beyond the clock either brought it or is innocent.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from state.log import EVENTS, Log, Record, offset_at

Peek = Callable[[bytes], tuple[int | None, bytes]]

_CLAIMS = 8
"""More append times than this that no event explains were told by a clock, not by an envelope."""


class Wrong(NamedTuple):
    """A record that brought a wrong append time.

    Attributes:
        partition: Of `events`.
        offset: There.
        id: Of the event; empty where it has none.
        append_time: As stored, microseconds UTC.
        event_time: The same; None where it is no event.
    """

    partition: int
    offset: int
    id: str
    append_time: int
    event_time: int | None


class Poisoned(NamedTuple):
    """What is wrong with a log.

    Attributes:
        firsts: By partition, the offset of the first record with a wrong append time; the end
            where there is none.
        wrong: The records that brought them.
    """

    firsts: list[int]
    wrong: list[Wrong]


class _Named(msgspec.Struct):
    id: str = ""


_decode = msgspec.json.Decoder(_Named).decode


def poisoned(log: Log, peek: Peek, latest: int) -> Poisoned:
    """Look for append times beyond the clock.

    A record brought one if its event is from the future itself. Where no event explains an append
    time an envelope claimed it: then it is the record with it whose event is the oldest, for the
    others came later.

    Args:
        log: Where.
        peek: Event time and key of a value.
        latest: The latest time, microseconds UTC, that a record can have.
    """
    firsts = [offset_at(log, EVENTS, p, latest + 1) for p in range(log.partitions(EVENTS))]
    wrong: list[Wrong] = []
    claims: defaultdict[int, list[Wrong]] = defaultdict(list)
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
    return Poisoned(firsts, sorted(wrong))


def records_of(log: Log, partition: int, start: int, end: int) -> Iterator[Record]:
    """The records of `events` in a range of offsets."""
    while start < end:
        records = log.read(EVENTS, partition, start, max_records=min(1_000, end - start))
        yield from records
        start += len(records)


def _wrong(partition: int, record: Record, event_time: int | None) -> Wrong:
    try:
        name = _decode(record.value).id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        name = ""
    return Wrong(partition, record.offset, name, record.append_time, event_time)
