"""The journal of one partition: decisions that its own events leave open."""

from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Annotated, Any, NamedTuple

import msgspec

from models.judging.trust_counts import Thresholds
from state.log import EVENTS, Entry, Log, LogError, ReadableLog, oldest_append_time
from state.topics import ACTIVATIONS

TOPIC = ACTIVATIONS
VERSION = 5
"""Format version of the entries; code reads all earlier versions and refuses later ones."""

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
"""The range of a shard's counters, in its checkpoints too."""


class _Versioned(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    version: int = 1


class Activated(_Versioned, frozen=True, tag=str.lower):
    """An offline model comes into use.

    Attributes:
        offset: First record of `events` to which it applies.
        model: Id of the offline model; None for none.
        boundary: Boundary of the decision (µs); None: it was made between boundaries.
        rollbacks: Number of rollbacks so far if one of them is the reason; else 0.
        champion: Id of the model that has the title, from version 5 on. None: if this model is
            already in use, the title stays where it is; else the previous model has it, or this
            one if there was none or it was rolled back. A model that comes with the title answers
            alone.
        trust: Thresholds from which answers can be trusted, from version 5 on; None: answers are
            not marked.
    """

    offset: _Count
    model: str | None
    boundary: _Count | None
    rollbacks: _Count = 0
    champion: str | None = None
    trust: Thresholds | None = None


class Crossed(_Versioned, frozen=True, tag=str.lower):
    """A boundary was crossed that the events do not show.

    Another partition's events are later than this one's, or a fit is wanted before its time.

    Attributes:
        offset: First record of `events` after it.
        boundary: The boundary (µs).
        early: This partition wanted a fit before its time; from version 5 on.
    """

    offset: _Count
    boundary: _Count
    early: bool = False


class Quieted(_Versioned, frozen=True, tag=str.lower):
    """No record has come since a boundary was crossed; from version 3 on.

    Requests whose deadline was before it get no label.

    Attributes:
        offset: First record of `events` after it.
        boundary: The boundary (µs).
    """

    offset: _Count
    boundary: _Count


class Configured(_Versioned, frozen=True, tag=str.lower):
    """Settings come into force; exists from version 2 on.

    Attributes:
        offset: The first record of `events` to which they apply.
        settings: Settings by dotted key, see `state.settings.deciding`.
        begun: Append time of the log's first event (µs), from which on boundaries are counted, in
            the first entry from version 4 on; 0: as earlier versions counted them.
    """

    offset: _Count
    settings: dict[str, Any]
    begun: _Count = 0


Decision = Activated | Crossed | Quieted | Configured
"""An entry of the journal, written before it takes effect."""

_decode: Callable[[bytes], Decision] = msgspec.json.Decoder(Decision).decode


class LaterVersionError(LogError):
    """A later version wrote an entry of the journal."""


def read_entry(partition: int, offset: int, value: bytes) -> Decision:
    """Decode an entry of the journal.

    Args:
        partition: Partition of the journal.
        offset: Offset in that partition.
        value: Bytes of the entry.

    Raises:
        LogError: The entry is damaged.
        LaterVersionError: A later version wrote it.
    """
    at = f"{TOPIC}/{partition} at offset {offset}"
    try:
        version = msgspec.json.decode(value, type=_Versioned).version
        if version <= VERSION:
            return _decode(value)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        msg = (
            f"journal entry must be readable; got '{error}' in {at}: "
            "see `headwater doctor --repair`"
        )
        raise LogError(msg) from error
    msg = f"journal entry must be of version {VERSION} or older; got {version} in {at}"
    raise LaterVersionError(msg)


class Journal:
    """All entries of one partition's journal, read only.

    Args:
        log: Log with the topic `activations`, partitioned like `events`.
        partition: The partition.

    Attributes:
        partition: The partition.
        entries: The entries, in order.

    Raises:
        LogError: An entry is damaged, or a later version wrote it.
    """

    def __init__(self, log: ReadableLog, partition: int) -> None:
        self._log, self.partition = log, partition
        self.entries: list[Decision] = []
        self._digests = [""]
        self.refresh()

    def refresh(self) -> None:
        """Read entries that another process has written since."""
        while records := self._log.read(TOPIC, self.partition, len(self.entries)):
            for record in records:
                self.entries.append(read_entry(self.partition, record.offset, record.value))
                self._digest(record.value)

    def digest(self, number: int) -> str:
        """Hash of the first `number` entries, byte for byte; empty for none.

        It is the hex blake2b (16 bytes) of the previous hash as ASCII, followed by the entry.
        """
        return self._digests[number]

    def _digest(self, value: bytes) -> None:
        before = self._digests[-1].encode()
        self._digests.append(blake2b(before + value, digest_size=16).hexdigest())

    @property
    def boundary(self) -> int:
        """The newest decided boundary; 0 before the first."""
        return max((one.boundary or 0 for one in self._activated()), default=0)

    @property
    def rollbacks(self) -> int:
        """Number of obeyed rollbacks."""
        return max((one.rollbacks for one in self._activated()), default=0)

    @property
    def active(self) -> Activated | None:
        """The activation in effect after all entries."""
        return next(self._activated(), None)

    @property
    def begun(self) -> int:
        """Append time of the log's first event (µs); 0: not noted, see `Configured`."""
        return _begun(self.entries[0]) if self.entries else 0

    def quiet_at(self, offset: int) -> int:
        """The boundary crossed without a record at this offset and not declared quiet yet; else 0.

        Args:
            offset: Offset of the next record.
        """
        for entry in reversed(self.entries):
            if entry.offset != offset or isinstance(entry, Quieted):
                return 0
            if isinstance(entry, Crossed):
                return entry.boundary
        return 0

    def champion(self) -> str | None:
        """The model that has the title after all entries; None: there is no model."""
        return self._standing(len(self.entries)).champion

    def model_before(self, number: int) -> str | None:
        """The model that may answer beside the newest after `number` entries; None: none does."""
        return self._standing(number).beside

    def _standing(self, number: int) -> "_Standing":
        found, rollbacks = _Standing(None, None, None), 0
        for entry in self.entries[:number]:
            if isinstance(entry, Activated):
                alone, rollbacks = entry.rollbacks > rollbacks, max(rollbacks, entry.rollbacks)
                found = _after(found, entry, alone=alone)
        return found

    def model(self, number: int) -> str | None:
        """The offline model in effect after `number` entries; None: there is none."""
        activated = (one for one in reversed(self.entries[:number]) if isinstance(one, Activated))
        newest = next(activated, None)
        return None if newest is None else newest.model

    def rolls_back(self, number: int, entry: Activated) -> bool:
        """Whether entry `number` obeys a rollback that no earlier entry obeys."""
        before = (one.rollbacks for one in self.entries[:number] if isinstance(one, Activated))
        return entry.rollbacks > max(before, default=0)

    def settings(self, number: int) -> dict[str, Any] | None:
        """The settings in effect after `number` entries; None: none were journaled.

        After none they are those of the first entry, if it is of the first record: the flow that
        wrote it had begun with them, and a classifier of River that joins later has other weights.
        """
        first = [one for one in self.entries[:1] if not one.offset]
        obeyed = self.entries[:number] or first
        configured = (one for one in reversed(obeyed) if isinstance(one, Configured))
        newest = next(configured, None)
        return None if newest is None else newest.settings

    def _activated(self) -> Iterator[Activated]:
        return (entry for entry in reversed(self.entries) if isinstance(entry, Activated))


def champion_after(
    entry: Activated, model: str | None, champion: str | None, *, alone: bool
) -> str | None:
    """The model that has the title after an activation.

    Args:
        entry: The activation.
        model: Id of the offline model before it.
        champion: Id of the model with the title before it.
        alone: The entry obeys a rollback.
    """
    if entry.model is None or entry.champion is not None:
        return entry.model and entry.champion
    if entry.model == model:
        return model if alone else champion
    return entry.model if model is None or alone else model


class _Standing(NamedTuple):
    """The newest model, the one beside it, and the one of them that has the title."""

    model: str | None
    beside: str | None
    champion: str | None


def _after(was: _Standing, entry: Activated, *, alone: bool) -> _Standing:
    champion = champion_after(entry, was.model, was.champion, alone=alone)
    if entry.model is None or entry.model == was.model:
        beside = None if entry.model is None or alone else was.beside
    elif champion == was.beside:
        beside = was.beside if champion != entry.model else None
    else:
        beside = None if alone or champion == entry.model else was.model
    return _Standing(entry.model, beside, champion)


def early_boundaries(log: ReadableLog) -> list[int]:
    """All boundaries before their time, in order (µs).

    Args:
        log: Holds `activations`.
    """
    entries = [e for p in range(log.partitions(TOPIC)) for e in Journal(log, p).entries]
    return sorted({e.boundary for e in entries if isinstance(e, Crossed) and e.early})


def begun_of(log: ReadableLog) -> int | None:
    """Append time of the log's first event (µs), as some partition has noted it.

    0 if boundaries are equally spaced; None if there is no event.

    What is noted is the same for all partitions, whatever comes to one of them later.

    Args:
        log: Holds `events` and `activations`.
    """
    for partition in range(log.partitions(TOPIC)):
        for record in log.read(TOPIC, partition, 0, max_records=1):
            return _begun(read_entry(partition, record.offset, record.value))
    if not any(log.end(EVENTS, partition) for partition in range(log.partitions(EVENTS))):
        return None
    return oldest_append_time(log, EVENTS)


def _begun(entry: Decision) -> int:
    return entry.begun if isinstance(entry, Configured) else 0


class JournalWriter(Journal):
    """The journal of the one process that may add to it.

    Args:
        log: See `Journal`.
        partition: See `Journal`.
    """

    def __init__(self, log: Log, partition: int) -> None:
        self._writable = log
        super().__init__(log, partition)

    def write(self, entry: Decision, append_time: int) -> None:
        """Add an entry durably.

        Raises:
            LogError: It could not be read back as written; nothing was added.
        """
        value = msgspec.json.encode(entry)
        number = len(self.entries)
        read_back = read_entry(self.partition, number, value)
        if read_back != entry:
            msg = f"journal entry must be read back as it is written; got {read_back} of {entry}"
            raise LogError(msg)
        self._writable.append(
            TOPIC, self.partition, [Entry(append_time, b"", value)], sequence=number
        )
        self.entries.append(entry)
        self._digest(value)
