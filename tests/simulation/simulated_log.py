"""A log in memory that keeps the promises of `state.log.Log`, and whose disk and network may fail.

`Store` is what is on the disks of one log, for good; `SimulatedLog` is one process's way to it. A
store is local, as SQLite's files are, or remote, as Kafka's brokers are:

- local: each topic's append is written, then synced; a loss of power in between leaves all of it or
  nothing, and what comes after it in the same call is not begun;
- remote: all topics of an append are one transaction of a writer, whose successor fences it off. An
  answer may get lost, and a request may arrive long after its process was told that it failed, or
  has died: it counts, if no successor has come by then.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from state.log import (
    MAX_READ_BYTES,
    Entry,
    LogError,
    OffsetError,
    Parts,
    Record,
    UnknownTopicError,
    check_gap,
    check_offset,
    check_same,
    check_values,
)
from tests.simulation.faults import Crash, Faults, InjectedError, no_faults

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,200}")
_ON_WRITE = ("killed before", "killed after", "power loss", "lost reply", "late")


class FencedError(LogError):
    """Another process writes here now."""


class _Partition:
    """One partition on disk; `records` has those that were trimmed too."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.start = 0
        self.synced = 0

    @property
    def end(self) -> int:
        return len(self.records)

    @property
    def last_time(self) -> int:
        return self.records[-1].append_time if self.records else 0

    def write(self, entries: Sequence[Entry]) -> None:
        time = self.last_time
        for entry in entries:
            time = max(time, entry.append_time)
            self.records.append(Record(self.end, time, entry.key, entry.value))


class _Late(NamedTuple):
    """A transaction on its way to a remote store."""

    role: str
    partition: int
    epoch: int
    parts: list[tuple[str, list[Entry]]]


class Store:
    """The disks of one log.

    Args:
        remote: The machines are brokers.
        role_of: Returns the writer of a topic's partition.

    Attributes:
        topics: Topics by name.
        epochs: Number of writers so far, by role and partition.
        late: Entries that may still arrive.
    """

    def __init__(
        self, *, remote: bool = False, role_of: Callable[[str, int], str] = lambda topic, _: topic
    ) -> None:
        self.remote, self.role_of = remote, role_of
        self.topics: dict[str, list[_Partition]] = {}
        self.epochs: Counter[tuple[str, int]] = Counter()
        self.late: list[_Late] = []

    def at(self, topic: str, partition: int) -> _Partition:
        """A partition.

        Raises:
            UnknownTopicError: There is none.
        """
        found = self.topics.get(topic)
        if found is None:
            msg = f"topic must have been created; got {topic!r}"
            raise UnknownTopicError(msg)
        if not 0 <= partition < len(found):
            msg = f"partition must be in 0 to {len(found) - 1}; got {partition} in {topic!r}"
            raise UnknownTopicError(msg)
        return found[partition]

    def arrive(self, one: _Late) -> bool:
        """Take a transaction, unless its writer has a successor; whether it was taken."""
        if not self.is_current(one.role, one.partition, one.epoch):
            return False
        for topic, entries in one.parts:
            part = self.at(topic, one.partition)
            part.write(entries)
            part.synced = part.end
        return True

    def is_current(self, role: str, partition: int, epoch: int) -> bool:
        """Whether this is still the newest writer."""
        return self.epochs[role, partition] == epoch

    def lose_power(self, chance: random.Random) -> None:
        """Forget what is not synced, where it has not got to the disk by chance."""
        for parts in self.topics.values():
            for part in parts:
                if part.synced < part.end and chance.random() < 0.5:
                    del part.records[part.synced :]
                part.synced = part.end


class SimulatedLog:
    """One process's way to a store.

    Args:
        store: Whose.
        faults: Source of the faults.
    """

    def __init__(self, store: Store, faults: Faults | None = None) -> None:
        self.store, self._faults = store, faults or no_faults()
        self._epochs: dict[tuple[str, int], int] = {}
        self._ends: dict[tuple[str, int], int] = {}
        self._broken: set[tuple[str, int]] = set()

    def create(self, topic: str, partitions: int) -> None:
        """See `Log.create`."""
        if not _NAME.fullmatch(topic):
            msg = f"topic must be letters, digits, '.', '_' and '-'; got {topic!r}"
            raise ValueError(msg)
        if partitions < 1:
            msg = f"partitions must be positive; got {partitions} for topic {topic!r}"
            raise ValueError(msg)
        made = self.store.topics.setdefault(topic, [_Partition() for _ in range(partitions)])
        if len(made) != partitions:
            msg = f"partitions must be {len(made)} as made; got {partitions} for topic {topic!r}"
            raise ValueError(msg)

    def partitions(self, topic: str) -> int:
        """See `Log.partitions`."""
        self.store.at(topic, 0)
        return len(self.store.topics[topic])

    def append(
        self, topic: str, partition: int, entries: Sequence[Entry], *, sequence: int | None = None
    ) -> int:
        """See `Log.append`."""
        return self.append_all(partition, {topic: (sequence, entries)})[topic]

    def append_all(self, partition: int, parts: Parts) -> dict[str, int]:
        """See `Log.append_all`."""
        for topic, (_, entries) in parts.items():
            check_values(topic, partition, entries)
            self.store.at(topic, partition)
        if self.store.remote:
            return self._commit(partition, parts)
        ends = {}
        for topic, (sequence, entries) in parts.items():
            left = self.left(topic, partition, sequence, entries)
            self._write(topic, partition, left)
            first = self.store.at(topic, partition).end - len(left)
            ends[topic] = first + len(left) if sequence is None else sequence + len(entries)
        return ends

    def left(
        self, topic: str, partition: int, sequence: int | None, entries: Sequence[Entry]
    ) -> Sequence[Entry]:
        """The entries that are not stored yet; a remote writer knows only its own writes."""
        part = self.store.at(topic, partition)
        if sequence is None:
            return entries
        end = self._ends.get((topic, partition), part.end)
        check_gap(topic, partition, sequence, end)
        check_offset(topic, partition, sequence, part.start, end)
        stored = part.records[sequence : min(sequence + len(entries), end)]
        check_same(topic, partition, stored, entries)
        return entries[len(stored) :]

    def sync(self, topic: str, partition: int) -> None:
        """Bring to the disk what was written."""
        part = self.store.at(topic, partition)
        part.synced = part.end

    def read(
        self,
        topic: str,
        partition: int,
        offset: int,
        *,
        max_records: int = 1000,
        max_bytes: int = MAX_READ_BYTES,
    ) -> list[Record]:
        """See `Log.read`."""
        part = self.store.at(topic, partition)
        self._faults.before_read(f"{topic}/{partition}")
        check_offset(topic, partition, offset, part.start, part.end)
        found: list[Record] = []
        for record in part.records[offset : offset + max_records]:
            max_bytes -= len(record.value)
            if max_bytes < 0 and found:
                break
            found.append(record)
        return found

    def start(self, topic: str, partition: int) -> int:
        """See `Log.start`."""
        return self.store.at(topic, partition).start

    def end(self, topic: str, partition: int) -> int:
        """See `Log.end`."""
        part = self.store.at(topic, partition)
        self._faults.before_read(f"{topic}/{partition}")
        return part.end

    def trim(self, topic: str, partition: int, before: int) -> int:
        """See `Trimmable.trim`."""
        part = self.store.at(topic, partition)
        if before > part.end:
            msg = f"log ends at offset {part.end}, asked for {before} ({topic}/{partition})"
            raise OffsetError(msg)
        self._faults.before_write(f"{topic}/{partition}")
        part.start = max(part.start, min(before, part.end - 1))
        return part.start

    def close(self) -> None:
        """See `Log.close`."""

    def _write(self, topic: str, partition: int, entries: Sequence[Entry]) -> None:
        """Append to a local file."""
        if not entries:
            return
        part, where = self.store.at(topic, partition), f"{topic}/{partition}"
        self._faults.before_write(where)
        kind = self._faults.drawn(_ON_WRITE[:4], where)
        if kind == "killed before":
            raise Crash
        part.write(entries)
        if kind == "power loss":
            raise Crash(power=True)
        self.sync(topic, partition)
        if kind == "killed after":
            raise Crash
        if kind == "lost reply":
            msg = f"append must be answered; got nothing from {where}"
            raise InjectedError(msg)

    def _commit(self, partition: int, parts: Parts) -> dict[str, int]:
        """Append in one transaction; the first of a process fences off the one before."""
        if not parts:
            return {}
        (role,) = {self.store.role_of(topic, partition) for topic in parts}
        place = role, partition
        if place in self._broken:
            msg = f"append must be answered before the next; got none in {place}"
            raise InjectedError(msg)
        if place not in self._epochs:
            self.store.epochs[place] += 1
            self._epochs[place] = self.store.epochs[place]
        new, ends = [], {}
        for topic, (sequence, entries) in parts.items():
            end = self._ends.setdefault((topic, partition), self.store.at(topic, partition).end)
            left = self.left(topic, partition, sequence, entries)
            if left:
                new.append((topic, list(left)))
            ends[topic] = end + len(left) if sequence is None else sequence + len(entries)
        if new:
            self._send(_Late(role, partition, self._epochs[place], new))
            self._ends |= {(t, partition): self.store.at(t, partition).end for t, _ in new}
        return ends

    def _send(self, one: _Late) -> None:
        where = f"{one.role}/{one.partition}"
        self._faults.before_write(where)
        kind = self._faults.drawn(_ON_WRITE, where)
        if kind == "killed before":
            raise Crash
        if kind == "late":
            self.store.late.append(one)
            self._broken.add((one.role, one.partition))
            msg = f"append must be answered; got nothing from {where}"
            raise InjectedError(msg)
        if not self.store.arrive(one):
            msg = f"writer {where} must be the only one; got fenced off"
            raise FencedError(msg)
        if kind == "killed after":
            raise Crash
        if kind == "power loss":
            raise Crash(power=True)
        if kind == "lost reply":
            self._broken.add((one.role, one.partition))
            msg = f"append must be answered; got nothing from {where}"
            raise InjectedError(msg)
