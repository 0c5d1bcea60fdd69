"""The reader of one partition: events, boundaries and activations in one order.

It follows the journal where there is one. It takes a new decision only where no earlier run can
have passed: at a boundary without a journal entry, or at or beyond the log's end; and it writes
the decision to the journal before it hands it on.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from models.scoring.bound_model import Offline
from operators.partition.boundaries import Boundaries
from operators.partition.journal import VERSION, Activated, Configured, Crossed, Decision, Journal
from operators.shard.messages import Activation, Boundary, Configuration, Message, Records
from operators.shard.shard import Position
from state.log import EVENTS, Log, LogError, Record
from state.settings import Settings


class Decisions(Protocol):
    """What training has decided so far, as the topic `models` tells it."""

    def champion_at(self, boundary: int) -> tuple[bool, str | None]:
        """Whether the boundary is decided, and the champion after it (None: none yet)."""

    def champion(self) -> str | None:
        """The newest champion."""

    def rollbacks(self) -> int:
        """How many there were: each is obeyed at once, however long the next boundary is off."""


class Configuring(NamedTuple):
    """Which settings are to be used.

    Attributes:
        settings_of: Those that an entry of the journal stands for.
        wanted: Those that are to hold from here on, as an entry has them; None as long as what an
            earlier run wrote is not made up, and where only the journal changes them.
    """

    settings_of: Callable[[dict[str, Any]], Settings]
    wanted: Callable[[], dict[str, Any] | None]


class Newest(NamedTuple):
    """What all partitions tell of how late it is.

    Attributes:
        append_time: The newest one in `events` (µs).
        cut: The newest boundary at which a partition has committed its cut (µs). It may hold there
            until the others have crossed it, whether their settings have such a boundary or not.
    """

    append_time: Callable[[], int]
    cut: Callable[[], int]


class JournalError(LogError):
    """The journal speaks of records that the log does not hold."""

    def __init__(self, entry: Decision, end: int, partition: int) -> None:
        super().__init__(
            f"journal must not be ahead of its events; got an entry of offset {entry.offset} where "
            f"events/{partition} ends at {end}: was the log cut at its end?"
        )


class PartitionReader:
    """Reads one partition of `events` from a shard's position on.

    Args:
        log: Where.
        journal: Of the same partition.
        position: Where the shard stands.
        boundaries: When refits are due.
        decisions: What training has decided.
        load: Gives the offline model of an id, bound to the shard.
        configuring: Which settings are to be used.
        newest: What all partitions tell.
        wait: Hold at a boundary until it is decided.
        batch: Most records in one message.

    Attributes:
        holding: The boundary that is waited for; 0 when none.
    """

    def __init__(
        self,
        log: Log,
        journal: Journal,
        position: Position,
        *,
        boundaries: Boundaries,
        decisions: Decisions,
        load: Callable[[str], Offline],
        configuring: Configuring,
        newest: Newest,
        wait: bool,
        batch: int,
    ) -> None:
        self._log, self._journal, self._partition = log, journal, journal.partition
        self._boundaries, self._decisions, self._load = boundaries, decisions, load
        self._settings_of, self._wanted = configuring
        self._newest_anywhere = newest
        self._wait, self._batch = wait, batch
        self._offset = position.offset
        self._boundary = position.boundary
        self._next = position.activations
        self._free_from = log.end(EVENTS, journal.partition)
        self._is_configured = False
        self._messages: Iterator[Message] = iter(())
        self.holding = 0
        if self._boundary > journal.boundary:
            self.holding = self._boundary
            self._messages = iter((Boundary(self._boundary),))

    def poll(self) -> Message | None:
        """The next message, or None if there is nothing to read just now."""
        message = next(self._messages, None)
        if message is not None:
            return message
        self._messages = self._more()
        return next(self._messages, None)

    def at_end(self) -> bool:
        """Whether all there was has been read, when `poll` gave nothing and none is awaited."""
        read = self._offset >= self._log.end(EVENTS, self._partition)
        return read and not self.holding and self._next == len(self._journal.entries)

    def _more(self) -> Iterator[Message]:
        if self._next < len(self._journal.entries):
            yield from self._replay(self._journal.entries[self._next])
        elif self.holding:
            yield from self._decide()
        else:
            yield from self._read_on()

    def _replay(self, entry: Decision) -> Iterator[Message]:
        """Read up to a journal entry, then what it says."""
        if self._offset < entry.offset:
            records = self._read(entry.offset - self._offset)
            if not records:
                raise JournalError(entry, self._offset, self._partition)
            yield self._records(records)
            return
        if isinstance(entry, Activated) and (entry.boundary or 0) > self._boundary:
            yield self._hold(entry.boundary or 0)
        yield self._obey(entry)

    def _decide(self) -> Iterator[Message]:
        decided, model = self._decisions.champion_at(self.holding)
        if not decided and self._wait:
            return
        if not decided:
            model = self._decisions.champion()
        yield self._take(Activated(self._offset, model, self.holding), self.holding)

    def _read_on(self) -> Iterator[Message]:
        if not self._is_configured and (settings := self._wanted()) is not None:
            self._is_configured = True
            if settings != self._journal.settings(self._next):
                yield self._take(
                    Configured(self._offset, settings, version=VERSION), self._boundary
                )
                return
        if self._offset >= self._free_from:
            decision = self._between_boundaries()
            if decision is not None:
                yield self._take(decision, self._boundary)
                return
        records = self._read(self._batch)
        if not records:
            yield from self._at_end()
            return
        if self._boundaries.newest(records[-1].append_time) > self._boundary:
            before = [r for r in records if self._newest(r) <= self._boundary]
            if before:
                yield self._records(before)
            if len(before) < len(records):
                yield self._hold(self._newest(records[len(before)]))
            return
        yield self._records(records)

    def _between_boundaries(self) -> Activated | None:
        """What is to be decided here and now: a champion that came late, or a rollback."""
        rollbacks = self._decisions.rollbacks()
        if not self._wait:
            champion, active = self._decisions.champion(), self._journal.active
            if champion != (active.model if active else None):
                return Activated(self._offset, champion, None, rollbacks)
        elif rollbacks > self._journal.rollbacks:
            _, champion = self._decisions.champion_at(self._boundary)
            return Activated(self._offset, champion, None, rollbacks)
        return None

    def _at_end(self) -> Iterator[Message]:
        """At the end other partitions tell how late it is: nothing in this one's events does."""
        append_time, cut = self._newest_anywhere
        due = max(self._boundaries.newest(append_time()), cut())
        # Looked at after the others: what this one was given in the meantime comes first.
        if due > self._boundary and self.at_end():
            yield self._take(Crossed(self._offset, due), due)

    def _hold(self, boundary: int, number: int | None = None) -> Boundary:
        self.holding = self._boundary = boundary
        return Boundary(boundary, number)

    def _take(self, decision: Decision, append_time: int) -> Message:
        """Make a decision durable, then hand it on; one that cannot be obeyed is not written."""
        message = self._obey(decision)
        self._journal.write(decision, append_time)
        return message

    def _obey(self, entry: Decision) -> Message:
        number, self._next = self._next, self._next + 1
        if isinstance(entry, Configured):
            settings = self._settings_of(entry.settings)
            self._boundaries = replace(self._boundaries, every=settings.training.every)
            return Configuration(number, settings)
        if isinstance(entry, Crossed):
            return self._hold(entry.boundary, number)
        self.holding = 0
        offline = None if entry.model is None else self._load(entry.model)
        return Activation(number, entry.model, offline)

    def _read(self, most: int) -> list[Record]:
        most = min(most, self._batch)
        return self._log.read(EVENTS, self._partition, self._offset, max_records=most)

    def _records(self, records: list[Record]) -> Records:
        self._offset += len(records)
        return Records(records)

    def _newest(self, record: Record) -> int:
        return self._boundaries.newest(record.append_time)
