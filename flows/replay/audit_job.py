"""The work of an audit: partitions replayed by the recorded journal; nothing of it is changed."""

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
from flows.replay.output_check import Checked, Checking
from flows.replay.replay_range import Span, headless
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
    """See `flows.replay.worker_pool.Job`.

    Args:
        root: The home's.
        today: Settings that say where the log is and how often progress is kept.
        span: What to compare.
        shape: Of the shards.
        folder: Where progress is kept.
    """

    root: Path
    today: Settings
    span: Span
    shape: str
    folder: Path

    def __call__(self, partitions: Sequence[int], report: Report, tick: Tick) -> list[Checked]:
        """Replay and compare."""
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
    ) -> list[Checked]:
        """Replay and compare, on a log that is open.

        Args:
            partitions: Which.
            home: Whose history.
            log: Has it; only read.
            report: Told each step.
            tick: Called after each step.
        """
        stream = find_stream(self.today.stream)
        load = Partitions(
            self.today, stream, log, home, decides=False, loading=REPLAYING
        ).models.offline
        work = _Work(self, home, log, stream, load, report, tick)
        return [work.check(partition) for partition in partitions]

    def begin(
        self, home: Home, log: ReadableLog, partition: int
    ) -> tuple[Checkpoint | None, Checked | None]:
        """Where it was stopped, or the newest checkpoint before the range; None: the head.

        With it comes what had been found before it was stopped; None: it was not.

        Raises:
            ValueError: There is none, and the head is gone.
        """
        before = kept(self.folder, partition, log, self.today)
        if before is not None:
            return before
        store = home.checkpoints()
        found = store.newest_first(partition, before=self.span.firsts[partition])
        restorable = partial(is_restorable, store=store, log=log, settings=self.today)
        newest = next(usable(found, self.shape, log, restorable), None)
        if newest is None and log.start(EVENTS, partition):
            raise headless(log, partition)
        return newest, None


class _Recorded(NamedTuple):
    """Hashes of the state and of the events in a checkpoint."""

    state: bytes
    hashed: Hashed | None


class _Work:
    """An audit job in one process."""

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

    def check(self, partition: int) -> Checked:
        """Take a partition from where it begins to the end of the span."""
        job = self._job
        begin, checked = job.begin(self._home, self._log, partition)
        if checked is None:
            checked = Checked.nothing(partition, 0 if begin is None else begin.offset)
        checking = Checking(self._log, checked, job.span.since or 0)
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
        """The shard of a checkpoint, with the settings of then; None: that of the head."""
        partition, obeyed = journal.partition, None
        if begin is not None:
            obeyed = journal.settings(begin.counters.get(JOURNAL, 0))
        settings = self._job.today if obeyed is None else self._settings_of(obeyed)
        shard = Shard(self._stream, settings, partition)
        if begin is not None:
            shard.restore(begin.shard, lambda model: self._load(model, shard))
            shard.hashed = begin.hashed or Hashed.at(begin.offset)
        return shard

    def _replay(self, shard: Shard, journal: Journal, checked: Checked, checking: Checking) -> None:
        batch, end = self._job.today.reading.batch, self._job.span.ends[checked.partition]
        source = input_of(shard, self._log, journal, settings_of=self._settings_of, batch=batch)
        states = self._states(shard, end)
        # At the end a quiet partition still resolves requests, where the journal says so.
        while checked.recorded and ((before := shard.position.offset) < end or not source.is_open):
            message = source.poll(end)
            if message is None:  # at a boundary that the flow had not passed
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

    def _states(self, shard: Shard, end: int) -> dict[tuple[int, ...], _Recorded]:
        """What the flow's checkpoints of the range say, by `Position`."""
        found = {
            (one.offset, one.boundary, one.counters.get(JOURNAL, 0)): _Recorded(
                sha256(one.shard).digest(), one.hashed
            )
            for one in self._home.checkpoints().newest_first(shard.partition, before=end)
            if one.shape == shard.shape
        }
        return {place: of for place, of in found.items() if place > astuple(shard.position)}


def _pieces(message: Message, cuts: set[int]) -> Iterator[Message]:
    """A message; records in pieces, of which one ends at each of these offsets."""
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
