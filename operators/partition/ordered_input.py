"""The one order of a partition: records, boundaries and journal entries, merged; it only reads.

The flow, replicas, audits and what-ifs all read through this class, so none can see another order.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile
from typing import Any

from models.scoring.bound_model import Offline
from operators.partition.boundaries import Boundaries
from operators.partition.journal import Activated, Configured, Crossed, Decision, Journal, Quieted
from operators.shard.messages import Activation, Boundary, Configuration, Message, Quiet, Records
from operators.shard.shard import Position, Shard
from state.log import EVENTS, LogError, OffsetError, ReadableLog, Record
from state.settings import Settings


class EntryAheadError(LogError):
    """A journal entry is of an offset that the log does not hold."""

    def __init__(self, entry: Decision, end: int, partition: int) -> None:
        super().__init__(
            f"journal must not be ahead of its events; got an entry of offset {entry.offset} where "
            f"events/{partition} ends at {end}: was the log cut at its end?"
        )


class EntryBehindError(OffsetError):
    """A journal entry is of an offset that has been passed without it."""

    def __init__(self, entry: Decision, number: int, offset: int, partition: int) -> None:
        super().__init__(
            f"journal entry must not be behind the records that were read; got entry {number} of "
            f"offset {entry.offset} where events/{partition} has been read up to {offset}"
        )


class OrderedInput:
    """Reads one partition of `events` and its journal from a position on.

    A journal entry comes before the record of its offset; the boundary that it decides comes right
    before it. Beyond the newest entry, a boundary comes before the first record that was appended
    at or after it, and then nothing comes until the journal decides that boundary.

    Args:
        log: Holds `events`.
        journal: Of the partition; entries that are added to it or found by its `refresh` are
            followed.
        position: Where to begin.
        settings_of: Gives the settings that a journal entry stands for.
        batch: Most records in one message.
        boundaries: When refits are due, until a journal entry changes it; None: boundaries come
            from the journal alone.

    Attributes:
        journal: The same.
        settings_of: The same.
        offset: Of the next record.
        boundary: The newest one crossed (µs).
        next_entry: Number of the next journal entry.
        holding: The boundary that must be decided before more comes (µs); 0: none.
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
        # One that is crossed and not decided comes again: its cut may not have been written.
        self._due = self.boundary if self.boundary > journal.boundary else 0
        self.holding = self._due

    @property
    def is_open(self) -> bool:
        """Whether nothing is recorded of what comes next: only here can it be decided."""
        return not self._due and self.next_entry == len(self.journal.entries)

    def newest_boundary(self, append_time: int) -> int:
        """The newest boundary at or before an append time (µs), by the settings in effect."""
        return 0 if self._boundaries is None else self._boundaries.newest(append_time)

    def poll(self, until: int | None = None) -> Message | None:
        """The next message, an activation without its model; None: there is nothing to read.

        Args:
            until: Read no record of this offset or a later one; None: read to the log's end.

        Raises:
            EntryAheadError: The journal is ahead of the log.
            EntryBehindError: The journal is behind what was read.
            LogError: The log cannot be read.
        """
        if self._due:
            return self._cross(self._due)
        if not self.is_open:
            return self._recorded(self.journal.entries[self.next_entry], until)
        return None if self.holding else self._beyond(until)

    def at_end(self) -> bool:
        """Whether all there is has been read and no boundary waits to be decided."""
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
        number, self.next_entry = self.next_entry, self.next_entry + 1
        match entry:
            case Configured():
                settings = self.settings_of(entry.settings)
                if (now := self._boundaries) is not None:
                    begun = entry.begun or now.begun
                    self._boundaries = replace(now, every=settings.training.every, begun=begun)
                return Configuration(number, settings)
            case Crossed(boundary=boundary):
                return self._cross(boundary, number)
            case Quieted(boundary=boundary):
                return Quiet(boundary, number)
            case Activated(model=model):
                self.holding = 0
                alone = self.journal.rolls_back(number, entry)
                return Activation(number, model, None, alone)

    def _beyond(self, until: int | None) -> Message | None:
        """Records that no journal entry follows, up to the next boundary; then that boundary."""
        boundaries = self._boundaries
        if boundaries is None:
            return _message(self._read(until))
        records = self._peek(until)
        if records and boundaries.newest(records[-1].append_time) > self.boundary:
            before = [
                *takewhile(lambda r: boundaries.newest(r.append_time) <= self.boundary, records)
            ]
            boundary = boundaries.newest(records[len(before)].append_time)
            if not before:
                return self._cross(boundary)
            self._due, records = boundary, before
        self.offset += len(records)
        return _message(records)

    def _cross(self, boundary: int, number: int | None = None) -> Boundary:
        self._due = 0
        self.holding = self.boundary = boundary
        return Boundary(boundary, number)

    def _read(self, until: int | None) -> list[Record]:
        records = self._peek(until)
        self.offset += len(records)
        return records

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
) -> OrderedInput:
    """The input of a shard's partition, at its position, with the boundaries of its settings.

    Args:
        shard: Takes the messages.
        log: Holds `events`.
        journal: Of the shard's partition.
        settings_of: Gives the settings that a journal entry stands for.
        batch: Most records in one message.
    """
    first, every = shard.stream.refit_from_us, shard.settings.training.every
    return OrderedInput(
        log,
        journal,
        shard.position,
        settings_of=settings_of,
        batch=batch,
        boundaries=Boundaries(first, every, journal.begun),
    )


def with_model(message: Message, shard: Shard, load: Callable[[str, Shard], Offline]) -> Message:
    """An activation with its model, bound to a shard; any other message as it is.

    Args:
        message: From `OrderedInput.poll`.
        shard: Takes the message.
        load: Gives the offline model of an id, bound to a shard.
    """
    if isinstance(message, Activation) and message.model is not None:
        return message._replace(offline=load(message.model, shard))
    return message


def _message(records: list[Record]) -> Records | None:
    return Records(records) if records else None
