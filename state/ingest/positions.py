"""The journal of ingest: positions of all sources in each partition of `events`, exactly once.

Each append to a partition of `events` has an entry in the same partition of `ingested`: in the same
transaction or, on the embedded log, written just before it. An entry counts once its records are
there, so after a crash at any point it is known for each record whether it was appended.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

import msgspec

from state.log import (
    EVENTS,
    Entry,
    Log,
    LogError,
    Record,
    SequenceConflictError,
    Trimmable,
    decoded,
    newest_append_time,
    partition_of,
)
from state.outputs.records import DeadLetter
from state.topics import DEAD_LETTERS, INGESTED

LETTERS = DEAD_LETTERS
"""The topic whose last partition takes refused foreign records."""

_KEEP = 100
_TRIM_EVERY = 1_000

_encode = msgspec.json.Encoder().encode


class Ingested(msgspec.Struct, frozen=True):
    """A journal entry: from here on these positions hold in this partition.

    Attributes:
        positions: Next offset of each source, such as `crm.bookings/0`.
        first: Offset in `events` of the first record appended with it.
        count: Number of these records.
        digest: Hash of their keys and values.
        letters: End of ingest's dead letters for records before these positions.
        version: Version of the entry.
        mapping: Hash of the mappings that were used; empty: unknown.
    """

    positions: dict[str, int]
    first: int
    count: int
    digest: str
    letters: int
    version: int = 1
    mapping: str = ""


def letter_of(partition: int, record: Record) -> DeadLetter:
    """Decode a dead letter; raises as `decoded` does."""
    return decoded(LETTERS, partition, record, DeadLetter)


def again_of(partition: int, letter: DeadLetter) -> str:
    """Name of the source of a retried dead letter.

    Args:
        partition: Partition of `dead_letters`.
        letter: The dead letter, whose reason is used.
    """
    return f"{LETTERS}/{partition}/{letter.reason}"


class Sourced(NamedTuple):
    """A mapped record of a source.

    Attributes:
        source: `topic/partition` for a foreign record, `dead_letters/partition/reason` for a
            retried one; offsets of a source ascend.
        offset: Offset in the source.
        append_time: Append time of the event or dead letter, microseconds UTC.
        became: Key and value of an event, or the reason why it is refused.
    """

    source: str
    offset: int
    append_time: int
    became: tuple[bytes, bytes] | DeadLetter


class IngestError(LogError):
    """Another process appends to `events`, or the log has no partition for foreign topics."""


class _Lane:
    """One partition: its newest valid journal entry, and its end offsets."""

    def __init__(self, log: Log, partition: int) -> None:
        self.sequence = log.end(INGESTED, partition)
        self.end = log.end(EVENTS, partition)
        newest = next(
            (entry for entry in _newest_first(log, partition) if _counts(log, partition, entry)),
            None,
        )
        self.positions = dict(newest.positions) if newest else {}
        self.letters = newest.letters if newest else 0
        self.mapping = newest.mapping if newest else ""


class IngestWriter:
    """Appends the records of sources to `events` and `dead_letters`, each one once.

    Args:
        log: Log with all topics.
        mapping: Hash of the mappings in use.

    Raises:
        IngestError: The log is too old for foreign topics, or an interrupted ingest with another
            mapping must be completed first.
    """

    def __init__(self, log: Trimmable, mapping: str) -> None:
        self._log, self._mapping = log, mapping
        partitions = log.partitions(EVENTS)
        self._letters_in = log.partitions(LETTERS) - 1
        if self._letters_in != partitions:
            msg = (
                f"{LETTERS} must have a partition for ingest, {partitions + 1} in all; got "
                f"{partitions}: this log is older, export its events and ingest them into a new one"
            )
            raise IngestError(msg)
        for partition in range(partitions):
            # Fences off an earlier writer: from here on no other process changes what is read next.
            log.append_all(partition, {INGESTED: (None, ()), EVENTS: (None, ())})
        log.append(LETTERS, self._letters_in, ())
        self._lanes = [_Lane(log, partition) for partition in range(partitions)]
        self._positions = _least(lane.positions for lane in self._lanes)
        self._check_mapping()
        self._letters = min(lane.letters for lane in self._lanes)
        self._letters_end = log.end(LETTERS, self._letters_in)
        self._buried = set(self._unsettled())
        self._time = 0

    def position(self, source: str) -> int | None:
        """The offset from which a source must be read; None: unknown here."""
        return self._positions.get(source)

    def append(self, batch: Sequence[Sourced]) -> tuple[int, int]:
        """Append records that are not appended yet.

        Args:
            batch: The next records of each source, some MiB at most.

        Returns:
            The numbers of events and of dead letters appended.

        Raises:
            IngestError: Another process appends to `events`.
        """
        letters: list[Entry] = []
        routed: defaultdict[int, list[Entry]] = defaultdict(list)
        for one in batch:
            self._positions[one.source] = one.offset + 1
            self._time = one.append_time
            if one[:2] in self._buried:
                self._buried.remove(one[:2])
            elif isinstance(one.became, DeadLetter):
                letters.append(Entry(one.append_time, b"", _encode(one.became)))
            else:
                partition = partition_of(one.became[0], len(self._lanes))
                if one.offset >= self._lanes[partition].positions.get(one.source, 0):
                    routed[partition].append(Entry(one.append_time, *one.became))
        self._bury(letters)
        for partition in sorted(routed):
            self._announce(partition, routed[partition])
        return sum(map(len, routed.values())), len(letters)

    def settle(self) -> None:
        """Write lagging positions, so that the next start need not read so far back."""
        for partition, lane in enumerate(self._lanes):
            if any(lane.positions.get(s, -1) < n for s, n in self._positions.items()):
                self._announce(partition, [])

    def _check_mapping(self) -> None:
        """Refuse another mapping while some partitions lack records that others have.

        The mapping decides a record's partition, and so whether the record is there already.
        """
        for lane in self._lanes:
            if lane.mapping in {"", self._mapping}:
                continue
            for source, offset in lane.positions.items():
                least = self._positions.get(source, 0)
                if offset > least:
                    msg = (
                        f"ingest.topics must not change while partitions of {EVENTS} differ in "
                        f"what they hold; got others with {source} at {offset} in one and {least} "
                        "in another: run `headwater ingest` once with the old ones"
                    )
                    raise IngestError(msg)

    def _bury(self, letters: list[Entry]) -> None:
        if letters:
            with _alone(f"{LETTERS}/{self._letters_in}"):
                self._letters_end = self._log.append(
                    LETTERS, self._letters_in, letters, sequence=self._letters_end
                )
        if not self._buried:
            self._letters = self._letters_end

    def _announce(self, partition: int, entries: list[Entry]) -> None:
        lane = self._lanes[partition]
        known = lane.positions
        positions = known | {s: max(n, known.get(s, 0)) for s, n in self._positions.items()}
        entry = Ingested(
            positions,
            lane.end,
            len(entries),
            _digest(entries),
            self._letters,
            mapping=self._mapping,
        )
        announced = [Entry(self._time, b"", _encode(entry))]
        with _alone(f"{EVENTS}/{partition}"):
            self._log.append_all(
                partition, {INGESTED: (lane.sequence, announced), EVENTS: (lane.end, entries)}
            )
        lane.sequence += 1
        lane.end += len(entries)
        lane.positions, lane.letters, lane.mapping = positions, self._letters, self._mapping
        if lane.sequence % _TRIM_EVERY == 0:
            with suppress(LogError):  # the next call trims what this one could not
                self._log.trim(INGESTED, partition, lane.sequence - _KEEP)

    def _unsettled(self) -> Iterator[tuple[str, int]]:
        """Places of refused records after the positions that all partitions have."""
        for record in _read(self._log, LETTERS, self._letters_in, self._letters):
            letter = letter_of(self._letters_in, record)
            source, offset = f"{letter.topic}/{letter.partition}", letter.offset
            if letter.again is not None:
                offset = letter.again
                (first,) = self._log.read(LETTERS, self._letters_in, offset, max_records=1)
                source = again_of(self._letters_in, letter_of(self._letters_in, first))
            if offset >= self._positions.get(source, 0):
                yield source, offset


@contextmanager
def _alone(place: str) -> Iterator[None]:
    """Explain a conflict of sequences by another writer."""
    try:
        yield
    except SequenceConflictError as error:
        msg = (
            f"only one ingest may append to {place}; got records of another one since this one "
            "started: stop one of them"
        )
        raise IngestError(msg) from error


def positions_of(log: Log) -> dict[str, int]:
    """The lowest offset from which each source must still be ingested into some partition."""
    return _least(_Lane(log, p).positions for p in range(log.partitions(EVENTS)))


def carry_over(log: Log, to: Log) -> None:
    """Write the positions of a log's sources to a new log.

    The shards' dead letters are derived again, so that they can be retried again.

    Args:
        log: Log whose dead letters of ingest were copied.
        to: New log, which has the events.
    """
    shards = tuple(f"{LETTERS}/{partition}/" for partition in range(log.partitions(EVENTS)))
    for partition in range(log.partitions(INGESTED)):
        lane = _Lane(log, partition)
        if not lane.sequence:
            continue
        kept = {s: n for s, n in lane.positions.items() if not s.startswith(shards)}
        entry = Ingested(
            kept, to.end(EVENTS, partition), 0, _digest([]), lane.letters, mapping=lane.mapping
        )
        time = newest_append_time(to, EVENTS)
        to.append(INGESTED, partition, [Entry(time, b"", _encode(entry))], sequence=0)


def _least(positions: Iterable[dict[str, int]]) -> dict[str, int]:
    """The lowest position of each source that all have."""
    every = list(positions)
    known = set(every[0]).intersection(*every)
    return {source: min(of[source] for of in every) for source in known}


def _newest_first(log: Log, partition: int) -> Iterator[Ingested]:
    start, end = log.start(INGESTED, partition), log.end(INGESTED, partition)
    for offset in reversed(range(start, end)):
        (record,) = log.read(INGESTED, partition, offset, max_records=1)
        yield decoded(INGESTED, partition, record, Ingested)


def _counts(log: Log, partition: int, entry: Ingested) -> bool:
    """Whether the records of a journal entry are there."""
    if not entry.count:
        return True
    if log.end(EVENTS, partition) < entry.first + entry.count:
        return False
    if log.start(EVENTS, partition) > entry.first:
        return True  # trimmed since
    there = islice(_read(log, EVENTS, partition, entry.first), entry.count)
    return _digest([Entry(*record[1:]) for record in there]) == entry.digest


def _read(log: Log, topic: str, partition: int, offset: int) -> Iterator[Record]:
    while records := log.read(topic, partition, offset):
        yield from records
        offset = records[-1].offset + 1


def _digest(entries: Sequence[Entry]) -> str:
    digest = blake2b(digest_size=8)
    for _, key, value in entries:
        digest.update(b"%d %d " % (len(key), len(value)) + key + value)
    return digest.hexdigest()
