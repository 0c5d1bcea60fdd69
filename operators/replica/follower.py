"""Tails a partition for a replica, never beyond what the flow has processed.

A decision can be written to the journal for any offset that the flow has not passed yet, so a
replica ahead of the flow might miss it. The flow's progress is proved by its newest prediction, its
newest checkpoint, and the journal: each is written after all journal entries of lower offsets.
"""

import time
from collections.abc import Callable
from itertools import takewhile
from typing import Any

from operators.partition.journal import Activated, Journal
from operators.partition.ordered_input import OrderedInput
from operators.partition.recovery import usable
from operators.shard.messages import Message
from operators.shard.shard import Shard
from state.checkpoints.store import CheckpointHead, CheckpointStore
from state.log import EVENTS, ReadableLog, decoded
from state.outputs.records import Prediction
from state.settings import Settings
from state.topics import PREDICTIONS


class Follower:
    """Reads one partition behind the flow, and writes nothing.

    Args:
        log: Log to read.
        shard: Shard whose position is the begin of reading.
        checkpoints: The flow's checkpoints.
        settings_of: Returns the settings of a journal entry.
        batch: Most records in one message.
        clock: Returns monotonic seconds, for `level_at`.

    Attributes:
        end: End offset of the log at the last `poll`.
        level_at: Last time (monotonic s) at which the log had no record beyond `offset`.
    """

    def __init__(
        self,
        log: ReadableLog,
        shard: Shard,
        checkpoints: CheckpointStore,
        settings_of: Callable[[dict[str, Any]], Settings],
        batch: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log, self._checkpoints, self._clock = log, checkpoints, clock
        self._partition, self._shape = shard.partition, shard.shape
        self._journal = Journal(log, shard.partition)
        self._input = OrderedInput(
            log, self._journal, shard.position, settings_of=settings_of, batch=batch
        )
        self._passed = self._proved = shard.position.offset
        self._predictions = 0
        self._newest = 0
        self._found: list[CheckpointHead] = []
        self.end = log.end(EVENTS, shard.partition)
        self._sighted = clock(), self.end
        self.level_at = self._sighted[0] if self.offset >= self.end else float("-inf")

    def has_served(self, model: str | None, before: int) -> bool:
        """Whether one of the first `before` journal entries activated a model."""
        entries = self._journal.entries[:before]
        return any(isinstance(one, Activated) and one.model == model for one in entries)

    @property
    def offset(self) -> int:
        """Offset of the next record."""
        return self._input.offset

    def poll(self) -> Message | None:
        """The next message, without its model; None if the flow has come no further.

        Raises:
            LogError: The log cannot be read.
        """
        if self.offset >= min(self._passed, self.end):
            self._look()
        entries = self._journal.entries
        # The flow has reached its newest journal entry; but the log may end before that.
        passed = max(self._passed, entries[-1].offset) if entries else self._passed
        return self._input.poll(min(passed, self.end))

    def _look(self) -> None:
        """Read the flow's progress first, and then the decisions it took on the way.

        Progress counts only once these are read: after an error of the log the next poll looks
        again, and must not pass a decision that it has not seen.
        """
        now = self._clock()
        self.end = self._log.end(EVENTS, self._partition)
        if self.offset >= self._sighted[1]:
            self.level_at, self._sighted = self._sighted[0], (now, self.end)
        if self.offset >= self.end:
            self.level_at = now
        if self.offset < self.end:
            self._proved = max(self._proved, self._predicted(), self._saved())
        self._journal.refresh()
        self._passed = self._proved

    def _predicted(self) -> int:
        end = self._log.end(PREDICTIONS, self._partition)
        if end == self._predictions:
            return 0
        (newest,) = self._log.read(PREDICTIONS, self._partition, end - 1, max_records=1)
        proved = decoded(PREDICTIONS, self._partition, newest, Prediction).offset + 1
        self._predictions = end
        return proved

    def _saved(self) -> int:
        newest = self._checkpoints.newest_offset(self._partition)
        if newest <= self._proved:
            return 0
        if newest != self._newest:
            self._found = self._beyond()
            self._newest = newest
        found = next(usable(self._found, self._shape, self._log), None)
        return 0 if found is None else found.offset

    def _beyond(self) -> list[CheckpointHead]:
        """Checkpoints beyond the offset that the flow is known to have passed, newest first."""
        heads = self._checkpoints.heads(self._partition)
        return list(takewhile(lambda one: one.offset > self._proved, heads))
