"""What a replica of a shard reads: the messages that the flow has had before, and no others.

A decision can be written to the journal for any offset that the flow has not passed yet, so a
replica that ran ahead of the flow might pass a decision. What proves how far the flow has come:
its newest prediction, its newest checkpoint, and the journal itself. Each of them is written after
every journal entry of an offset below it.
"""

import time
from collections import deque
from collections.abc import Callable
from itertools import takewhile
from typing import Any

from operators.partition.journal import Activated, Configured, Crossed, Decision, Journal
from operators.partition.recovery import reached
from operators.shard.messages import Activation, Boundary, Configuration, Message, Records
from operators.shard.shard import Shard
from state.checkpoints.store import CheckpointHead, CheckpointStore
from state.log import EVENTS, Log, OffsetError, decoded
from state.outputs.records import Prediction
from state.settings import Settings


class Follower:
    """Reads one partition of `events` behind the flow, and writes nothing.

    Args:
        log: Where.
        shard: Where it stands is where reading begins.
        checkpoints: The flow's.
        settings_of: The settings that an entry of the journal stands for.
        batch: Most records in one message.
        clock: Monotonic seconds, for `level_at`.

    Attributes:
        offset: The next record.
        end: Of the log, when `poll` last looked.
        level_at: When (monotonic s) the log last ended where this stands, or before it.
    """

    def __init__(
        self,
        log: Log,
        shard: Shard,
        checkpoints: CheckpointStore,
        settings_of: Callable[[dict[str, Any]], Settings],
        batch: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log, self._checkpoints, self._batch = log, checkpoints, batch
        self._clock = clock
        self._settings_of = settings_of
        self._partition, self._shape = shard.partition, shard.shape
        self.offset = self._passed = shard.position.offset
        self._boundary = shard.position.boundary
        self._next = shard.position.activations
        self._journal = Journal(log, shard.partition)
        self._ready: deque[Message] = deque()
        self._predictions = 0
        self._newest = 0
        self._found: list[CheckpointHead] = []
        self.end = log.end(EVENTS, shard.partition)
        self._sighted = clock(), self.end
        self.level_at = self._sighted[0] if self.offset >= self.end else float("-inf")

    def has_served(self, model: str | None, before: int) -> bool:
        """Whether one of so many first decisions was to use a model."""
        entries = self._journal.entries[:before]
        return any(isinstance(one, Activated) and one.model == model for one in entries)

    def poll(self) -> Message | None:
        """The next message, its model left out; None while the flow has come no further.

        Raises:
            LogError: The log cannot be read.
        """
        if self._ready:
            return self._ready.popleft()
        if self.offset >= min(self._passed, self.end):
            self._look()
        until, entries = self._passed, self._journal.entries
        if self._next < len(entries):
            entry = entries[self._next]
            if self.offset > entry.offset:
                msg = (
                    f"journal must be seen before the records after its entries; got one of offset "
                    f"{entry.offset} at offset {self.offset} of events/{self._partition}"
                )
                raise OffsetError(msg)
            if self.offset == entry.offset:
                return self._obey(entry)
            until = entry.offset
        until = min(until, self.end)  # whatever others wrote, no more can be read
        return self._records(until) if self.offset < until else None

    def _look(self) -> None:
        """See how far the flow has come; only then which decisions it took on the way."""
        now = self._clock()
        self.end = self._log.end(EVENTS, self._partition)
        if self.offset >= self._sighted[1]:
            self.level_at, self._sighted = self._sighted[0], (now, self.end)
        if self.offset >= self.end:
            self.level_at = now
        if self.offset < self.end:
            self._passed = max(self._passed, self._predicted(), self._saved())
        self._journal.refresh()

    def _predicted(self) -> int:
        end = self._log.end("predictions", self._partition)
        if end == self._predictions:
            return 0
        (newest,) = self._log.read("predictions", self._partition, end - 1, max_records=1)
        self._predictions = end
        return decoded("predictions", self._partition, newest, Prediction).offset + 1

    def _saved(self) -> int:
        newest = self._checkpoints.newest_offset(self._partition)
        if newest <= self._passed:
            return 0
        if newest != self._newest:
            self._found = self._beyond()
            self._newest = newest
        return next((one.offset for one in self._found if reached(one, self._log)), 0)

    def _beyond(self) -> list[CheckpointHead]:
        """The checkpoints beyond where the flow surely was, newest first."""
        heads = self._checkpoints.heads(self._partition)
        beyond = takewhile(lambda one: one.offset > self._passed, heads)
        return [one for one in beyond if one.shape == self._shape]

    def _records(self, until: int) -> Message:
        most = min(until - self.offset, self._batch)
        records = self._log.read(EVENTS, self._partition, self.offset, max_records=most)
        self.offset += len(records)
        return Records(records)

    def _obey(self, entry: Decision) -> Message:
        number, self._next = self._next, self._next + 1
        match entry:
            case Configured():
                return Configuration(number, self._settings_of(entry.settings))
            case Crossed(boundary=boundary):
                self._boundary = boundary
                return Boundary(boundary, number)
            case Activated():
                self._ready.append(Activation(number, entry.model, None))
                if (entry.boundary or 0) > self._boundary:
                    self._boundary = entry.boundary or 0
                    self._ready.appendleft(Boundary(self._boundary))
                return self._ready.popleft()
