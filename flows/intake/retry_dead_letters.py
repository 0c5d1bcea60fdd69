"""Dead letters read, and what they are about appended again: each once, like any other source."""

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
"""Reasons that may pass: a duplicate stays one, and what is late or missed only gets later."""

_READ_RECORDS = 1_000
_BATCH_BYTES = 8 * 2**20


class Again(NamedTuple):
    """What another try came to, in dead letters.

    Attributes:
        events: Became events.
        letters: Are about foreign records that were refused anew.
        gone: Hold their record in part only, and `events` does not hold it.
    """

    events: int
    letters: int
    gone: int


class Letter(NamedTuple):
    """A dead letter where it lies.

    Attributes:
        partition: Of `dead_letters`.
        offset: There.
        append_time: Microseconds UTC.
        content: What it says.
        is_open: Whether it can still be tried: no letter of its partition and reason was that comes
            after it. One that holds a foreign record in part only stays open.
    """

    partition: int
    offset: int
    append_time: int
    content: DeadLetter
    is_open: bool


def letters_of(log: Log) -> Iterator[Letter]:
    """All dead letters that the log holds now, by partition."""
    try:
        positions = positions_of(log)
    except UnknownTopicError:  # a log from before there was ingest of foreign topics
        positions = {}
    for partition in range(log.partitions(LETTERS)):
        offset, end = log.start(LETTERS, partition), log.end(LETTERS, partition)
        while offset < end:
            most = min(_READ_RECORDS, end - offset)
            for record in log.read(LETTERS, partition, offset, max_records=most):
                content = letter_of(partition, record)
                next_open = positions.get(again_of(partition, content), 0)
                is_open = record.offset >= next_open or _is_stump(content)
                yield Letter(partition, record.offset, record.append_time, content, is_open)
                offset = record.offset + 1


def append_again(
    log: Log, stream: Stream, mapper: Mapper, intake: IngestWriter, reasons: Collection[str]
) -> Again:
    """Append anew what the open dead letters of some reasons are about.

    A foreign record is mapped anew, and refused anew it is a dead letter anew. A record of `events`
    is appended with the same bytes, but for a time that is text, which becomes microseconds; the
    run that reads it judges it anew. Either way its first
    dead letter is done with: the same call does nothing more, wherever it was cut off before.
    Appended they are as if they came with the newest event. What is not there whole is left out.

    Args:
        log: Where.
        stream: Gives the key of a record of `events`.
        mapper: Of the foreign topics.
        intake: Appends.
        reasons: Of `AGAIN`.

    Returns:
        How many were tried, and how many could not be.
    """
    peek, times = stream.peek(), stream.times("us", is_sure=True)
    append_time = newest_append_time(log, EVENTS)

    def became(letter: Letter) -> tuple[bytes, bytes] | DeadLetter | None:
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
    return Again(events, letters, gone)


def _is_stump(letter: DeadLetter) -> bool:
    """Whether it is all that is left of a foreign record that was too large for it."""
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
