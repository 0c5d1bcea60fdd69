"""The bytewax adapters, kept thin so that all logic is in plain classes.

A source partition, its shard and its appends run on one worker; only the notice of a committed cut
crosses processes.
"""

import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.operators import KeyedStream, StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition

from operators.partition.partition_runner import PartitionRunner, Processed
from operators.shard.messages import Finish, Message
from operators.training.trainer import Trainer

_SHORTEST_IDLE, _IDLE = timedelta(milliseconds=1), timedelta(milliseconds=10)
"""Pause of a partition after it read something, and after it read nothing."""

_WATCH, _LOOK = timedelta(milliseconds=100), timedelta(seconds=1)

OpenPartition = Callable[[int], PartitionRunner]


class _Partition(StatefulSourcePartition[tuple[int, Message], None]):
    def __init__(
        self,
        partition: int,
        open_runner: Callable[[], PartitionRunner],
        stop: threading.Event,
        unread: set[int],
        *,
        follow: bool,
    ) -> None:
        self._partition, self._open, self._stop, self._follow = partition, open_runner, stop, follow
        self._unread = unread
        self._runner: PartitionRunner | None = None
        self._awake: datetime | None = None
        self._idle = _SHORTEST_IDLE
        self._finished = False

    def next_batch(self) -> list[tuple[int, Message]]:
        if self._finished or (self._runner is None and self._stop.is_set()):
            raise StopIteration
        if self._runner is None:
            # By now all of the worker are claimed; none is read before all are open.
            self._runner = self._open()
            return []
        message = None if self._stop.is_set() else self._runner.poll()
        self._awake = None
        if message is not None:
            self._idle = _SHORTEST_IDLE
        else:
            self._awake = datetime.now(UTC) + self._idle
            self._idle = min(2 * self._idle, _IDLE)
            if not self._ended(self._runner):
                return []
            self._finished, message = True, Finish()
        return [(self._partition, message)]

    def _ended(self, runner: PartitionRunner) -> bool:
        if self._stop.is_set() or self._follow:
            return self._stop.is_set()
        if runner.at_end():
            self._unread.discard(self._partition)
        # Until then another partition may hold at a boundary that this one must cross too.
        return not self._unread

    def next_awake(self) -> datetime | None:
        return self._awake

    def snapshot(self) -> None:
        """Return nothing: recovery uses our checkpoints, see decision 3 of operators/README.md."""


class EventsSource(FixedPartitionedSource[tuple[int, Message], None]):
    """The partitions of `events`, each read from its shard's position.

    Args:
        partitions: Partition numbers.
        open_partition: Recovers a partition, on the worker that will run it.
        stop: Set, it ends every partition where it is.
        follow: Wait at the end of the log for more; else stop there, all that are read in this
            process at once, when each has been at its end.
        claim: Told of each partition before any of this worker is recovered.
    """

    def __init__(
        self,
        partitions: Iterable[int],
        open_partition: OpenPartition,
        stop: threading.Event,
        *,
        follow: bool,
        claim: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._partitions = list(partitions)
        self._open, self._claim = open_partition, claim
        self._stop, self._follow = stop, follow
        self._unread: set[int] = set()
        self.runners: dict[int, PartitionRunner] = {}

    def list_parts(self) -> list[str]:
        """Partition numbers as text, padded so that they sort."""
        return [f"{partition:04d}" for partition in self._partitions]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _Partition:
        """One partition, to be recovered when it is first read."""
        del step_id, resume_state
        partition = int(for_part)
        self._unread.add(partition)
        self._claim(partition)
        opening = partial(self._opened, partition)
        return _Partition(partition, opening, self._stop, self._unread, follow=self._follow)

    def _opened(self, partition: int) -> PartitionRunner:
        runner = self.runners[partition] = self._open(partition)
        return runner


class _Trainings(StatefulSourcePartition[Any, None]):
    def __init__(self, trainer: Trainer, stop: threading.Event) -> None:
        self._trainer, self._stop = trainer, stop

    def next_batch(self) -> list[Any]:
        if self._stop.is_set():
            self._trainer.finish()
            raise StopIteration
        self._trainer.poll()
        return []

    def next_awake(self) -> datetime:
        return datetime.now(UTC) + _WATCH

    def snapshot(self) -> None:
        """Return nothing: decisions are in the log."""


class TrainingSource(FixedPartitionedSource[Any, None]):
    """Watches the log for due boundaries, on one worker, until it is stopped.

    Args:
        trainer: Makes the trainer, on that worker.
        stop: If set, source and trainer end.
    """

    def __init__(self, trainer: Callable[[], Trainer], stop: threading.Event) -> None:
        self._trainer, self._stop = trainer, stop

    def list_parts(self) -> list[str]:
        """Return the name of the only partition."""
        return ["training"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _Trainings:
        """Make the trainer."""
        del step_id, for_part, resume_state
        return _Trainings(self._trainer(), self._stop)


class _Training(StatefulBatchLogic[Any, Any, None]):
    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._busy = False

    def on_batch(self, values: list[Any]) -> tuple[list[Any], bool]:
        del values
        self._busy = self._trainer.poll()
        return [], False

    def on_notify(self) -> tuple[list[Any], bool]:
        self._busy = self._trainer.poll()
        return [], False

    def on_eof(self) -> tuple[list[Any], bool]:
        self._trainer.finish()
        return [], True

    def notify_at(self) -> datetime | None:
        if self._busy:
            return datetime.now(UTC) + _IDLE
        return datetime.now(UTC) + _LOOK if self._trainer.is_live else None

    def snapshot(self) -> None:
        """Return nothing: decisions are in the log."""


class _Wake(StatefulSourcePartition[tuple[str, int], None]):
    def __init__(self) -> None:
        self._woken = False

    def next_batch(self) -> list[tuple[str, int]]:
        if self._woken:
            raise StopIteration
        self._woken = True
        return [("training", 0)]

    def snapshot(self) -> None:
        """Return nothing: each start sends a new wake-up."""


class _Start(FixedPartitionedSource[tuple[str, int], None]):
    """Wakes the training step at the start: an earlier run may have left a fit unfinished."""

    def list_parts(self) -> list[str]:
        """Return the name of the only partition."""
        return ["start"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _Wake:
        """Make the partition."""
        del step_id, for_part, resume_state
        return _Wake()


class _AtEnd(StatelessSinkPartition[Any]):
    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def write_batch(self, items: list[Any]) -> None:
        pass

    def close(self) -> None:
        self._call()


class AtEnd(DynamicSink[Any]):
    """Calls a function once, on the first worker, when everything was processed.

    Args:
        call: Function to call.
    """

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _AtEnd:
        """Make the sink of one worker."""
        del step_id, worker_count
        return _AtEnd(self._call if worker_index == 0 else _nothing)


def _nothing() -> None:
    pass


def compose(
    source: EventsSource,
    trainer: Callable[[], Trainer] | None,
    *,
    on_committed: Callable[[PartitionRunner], None],
    at_end: Callable[[], None],
) -> Dataflow:
    """Compose the main flow.

    Args:
        source: The partitions.
        trainer: Makes the embedded training step, on the worker that runs it; None: it is external.
        on_committed: Called after each commit, for progress.
        at_end: Called once at the end.
    """
    flow = Dataflow("headwater")
    messages = op.input("events", flow, source)

    def process(batch: list[tuple[int, Message]]) -> list[tuple[int, Processed]]:
        return [(p, source.runners[p].process(message)) for p, message in batch]

    def commit(batch: list[tuple[int, Processed]]) -> list[tuple[str, int]]:
        cuts = []
        for p, one in batch:
            source.runners[p].commit(one)
        # Only now, so that partitions that stop at one boundary are written side by side.
        for p, one in batch:
            runner = source.runners[p]
            runner.settle(one)
            on_committed(runner)
            if one.emitted.cut is not None:
                cuts.append(("training", one.emitted.cut.boundary))
        return cuts

    processed = op.flat_map_batch("process", messages, process)
    cuts: KeyedStream[int] = op.flat_map_batch("commit", processed, commit)
    if trainer is not None:
        make = trainer
        due = op.merge("due", cuts, op.input("start", flow, _Start()))
        cuts = op.stateful_batch("train", due, lambda _: _Training(make()))
    op.output("end", cuts, AtEnd(at_end))
    return flow


def compose_training(trainer: Callable[[], Trainer], stop: threading.Event) -> Dataflow:
    """Compose the training flow, which runs until it is stopped.

    Args:
        trainer: Makes the training step, on the worker that runs it.
        stop: If set, the flow ends.
    """
    flow = Dataflow("headwater_training")
    decisions = op.input("boundaries", flow, TrainingSource(trainer, stop))
    op.output("end", decisions, AtEnd(_nothing))
    return flow
