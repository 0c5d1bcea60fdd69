"""The processing loop of one partition: from the log through its shard and back to the log."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from models.scoring.bound_model import Offline
from operators.partition.committer import Committer
from operators.partition.decider import Decider
from operators.partition.ordered_input import OrderedInput, with_model
from operators.partition.recovery import checkpoint_of
from operators.shard.messages import Boundary, Emitted, Finish, Message, Records
from operators.shard.shard import Shard
from operators.training.training_cuts import SnapshotWriter
from state.checkpoints.store import Checkpoint, CheckpointStore
from state.log import Entry, Log, Parts, SequenceConflictError


class Processed(NamedTuple):
    """A shard's output on its way to the log.

    Attributes:
        emitted: Records to append.
        checkpoint: Checkpoint to save after that; None: none is due.
        size: Size of the input, bytes.
        is_awaited: Whether processing stops until the output is durable.
    """

    emitted: Emitted
    checkpoint: Checkpoint | None
    size: int
    is_awaited: bool


class Pace(Protocol):
    """The pace of checkpoints."""

    def is_due(self) -> bool:
        """Whether a checkpoint is due after a message."""
        ...

    def is_due_at_rest(self) -> bool:
        """Whether a checkpoint is due while there is nothing to read."""
        ...

    def done(self) -> None:
        """Note that a checkpoint is durable."""
        ...


class PartitionRunner:
    """Moves messages from the log through a shard and back to the log.

    What is between `poll` and the log is bounded in bytes: `poll` gives nothing more until the
    commits have caught up.

    Args:
        shard: The restored shard.
        source: Input of the partition, at the shard's position.
        log: Log for the output.
        decider: Makes the decisions that the journal leaves open; None: none are made, and the
            input ends where the journal does.
        load: Returns the offline model of an id, bound to a shard.
        snapshots: Writer of the training cuts.
        checkpoints: Store of the checkpoints.
        pace: Tells when checkpoints are due; None: only at boundaries and at the end.
        most_in_flight: Most bytes between `poll` and `commit`.

    Attributes:
        conflict: Makes the error for output that differs from the stored output; None: the log's
            own error is raised.
    """

    def __init__(
        self,
        shard: Shard,
        source: OrderedInput,
        log: Log,
        *,
        decider: Decider | None,
        load: Callable[[str, Shard], Offline],
        snapshots: SnapshotWriter,
        checkpoints: CheckpointStore,
        most_in_flight: int,
        pace: Pace | None = None,
    ) -> None:
        self.shard = shard
        self._source, self._decider, self._load = source, decider, load
        self._log, self._snapshots, self._checkpoints = log, snapshots, checkpoints
        self._pace, self._most_in_flight = pace, most_in_flight
        self.conflict: Callable[[SequenceConflictError], Exception] | None = None
        self._committer: Committer[Processed] | None = None
        # Each is counted up by one thread: what is between them is in flight.
        self._taken = self._done = 0
        self._saved = shard.position.offset

    def commit_beside(self, every_s: float) -> None:
        """From now on, commit in a thread of its own while processing goes on.

        Args:
            every_s: Shortest time from the start of one commit to the start of the next, seconds.
        """
        self._committer = Committer(self._write, every_s)

    @property
    def holding(self) -> int:
        """The boundary that must be decided before the partition continues (µs); 0: none."""
        return self._source.holding

    def poll(self) -> Message | None:
        """The next message; None while there is nothing to read or too much is in flight."""
        if self._committer is not None:
            self._committer.check()
        if self._in_flight >= self._most_in_flight:
            return None
        message = self._next()
        if message is not None:
            self._taken += _size(message)
        elif self._pace is not None and self._is_unsaved() and self._pace.is_due_at_rest():
            return Records([])
        return message

    def at_end(self) -> bool:
        """Whether all records were read, after `poll` returned None."""
        awaited = self._decider is not None and self._decider.awaits_quiet()
        return self._in_flight < self._most_in_flight and self._source.at_end() and not awaited

    def process(self, message: Message) -> Processed:
        """Apply a message to the shard."""
        emitted = self.shard.apply(message)
        at_boundary = isinstance(message, Boundary)
        due = at_boundary or isinstance(message, Finish) or message == Records([])
        checkpoint = None
        if due or (self._pace is not None and self._pace.is_due()):
            journal = self._source.journal.digest(self.shard.position.activations)
            checkpoint = checkpoint_of(self.shard, at_boundary=at_boundary, journal=journal)
            self._saved = checkpoint.offset
        is_awaited = at_boundary or isinstance(message, Finish)
        return Processed(emitted, checkpoint, _size(message), is_awaited)

    def commit(self, processed: Processed) -> None:
        """Write the output, then the snapshot and the checkpoint that follow from it.

        All is durable when this returns, unless commits are made beside the processing: then it is
        after `settle`, and an error is raised by a later call.
        """
        if self._committer is None:
            self._write([processed])
        else:
            self._committer.put(processed)

    def settle(self, processed: Processed) -> None:
        """Return once what was committed is durable, if processing stops for it."""
        if self._committer is not None and processed.is_awaited:
            self._committer.drain()

    def _write(self, several: Sequence[Processed]) -> None:
        try:
            self._log.append_all(self.shard.partition, _merged([one.emitted for one in several]))
        except SequenceConflictError as error:
            if self.conflict is None:
                raise
            raise self.conflict(error) from error
        for emitted, checkpoint, size, _ in several:
            if emitted.cut is not None:
                self._snapshots.write(emitted.partition, emitted.cut)
            if checkpoint is not None:
                self._checkpoints.save(checkpoint)
                if self._pace is not None:
                    self._pace.done()
            self._done += size

    @property
    def _in_flight(self) -> int:
        return self._taken - self._done

    def _next(self) -> Message | None:
        source, decider = self._source, self._decider
        if decider is not None and not decider.decide():
            return None
        message = source.poll()
        if message is None and decider is not None:
            is_decided = decider.decide() if source.looking else decider.decide_at_end()
            message = source.poll() if is_decided else None
        return None if message is None else with_model(message, self.shard, self._load)

    def _is_unsaved(self) -> bool:
        """Whether output was appended since the last checkpoint, and all of it is appended.

        Replicas read only as far as the flow is known to have come: without a checkpoint, and
        without a new prediction, they would not read the latest records.
        """
        return not self._in_flight and self._saved < self.shard.position.offset


def _size(message: Message) -> int:
    if not isinstance(message, Records):
        return 0
    return sum(len(record.value) for record in message.records)


def _merged(several: Sequence[Emitted]) -> Parts:
    """Output that follows on one another, as one append of each topic."""
    if len(several) == 1:
        return several[0].entries
    parts: dict[str, tuple[int, list[Entry]]] = {}
    for emitted in several:
        for topic, (sequence, entries) in emitted.entries.items():
            parts.setdefault(topic, (sequence, []))[1].extend(entries)
    return parts
