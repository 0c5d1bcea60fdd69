"""The partitions of a home at work: one way to put them together, for runs and for replays."""

import time
from collections.abc import Callable

from flows.artifacts import published_models, reaching
from flows.home import Home
from models.mojo import Mojo, read_mojo
from models.offline import Offline
from operators.boundaries import Boundaries
from operators.decisions import Pinned, file_of
from operators.journal import Journal
from operators.live import LivePartition
from operators.reader import Decisions, PartitionReader
from operators.recovery import recover
from operators.shard import Shard
from operators.snapshots import SnapshotWriter
from state.log import Log
from state.settings import Settings
from state.stream import Stream


class Partitions:
    """Recovers partitions and opens them.

    Args:
        settings: Of the run.
        stream: The problem.
        log: The home's, or a view of it.
        home: Checkpoints, snapshots and artifacts.
        decisions: What the readers go by; None: the topic `models`, or the model that is pinned.

    Raises:
        ValueError: The pinned model is not known.
    """

    def __init__(
        self,
        settings: Settings,
        stream: Stream,
        log: Log,
        home: Home,
        decisions: Decisions | None = None,
    ) -> None:
        self._settings, self._stream, self._log = settings, stream, log
        self._home = home = reaching(home, settings, log)
        self.published = published_models(home, settings, log)
        pinned = settings.training.pinned
        if decisions is None:
            decisions = Pinned(self.published, pinned) if pinned else self.published
        self._decisions = decisions
        self._mojos: dict[str, Mojo] = {}

    def open(self, partition: int) -> LivePartition:
        """A partition from its newest checkpoint on."""
        settings, home = self._settings, self._home
        checkpoints = home.checkpoints()
        shard = recover(lambda: self.shard(partition), checkpoints, self._log, self.offline)
        return LivePartition(
            shard,
            self.reader(shard),
            self._log,
            snapshots=SnapshotWriter(self._log, self._stream, home.snapshots),
            checkpoints=checkpoints,
            checkpoint_due=once_in(settings.checkpoints.every / 1e6),
            most_in_flight=settings.reading.in_flight,
        )

    def shard(self, partition: int) -> Shard:
        """An empty one."""
        return Shard(self._stream, self._settings, partition)

    def reader(self, shard: Shard) -> PartitionReader:
        """The reader of a shard's partition, at the shard's position."""
        settings, stream = self._settings, self._stream
        return PartitionReader(
            self._log,
            Journal(self._log, shard.partition),
            shard.position,
            partition=shard.partition,
            boundaries=Boundaries(stream.refit_from_us, settings.training.every),
            decisions=self._decisions,
            load=lambda model: self.offline(model, shard),
            wait=settings.training.wait,
            batch=settings.reading.batch,
        )

    def offline(self, model: str, shard: Shard) -> Offline:
        """The offline model of an id, bound to a shard."""
        if model not in self._mojos:
            artifact = file_of(self.published.of(model), self._home.artifacts())
            self._mojos[model] = read_mojo(artifact)
        names = [column.name for column in self._stream.columns]
        return Offline(model, self._mojos[model], names, shard.levels)


def once_in(seconds: float) -> Callable[[], bool]:
    """A function that is true once in so many seconds."""
    last = time.monotonic()

    def due() -> bool:
        nonlocal last
        now = time.monotonic()
        if now - last < seconds:
            return False
        last = now
        return True

    return due
