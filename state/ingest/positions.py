"""The journal of ingest: how far each source is in each partition of `events`, exactly once.

What is appended to a partition of `events` is announced in the same partition of `ingested`, in the
same transaction or, on the embedded log, just before it. An announcement counts once the records
it speaks of are there, so that a crash at any point leaves each record appended or not, and known.
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
"""Its last partition takes what becomes no event."""

_KEEP = 100
_TRIM_EVERY = 1_000

_encode = msgspec.json.Encoder().encode


class Ingested(msgspec.Struct, frozen=True):
    """An announcement: from here on these positions hold in this partition.

    Attributes:
        positions: The next offset of each source, such as `crm.bookings/0`.
        first: Offset in `events` of the first record that is appended with it.
        count: How many are.
        digest: Of their keys and values.
        letters: The end of ingest's dead letters of records before these positions.
        version: Of the entry.
        mapping: Digest of what the records were mapped by; empty: not known.
    """

    positions: dict[str, int]
    first: int
    count: int
    digest: str
    letters: int
    version: int = 1
    mapping: str = ""


def letter_of(partition: int, record: Record) -> DeadLetter:
    """The dead letter in a record of a partition of `dead_letters`; errors as for `decoded`."""
    return decoded(LETTERS, partition, record, DeadLetter)


def again_of(partition: int, letter: DeadLetter) -> str:
    """The source that a dead letter belongs to when it is tried again.

    Args:
        partition: Of `dead_letters`.
        letter: Its reason matters.
    """
    return f"{LETTERS}/{partition}/{letter.reason}"


class Sourced(NamedTuple):
    """A record of a source, mapped.

    Attributes:
        source: `topic/partition` for a foreign record, `dead_letters/partition/reason` for one that
            is tried again; offsets of a source ascend.
        offset: There.
        append_time: Of what it became, microseconds UTC.
        became: Key and value of an event, or why there is none.
    """

    source: str
    offset: int
    append_time: int
    became: tuple[bytes, bytes] | DeadLetter


class IngestError(LogError):
    """Someone else appends to `events`, or the log has no room for foreign topics."""


class _Lane:
    """One partition: what its newest announcement that counts says, and the ends."""

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
    """Appends what sources hold to `events` and `dead_letters`, each record once.

    Args:
        log: All topics are there.
        mapping: Digest of what the records are mapped by.

    Raises:
        IngestError: The log was made before there was ingest of foreign topics, or what another
            mapping was killed at is not finished.
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
            # Ends the writer before: from here on nobody else moves what is read next.
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
        """From which offset on a source must be read; None: it is not known here."""
        return self._positions.get(source)

    def append(self, batch: Sequence[Sourced]) -> tuple[int, int]:
        """Append what is not there yet.

        Args:
            batch: Of each source the records that follow those before, at most some MiB.

        Returns:
            How many events and how many dead letters were appended.

        Raises:
            IngestError: Someone else appends to `events`.
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
        """Write the positions where they lag, so that the next start need not read so far back."""
        for partition, lane in enumerate(self._lanes):
            if any(lane.positions.get(s, -1) < n for s, n in self._positions.items()):
                self._announce(partition, [])

    def _check_mapping(self) -> None:
        """Refuse to read again by another mapping what some partitions have and others lack.

        What becomes of a record tells its partition, and so whether it is there already.
        """
        for lane in self._lanes:
            if lane.mapping in {"", self._mapping}:
                continue
            for source, offset in lane.positions.items():
                least = self._positions.get(source, 0)
                if offset > least:
                    msg = (
                        "ingest.topics must stay as they were until all that was read by them is "
                        f"in each partition of {EVENTS}; got others with {source} at {offset} in "
                        f"one and {least} in another: run `headwater ingest` once with the old ones"
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
            with suppress(LogError):  # the next one trims what this one did not
                self._log.trim(INGESTED, partition, lane.sequence - _KEEP)

    def _unsettled(self) -> Iterator[tuple[str, int]]:
        """Places of records that were buried after what all partitions know of."""
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
    """Make a conflict of sequences say who is at fault."""
    try:
        yield
    except SequenceConflictError as error:
        msg = (
            f"ingest must be the only one that appends to {place}; got records of another since "
            "it started: stop one of the two"
        )
        raise IngestError(msg) from error


def positions_of(log: Log) -> dict[str, int]:
    """From which offset on each source is still to be ingested, in some partition at least."""
    return _least(_Lane(log, p).positions for p in range(log.partitions(EVENTS)))


def carry_over(log: Log, to: Log) -> None:
    """Write to a log made anew what another knows of its sources: how far each is.

    Dead letters of the shards are made anew too, so theirs are open to another try again.

    Args:
        log: Of which the dead letters of ingest were copied.
        to: Has the events by now.
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
    """The lowest position of each source that all know of."""
    every = list(positions)
    known = set(every[0]).intersection(*every)
    return {source: min(of[source] for of in every) for source in known}


def _newest_first(log: Log, partition: int) -> Iterator[Ingested]:
    start, end = log.start(INGESTED, partition), log.end(INGESTED, partition)
    for offset in reversed(range(start, end)):
        (record,) = log.read(INGESTED, partition, offset, max_records=1)
        yield decoded(INGESTED, partition, record, Ingested)


def _counts(log: Log, partition: int, entry: Ingested) -> bool:
    """Whether the records that an announcement speaks of are there."""
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
