"""The job of an audit: replay partitions by the recorded journal; the log is only read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import astuple

from flows.home.configuration import find_stream
from flows.home.deployment import Deployment
from flows.home.home import Home
from flows.home.journaled_settings import usable as usable_settings
from flows.home.restorable import is_restorable
from flows.replay.audit_progress import keep, kept
from flows.replay.output_check import OutputCheck, PartitionAudit
from flows.replay.replay_range import ReplayRange, headless
from flows.replay.worker_pool import Report, Tick, step
from flows.runtime.kept_rows import REPLAYING
from flows.runtime.pace import Pace
from flows.runtime.partitions import Partitions
from operators.partition.journal import TOPIC as JOURNAL
from operators.partition.journal import Journal
from operators.partition.ordered_input import input_of, with_model
from operators.partition.recovery import usable
from operators.replica.replica import Load
from operators.shard.messages import Message, Records
from operators.shard.shard import Shard
from operators.training.model_loader import ModelError
from state.checkpoints.store import Checkpoint
from state.log import EVENTS, Log, ReadableLog, Record
from state.log.running_hash import Hashed
from state.settings import Settings
from state.stream import Stream


@dataclass(frozen=True)
class AuditJob:
    """Audits partitions of one home; implements `flows.replay.worker_pool.Job`.

    Args:
        root: The home's directory.
        today: Current settings: where the log is, and how often to save progress.
        span: Range to compare.
        shape: The shards' `Shard.shape`.
        folder: Folder in which progress is saved.
    """

    root: Path
    today: Settings
    span: ReplayRange
    shape: str
    folder: Path

    def __call__(
        self, partitions: Sequence[int], report: Report, tick: Tick
    ) -> list[PartitionAudit]:
        """Open the home, then replay and compare the partitions."""
        deployment = Deployment.open(self.today, Home(self.root))
        checked = self.checked(partitions, deployment.home, deployment.log, report, tick)
        deployment.close()
        return checked

    def checked(
        self,
        partitions: Sequence[int],
        home: Home,
        log: Log,
        report: Report,
        tick: Tick,
    ) -> list[PartitionAudit]:
        """Replay and compare partitions on an open log.

        Args:
            partitions: Partitions to audit.
            home: The home to audit.
            log: The home's log; it is only read.
            report: Called after each step with its progress.
            tick: Called after each step.
        """
        stream = find_stream(self.today.stream)
        load = Partitions(
            self.today, stream, log, home, decides=False, loading=REPLAYING
        ).models.offline
        work = _Auditor(self, home, log, stream, load, report, tick)
        return [work.check(partition) for partition in partitions]

    def begin(
        self, home: Home, log: ReadableLog, partition: int
    ) -> tuple[Checkpoint | None, PartitionAudit | None]:
        """The checkpoint at which a partition's replay begins; None: the head of the log.

        An interrupted audit's own checkpoint comes with its result so far; otherwise it is the
        flow's newest checkpoint before the range, with None.

        Raises:
            ValueError: No checkpoint is usable, and the log's first records were deleted.
        """
        before = kept(self.folder, partition, log, self.today)
        if before is not None:
            return before
        store, first = home.checkpoints(), self.span.firsts[partition]
        # Before the first event a quiet partition may have written metrics: the head has none.
        found = store.newest_first(partition, before=first) if first else iter(())
        restorable = partial(is_restorable, store=store, log=log, settings=self.today)
        newest = next(usable(found, self.shape, log, restorable), None)
        if newest is None and log.start(EVENTS, partition):
            raise headless(log, partition)
        return newest, None


class _CheckpointHashes(NamedTuple):
    """Hashes of the state and of the events, from a checkpoint of the flow."""

    state: bytes
    hashed: Hashed | None


class _Auditor:
    """Runs an audit job's partitions in one process."""

    def __init__(
        self,
        job: AuditJob,
        home: Home,
        log: ReadableLog,
        stream: Stream,
        load: Load,
        report: Report,
        tick: Tick,
    ) -> None:
        self._job, self._home, self._log, self._stream, self._load = job, home, log, stream, load
        self._report, self._tick = report, tick
        self._due = Pace(job.today.checkpoints.every / 1e6).is_due
        self._settings_of = partial(usable_settings, job.today)

    def check(self, partition: int) -> PartitionAudit:
        """Replay a partition from its begin to the end of the range."""
        job = self._job
        begin, checked = job.begin(self._home, self._log, partition)
        if checked is None:
            checked = PartitionAudit.nothing(partition, 0 if begin is None else begin.offset)
        checking = OutputCheck(self._log, checked, job.span.since or 0)
        try:
            journal = Journal(self._log, partition)
            shard = self._begun(journal, begin)
            self._replay(shard, journal, checked, checking)
        except ModelError as error:
            checking.broken(error)
            return checked
        keep(job.folder, shard, checked)
        checking.at_end(shard, job.span.ends[partition], self._home.checkpoints())
        return checked

    def _begun(self, journal: Journal, begin: Checkpoint | None) -> Shard:
        """The shard at a checkpoint (None: at the head), with the settings of that time."""
        partition = journal.partition
        obeyed = journal.settings(0 if begin is None else begin.counters.get(JOURNAL, 0))
        settings = self._job.today if obeyed is None else self._settings_of(obeyed)
        shard = Shard(self._stream, settings, partition)
        if begin is not None:
            shard.restore(begin.shard, lambda model: self._load(model, shard))
            shard.hashed = begin.hashed or Hashed.at(begin.offset)
        return shard

    def _replay(
        self, shard: Shard, journal: Journal, checked: PartitionAudit, checking: OutputCheck
    ) -> None:
        batch, end = self._job.today.reading.batch, self._job.span.ends[checked.partition]
        source = input_of(shard, self._log, journal, settings_of=self._settings_of, batch=batch)
        states = self._states(shard, end)
        # Past the last event, a quiet partition still resolves requests if the journal says so.
        while checked.recorded and ((before := shard.position.offset) < end or not source.is_open):
            message = source.poll(end)
            if message is None:  # a boundary that the flow had not passed yet
                checked.recorded = before >= end
                break
            message = with_model(message, shard, self._load)
            for piece in _pieces(message, {offset for offset, *_ in states}):
                checking.take(shard.apply(piece), shard.position.offset)
                if (recorded := states.get(astuple(shard.position))) is not None:
                    checking.state(shard, recorded.state)
                    checking.events(shard.hashed, recorded.hashed)
            self._report(step(shard, before))
            if self._due():
                keep(self._job.folder, shard, checked)
            self._tick()

    def _states(self, shard: Shard, end: int) -> dict[tuple[int, ...], _CheckpointHashes]:
        """Hashes in the flow's checkpoints within the range, by `Position`."""
        found = {
            (one.offset, one.boundary, one.counters.get(JOURNAL, 0)): _CheckpointHashes(
                sha256(one.shard).digest(), one.hashed
            )
            for one in self._home.checkpoints().newest_first(shard.partition, before=end)
            if one.shape == shard.shape
        }
        return {place: of for place, of in found.items() if place > astuple(shard.position)}


def _pieces(message: Message, cuts: set[int]) -> Iterator[Message]:
    """Split a batch of records after each of these offsets; other messages stay whole."""
    if not isinstance(message, Records):
        yield message
        return
    piece: list[Record] = []
    for record in message.records:
        piece.append(record)
        if record.offset + 1 in cuts:
            yield Records(piece)
            piece = []
    if piece:
        yield Records(piece)
