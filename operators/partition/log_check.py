"""Check that `events` and the journal still hold the records that checkpoints have read.

Derived topics can be written again; these two cannot. If a log lost its end, is an older copy, or
has other records, it must stop its reader before that writes output which depends on the
difference.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from operators.partition.journal import TOPIC as JOURNAL
from operators.partition.journal import Journal
from operators.shard.shard import TOPICS
from state.checkpoints.store import CheckpointHead, CheckpointStore
from state.log import EVENTS, Log, LogError, OffsetError, place_of
from state.log.running_hash import START, Hashed, fold
from state.topics import DEAD_LETTERS, PREDICTIONS

_TOGETHER = 1000
_FOLLOWING = (PREDICTIONS, DEAD_LETTERS)
"""Outputs whose records hold the offset of their event."""


class LogCutError(LogError):
    """The end of a topic that cannot be derived was lost."""


class LogAlteredError(LogError):
    """Records differ from those that were read."""


class _OutputOffset(msgspec.Struct):
    """The one field of an output that is needed here."""

    offset: int


class _HashMark(NamedTuple):
    """The hash of the records from `first` up to an offset."""

    first: int
    offset: int
    hash: bytes


def check_log(
    log: Log, store: CheckpointStore, partition: int, *, most: int, outputs: bool
) -> None:
    """Refuse a log that lacks records which were read, or has other records near its end.

    Args:
        log: Log to check.
        store: Checkpoints of the home; those copied from a store say nothing about this log.
        partition: Partition of `events`.
        most: Approximate number of newest records to compare; 0: none.
        outputs: Outputs cannot be ahead of their events; False if they can, because a mirror copies
            the topics.

    Raises:
        LogCutError: The end of `events` or of the journal was lost.
        LogAlteredError: One of the newest records, or a journal entry, has changed.
        LogError: One of the newest records is missing.
    """
    # Read the end last, as the flow may append meanwhile.
    newest = next(_own(store, partition), None)
    read = 0 if newest is None else newest.offset
    if outputs:
        read = max([read, *(_followed(log, topic, partition) for topic in _FOLLOWING)])
    _check_end(log, store, EVENTS, partition, read)
    if newest is not None:
        _check_end(log, store, JOURNAL, partition, newest.counters.get(JOURNAL, 0))
        _check_journal(log, newest)
        hashed = _hashed(newest)
        if most and hashed is not None:
            _check_near(log, store, hashed, partition, most)


def verify(log: Log, store: CheckpointStore, partition: int) -> range:
    """Compare all records for which checkpoints have hashes.

    Args:
        log: Log to check.
        store: Checkpoints of the home.
        partition: Partition of `events`.

    Returns:
        The verified offsets; empty without a checkpoint that has a hash.

    Raises:
        LogAlteredError: Records have changed; the message names the range.
        LogError: A record is missing.
    """
    known = [hashed for one in _own(store, partition) if (hashed := _hashed(one)) is not None]
    start = log.start(EVENTS, partition)
    mark: _HashMark | None = None
    first = end = 0
    for hashed in reversed(known):
        if hashed.end < start:
            continue
        if mark is None or mark.first != hashed.first:
            begin = hashed.first if hashed.first >= start else hashed.end
            mark = _HashMark(hashed.first, begin, START if begin == hashed.first else hashed.hash)
            first = min(first, begin) if end else begin
        _check_span(log, partition, mark, hashed)
        mark = _HashMark(hashed.first, hashed.end, hashed.hash)
        end = hashed.end
    return range(first, end)


def _own(store: CheckpointStore, partition: int) -> Iterator[CheckpointHead]:
    return (head for head in store.heads(partition) if not head.foreign)


def _hashed(head: CheckpointHead) -> Hashed | None:
    """The hash in a head of the records before it; None if it contradicts itself."""
    hashed = head.hashed
    if hashed is None or hashed.end != head.offset:
        return None
    return hashed if 0 <= hashed.first <= hashed.near <= hashed.end else None


def _followed(log: Log, topic: str, partition: int) -> int:
    """The offset after the event of the newest output."""
    end = log.end(topic, partition)
    if end == log.start(topic, partition):
        return 0
    (newest,) = log.read(topic, partition, end - 1, max_records=1)
    try:
        return msgspec.json.decode(newest.value, type=_OutputOffset).offset + 1
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0  # it was altered, so the replayed output will differ from it


def _check_end(log: Log, store: CheckpointStore, topic: str, partition: int, wanted: int) -> None:
    end = log.end(topic, partition)
    if end < wanted:
        msg = (
            f"log must reach offset {wanted}, up to which it was read; got an end of {end} in "
            f"{place_of(log, topic, partition)}: it was cut at offset {end}, or is an older copy. "
            "Restore the newer one; or, to continue with what is left, move away what was derived "
            f"from the lost part: {store.folder(partition)} and the topics {', '.join(TOPICS)}"
        )
        raise LogCutError(msg)


def _check_journal(log: Log, newest: CheckpointHead) -> None:
    obeyed, partition = newest.counters.get(JOURNAL, 0), newest.partition
    if newest.journal and Journal(log, partition).digest(obeyed) != newest.journal:
        msg = (
            f"journal must hold the entries that were obeyed; got others among the first {obeyed} "
            f"in {place_of(log, JOURNAL, partition)}: it was altered. Restore the right one; "
            "`headwater doctor --repair` mends entries that no version can read"
        )
        raise LogAlteredError(msg)


def _check_near(
    log: Log, store: CheckpointStore, newest: Hashed, partition: int, most: int
) -> None:
    mark = _oldest(store, newest, partition, max(newest.end - most, log.start(EVENTS, partition)))
    if mark.offset < log.start(EVENTS, partition):
        return
    try:
        _check_span(log, partition, mark, newest)
    except OffsetError:
        if mark.offset >= log.start(EVENTS, partition):  # otherwise it was trimmed meanwhile
            raise


def _oldest(store: CheckpointStore, newest: Hashed, partition: int, low: int) -> _HashMark:
    """The first offset, from `low` on, whose hash is known."""
    if newest.first >= low:
        return _HashMark(newest.first, newest.first, START)
    between = [one.offset for one in store.written(partition) if low <= one.offset < newest.near]
    if between:
        for head in store.heads(partition, before=min(between)):
            found = None if head.foreign else _hashed(head)
            if found is not None and found.first == newest.first:
                if found.end >= low:
                    return _HashMark(found.first, found.end, found.hash)
                break
    return _HashMark(newest.first, newest.near, newest.near_hash)


def _check_span(log: Log, partition: int, mark: _HashMark, until: Hashed) -> None:
    offset, found, place = mark.offset, mark.hash, place_of(log, EVENTS, partition)
    while offset < until.end:
        most = min(until.end - offset, _TOGETHER)
        records = log.read(EVENTS, partition, offset, max_records=most)
        if not records:  # trimmed while this reads
            msg = f"log must hold {until.end} records; got {offset} in {place}: it was cut"
            raise LogCutError(msg)
        found = fold(found, records)
        offset += len(records)
    if found != until.hash:
        msg = (
            f"log must hold the records that were read; got others between offset {mark.offset} "
            f"and {until.end} in {place}: it was altered, or belongs to another partition, stream "
            "or time. Restore the right one"
        )
        raise LogAlteredError(msg)
