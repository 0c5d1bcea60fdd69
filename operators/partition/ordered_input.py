"""The one order of a partition's records, boundaries and journal entries, merged; read only.

The flow, replicas, audits and what-ifs all read through this class, so all see the same order.
"""

from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

from models.scoring.bound_model import Offline
from operators.partition.boundaries import Boundaries
from operators.partition.journal import Activated, Configured, Crossed, Decision, Journal, Quieted
from operators.shard.messages import Activation, Boundary, Configuration, Message, Quiet, Records
from operators.shard.shard import Position, Shard
from state.events import MINUTE_US
from state.log import EVENTS, LogError, OffsetError, ReadableLog, Record
from state.settings import Settings

_LOOKS = 12
"""Number of looks in each `drift.rest`; an early boundary may be decided at each."""


class EntryAheadError(LogError):
    """A journal entry has an offset that the log has not reached."""

    def __init__(self, entry: Decision, end: int, partition: int) -> None:
        super().__init__(
            f"journal must not be ahead of its events; got an entry of offset {entry.offset} where "
            f"events/{partition} ends at {end}: was the log cut at its end?"
        )


class EntryBehindError(OffsetError):
    """A journal entry has an offset that was passed without it."""

    def __init__(self, entry: Decision, number: int, offset: int, partition: int) -> None:
        super().__init__(
            f"journal entry must not be behind the records that were read; got entry {number} of "
            f"offset {entry.offset} where events/{partition} has been read up to {offset}"
        )


class OrderedInput:
    """Reads one partition of `events` and its journal from a position on.

    A journal entry comes before the record of its offset, and right after the boundary that it
    decides. After the newest entry, a boundary comes before the first record appended at or after
    it; then nothing comes until the journal decides that boundary.

    Args:
        log: Log with `events`.
        journal: Journal of the partition; entries added to it, or found by its `refresh`, are
            obeyed.
        position: Position at which to begin.
        settings_of: Returns the settings of a journal entry.
        batch: Most records in one message.
        boundaries: Times at which refits are due, until a journal entry changes them; None:
            boundaries come from the journal only.

    Attributes:
        journal: Journal of the partition.
        settings_of: Returns the settings of a journal entry.
        offset: Offset of the next record.
        boundary: The newest boundary crossed (µs).
        next_entry: Number of the next journal entry.
        holding: The boundary that must be decided before more comes (µs); 0: none.
        looking: The time at which an early boundary may be decided before more comes (µs); 0: none.
    """

    def __init__(
        self,
        log: ReadableLog,
        journal: Journal,
        position: Position,
        *,
        settings_of: Callable[[dict[str, Any]], Settings],
        batch: int,
        boundaries: Boundaries | None = None,
    ) -> None:
        self._log, self.journal = log, journal
        self.settings_of, self._batch, self._boundaries = settings_of, batch, boundaries
        self.offset = position.offset
        self.boundary = position.boundary
        self.next_entry = position.activations
        # A boundary that was crossed but not decided comes again: its cut may not have been
        # written.
        self._due = self.boundary if self.boundary > journal.boundary else 0
        self.holding = self._due
        self.looking = 0
        self._look_every, self._looked_at = 0, 0

    def look(self, rest: int) -> None:
        """From here on stop before the first record of each twelfth of `rest`, until `look_on`.

        The place depends on the append times of the records only, and on the settings there.

        Args:
            rest: `drift.rest` (µs), until a journal entry changes it.
        """
        self._look_every = _interval(rest)
        log, partition = self._log, self.journal.partition
        if self.offset > log.start(EVENTS, partition):
            self._passed(log.read(EVENTS, partition, self.offset - 1, max_records=1))

    def look_on(self) -> None:
        """Go on without an early boundary."""
        self._looked_at, self.looking = self.looking, 0

    @property
    def is_open(self) -> bool:
        """Whether the journal says nothing about the next message; only here can it be decided."""
        return not self._due and self.next_entry == len(self.journal.entries)

    def newest_boundary(self, append_time: int) -> int:
        """The newest boundary at or before an append time (µs), by the settings in effect."""
        return 0 if self._boundaries is None else self._boundaries.newest(append_time)

    def poll(self, until: int | None = None) -> Message | None:
        """The next message, an activation without its model; None: there is none.

        Args:
            until: Offset before which to stop; None: read to the log's end.

        Raises:
            EntryAheadError: The journal is ahead of the log.
            EntryBehindError: The journal is behind the records read.
            LogError: The log cannot be read.
        """
        if self._due:
            return self._cross(self._due)
        if not self.is_open:
            return self._recorded(self.journal.entries[self.next_entry], until)
        return None if self.holding or self.looking else self._beyond(until)

    def at_end(self) -> bool:
        """Whether all records were read and no boundary waits for a decision."""
        read = self.offset >= self._log.end(EVENTS, self.journal.partition)
        return read and self.is_open and not self.holding

    def _recorded(self, entry: Decision, until: int | None) -> Message | None:
        """Records up to a journal entry, then the entry."""
        partition = self.journal.partition
        if entry.offset < self.offset:
            raise EntryBehindError(entry, self.next_entry, self.offset, partition)
        if entry.offset > self.offset:
            if until is not None and until < entry.offset:
                return _message(self._read(until))
            records = self._read(entry.offset)
            if not records:
                raise EntryAheadError(entry, self.offset, partition)
            return _message(records)
        if isinstance(entry, Activated) and (entry.boundary or 0) > self.boundary:
            return self._cross(entry.boundary or 0)
        return self._obey(entry)

    def _obey(self, entry: Decision) -> Message:
        message = self._of_entry(entry, self.next_entry)
        self.next_entry += 1  # only now: an entry with unusable settings comes again
        return message

    def _of_entry(self, entry: Decision, number: int) -> Message:
        match entry:
            case Configured():
                settings = self.settings_of(entry.settings)
                if (now := self._boundaries) is not None:
                    begun = entry.begun or now.begun
                    self._boundaries = replace(now, every=settings.training.every, begun=begun)
                if self._look_every:
                    self._look_every = _interval(settings.drift.rest)
                return Configuration(number, settings)
            case Crossed(boundary=boundary):
                return self._cross(boundary, number)
            case Quieted(boundary=boundary):
                return Quiet(boundary, number)
            case Activated(model=model, champion=champion, trust=trust):
                self.holding = 0
                alone = self.journal.rolls_back(number, entry)
                return Activation(number, model, None, alone, champion, trust)

    def _beyond(self, until: int | None) -> Message | None:
        """Records after the last journal entry, up to the next boundary; then that boundary."""
        boundaries = self._boundaries
        if boundaries is None:
            return _message(self._read(until))
        records = self._peek(until)
        if records and boundaries.newest(records[-1].append_time) > self.boundary:
            times = range(self.boundary, records[-1].append_time + 1)
            due = times[bisect(times, self.boundary, key=boundaries.newest)]
            before = [*takewhile(lambda record: record.append_time < due, records)]
            boundary = boundaries.newest(records[len(before)].append_time)
            if not before:
                return self._cross(boundary)
            self._due, records = boundary, before
        if self._look_every:
            records = self._until_look(records)
        self._passed(records)
        self.offset += len(records)
        return _message(records)

    def _until_look(self, records: list[Record]) -> list[Record]:
        """Records before the next look; at a look itself there are none."""
        every, looked = self._look_every, max(self._looked_at, self.boundary)
        if not looked and records:
            looked = self._looked_at = records[0].append_time
        if not records or records[-1].append_time // every <= looked // every:
            return records
        self._due = 0  # it comes with a later record
        before = [*takewhile(lambda r: r.append_time // every <= looked // every, records)]
        if not before:
            self.looking = records[0].append_time // every * every
        return before

    def _cross(self, boundary: int, number: int | None = None) -> Boundary:
        self._due = self.looking = 0
        self.holding = self.boundary = boundary
        return Boundary(boundary, number)

    def _read(self, until: int | None) -> list[Record]:
        records = self._peek(until)
        self._passed(records)
        self.offset += len(records)
        return records

    def _passed(self, records: list[Record]) -> None:
        if records:
            self._looked_at = records[-1].append_time

    def _peek(self, until: int | None) -> list[Record]:
        most = self._batch if until is None else min(until - self.offset, self._batch)
        if most <= 0:
            return []
        return self._log.read(EVENTS, self.journal.partition, self.offset, max_records=most)


def input_of(
    shard: Shard,
    log: ReadableLog,
    journal: Journal,
    *,
    settings_of: Callable[[dict[str, Any]], Settings],
    batch: int,
    early: Sequence[int] = (),
) -> OrderedInput:
    """The input of a shard's partition at its position, with the boundaries of its settings.

    Args:
        shard: Shard that takes the messages.
        log: Log with `events`.
        journal: Journal of the shard's partition.
        settings_of: Returns the settings of a journal entry.
        batch: Most records in one message.
        early: Boundaries before their time that the journal does not have (µs), in order.
    """
    first, every = shard.stream.refit_from_us, shard.settings.training.every
    return OrderedInput(
        log,
        journal,
        shard.position,
        settings_of=settings_of,
        batch=batch,
        boundaries=Boundaries(first, every, journal.begun, tuple(early)),
    )


def with_model(message: Message, shard: Shard, load: Callable[[str, Shard], Offline]) -> Message:
    """Add the model, bound to a shard, to an activation; return other messages unchanged.

    Args:
        message: Message from `OrderedInput.poll`.
        shard: Shard that takes the message.
        load: Returns the offline model of an id, bound to a shard.
    """
    if isinstance(message, Activation) and message.model is not None:
        return message._replace(offline=load(message.model, shard))
    return message


def _interval(rest: int) -> int:
    return max(rest // _LOOKS, MINUTE_US)


def _message(records: list[Record]) -> Records | None:
    return Records(records) if records else None
