"""A partition at work: its reader, its shard and what is written of them."""

from collections.abc import Callable
from typing import NamedTuple

from operators.messages import Boundary, Emitted, Finish, Message, Records
from operators.reader import PartitionReader
from operators.recovery import checkpoint_of
from operators.shard import Shard
from operators.snapshots import SnapshotWriter
from state.checkpoints import Checkpoint, CheckpointStore
from state.log import Log


class Scored(NamedTuple):
    """A shard's output on its way to the log.

    Attributes:
        emitted: To be appended.
        checkpoint: To be saved after that; None: none is due.
        size: Bytes of the input it came from.
    """

    emitted: Emitted
    checkpoint: Checkpoint | None
    size: int


class LivePartition:
    """Moves messages from the log through a shard and back to the log.

    What is between `read` and `append` is bounded in bytes: `read` gives nothing more until
    `append` has caught up.

    Args:
        shard: Restored.
        reader: At the shard's position.
        log: Takes the output.
        snapshots: Takes the cuts.
        checkpoints: Takes the checkpoints.
        checkpoint_due: Whether it is time for one; asked after each message.
        most_in_flight: Bytes.
    """

    def __init__(
        self,
        shard: Shard,
        reader: PartitionReader,
        log: Log,
        *,
        snapshots: SnapshotWriter,
        checkpoints: CheckpointStore,
        checkpoint_due: Callable[[], bool],
        most_in_flight: int,
    ) -> None:
        self.shard = shard
        self.reader = reader
        self._log, self._snapshots, self._checkpoints = log, snapshots, checkpoints
        self._checkpoint_due = checkpoint_due
        self._most_in_flight = most_in_flight
        self._in_flight = 0

    def read(self) -> Message | None:
        """The next message; None while there is nothing to read or too much is in flight."""
        if self._in_flight >= self._most_in_flight:
            return None
        message = self.reader.poll()
        if message is not None:
            self._in_flight += _size(message)
        return message

    def at_end(self) -> bool:
        """Whether all there was has been read, when `read` gave nothing."""
        return self._in_flight < self._most_in_flight and self.reader.at_end()

    def score(self, message: Message) -> Scored:
        """Apply a message to the shard."""
        emitted = self.shard.apply(message)
        at_boundary = isinstance(message, Boundary)
        checkpoint = None
        if at_boundary or isinstance(message, Finish) or self._checkpoint_due():
            checkpoint = checkpoint_of(self.shard, at_boundary=at_boundary)
        return Scored(emitted, checkpoint, _size(message))

    def append(self, scored: Scored) -> None:
        """Write the output, then the snapshot and the checkpoint that follow from it."""
        emitted, checkpoint, size = scored
        for topic, (sequence, entries) in emitted.entries.items():
            self._log.append(topic, emitted.partition, entries, sequence=sequence)
        if emitted.cut is not None:
            self._snapshots.write(emitted.partition, emitted.cut)
        if checkpoint is not None:
            self._checkpoints.save(checkpoint)
        self._in_flight -= size


def _size(message: Message) -> int:
    if not isinstance(message, Records):
        return 0
    return sum(len(record.value) for record in message.records)
