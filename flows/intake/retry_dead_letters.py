"""Read dead letters, and retry their records: each one once, like those of any other source."""

from collections.abc import Collection, Iterator
from typing import NamedTuple, get_args

from flows.intake.foreign_ingest import event_or_letter, size_of
from state.ingest.mapping import Foreign, Mapper
from state.ingest.positions import LETTERS, IngestWriter, Sourced, again_of, letter_of, positions_of
from state.log import EVENTS, Log, OffsetError, UnknownTopicError, newest_append_time
from state.log.batches import batches
from state.outputs.records import DeadLetter, DeadLetterReason
from state.stream import Stream

_FINAL = ("duplicate", "late", "unmatched")
AGAIN = tuple(reason for reason in get_args(DeadLetterReason) if reason not in _FINAL)
"""Reasons that a retry may resolve; duplicates, late and unmatched records stay dead letters."""

_READ_RECORDS = 1_000
_BATCH_BYTES = 8 * 2**20


class RetryResult(NamedTuple):
    """Numbers of retried dead letters.

    Attributes:
        events: Letters whose records became events.
        letters: Letters whose foreign records were refused again.
        gone: Letters whose whole record is neither in the letter nor in `events`.
    """

    events: int
    letters: int
    gone: int


class StoredDeadLetter(NamedTuple):
    """A stored dead letter.

    Attributes:
        partition: Partition of `dead_letters`.
        offset: Offset in that partition.
        append_time: Append time, microseconds UTC.
        content: The decoded letter.
        is_open: Whether it can still be retried: its reason is in `AGAIN`, and no later letter of
            its partition and reason was retried. A letter that holds only a part of a foreign
            record stays open.
    """

    partition: int
    offset: int
    append_time: int
    content: DeadLetter
    is_open: bool


def letters_of(log: Log) -> Iterator[StoredDeadLetter]:
    """All dead letters in the log, by partition."""
    try:
        positions = positions_of(log)
    except UnknownTopicError:  # a log made before foreign topics could be ingested
        positions = {}
    for partition in range(log.partitions(LETTERS)):
        offset, end = log.start(LETTERS, partition), log.end(LETTERS, partition)
        while offset < end:
            most = min(_READ_RECORDS, end - offset)
            for record in log.read(LETTERS, partition, offset, max_records=most):
                content = letter_of(partition, record)
                next_open = positions.get(again_of(partition, content), 0)
                is_left = record.offset >= next_open or _is_stump(content)
                is_open = is_left and content.reason not in _FINAL
                yield StoredDeadLetter(
                    partition, record.offset, record.append_time, content, is_open
                )
                offset = record.offset + 1


def append_again(
    log: Log, stream: Stream, mapper: Mapper, intake: IngestWriter, reasons: Collection[str]
) -> RetryResult:
    """Retry the open dead letters of some reasons.

    A foreign record is mapped again; if it is refused again, it is a new dead letter. A record of
    `events` is appended again with the same bytes (except that times as text become microseconds),
    for the run to check. Either way the old letter is closed: a repeated call continues where an
    earlier one was interrupted. Retried records have the newest event's append time. Records that
    are no longer whole are skipped.

    Args:
        log: Log with the dead letters.
        stream: Stream, for the keys of events.
        mapper: Mappings of the foreign topics.
        intake: Writer of the records.
        reasons: Reasons in `AGAIN`.

    Returns:
        The number of letters retried, and of those that could not be.
    """
    peek, times = stream.peek(), stream.times("us", is_sure=True)
    append_time = newest_append_time(log, EVENTS)

    def became(letter: StoredDeadLetter) -> tuple[bytes, bytes] | DeadLetter | None:
        content = letter.content
        if _is_stump(content):
            return None
        if content.topic:
            return event_or_letter(mapper, _foreign(content), letter.offset)
        raw = content.raw
        if len(raw) < content.size:
            place = EVENTS, content.partition, content.offset
            try:
                raw = log.read(*place, max_records=1)[0].value
            except OffsetError:  # trimmed
                return None
        value = times.of(raw)
        return peek(value)[1], value

    events = letters = gone = 0

    def sourced() -> Iterator[Sourced]:
        nonlocal gone
        for letter in letters_of(log):
            source = again_of(letter.partition, letter.content)
            is_left = letter.offset >= (intake.position(source) or 0) or _is_stump(letter.content)
            if is_left and letter.content.reason in reasons:
                made = became(letter)
                if made is None:
                    gone += 1
                else:
                    yield Sourced(source, letter.offset, append_time, made)

    for batch in batches(sourced(), _size, max_items=_READ_RECORDS, max_bytes=_BATCH_BYTES):
        new_events, new_letters = intake.append(batch)
        events += new_events
        letters += new_letters
    intake.settle()
    return RetryResult(events, letters, gone)


def _is_stump(letter: DeadLetter) -> bool:
    """Whether a letter holds only a part of a foreign record that was too large."""
    return bool(letter.topic) and size_of(letter.raw, letter.key, letter.headers) < letter.size


def _foreign(letter: DeadLetter) -> Foreign:
    return Foreign(
        letter.topic,
        letter.partition,
        letter.offset,
        letter.timestamp,
        letter.key,
        letter.headers,
        letter.raw,
    )


def _size(one: Sourced) -> int:
    return len(one.became.raw) if isinstance(one.became, DeadLetter) else len(one.became[1])
