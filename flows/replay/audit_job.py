"""The work of an audit: partitions replayed by the recorded journal; nothing of it is changed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from msgspec.structs import astuple

from flows.home.configuration import find_stream
from flows.home.home import Home, sharing
from flows.home.open_log import find_log
from flows.home.restorable import is_restorable
from flows.replay.audit_progress import keep, kept
from flows.replay.fork import forks_of
from flows.replay.output_check import Checked, Checking
from flows.replay.replay_range import Span, headless
from flows.replay.worker_pool import Report, Tick, step
from flows.runtime.partitions import Partitions, once_in
from operators.partition.journal import TOPIC as JOURNAL
from operators.partition.journal import Journal
from operators.partition.recovery import reached
from operators.shard.messages import Message, Records
from operators.shard.shard import Shard
from operators.training.model_registry import Undecided
from state.checkpoints.store import Checkpoint
from state.log import EVENTS, Log, Record
from state.log.branch import BranchLog
from state.log.running_hash import Hashed
from state.log.sqlite import SqliteLog
from state.settings import Settings, changed
from state.storage.artifact_store import ArtifactError


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
        home = sharing(Home(self.root), self.today)
        log = find_log(self.today, home)
        with TemporaryDirectory() as aside:
            own = SqliteLog(Path(aside), durable=False)
            checked = self.checked(partitions, home, log, own, report, tick)
            own.close()
            log.close()
        return checked

    def checked(
        self,
        partitions: Sequence[int],
        home: Home,
        log: Log,
        own: Log,
        report: Report,
        tick: Tick,
    ) -> list[Checked]:
        """Replay and compare, on logs that are open.

        Args:
            partitions: Which.
            home: Whose history.
            log: Has it; only read.
            own: An empty one: what a reader decides beyond the end of the record goes there.
            report: Told each step.
            tick: Called after each step.
        """
        for topic in ("activations", "models", "snapshots"):
            own.create(topic, log.partitions(topic))
        view = BranchLog(log, own, forks_of(log, self.span, [], "reused"))
        work = _Work(self, home, log, view, report, tick)
        return [work.check(partition) for partition in partitions]

    def begin(
        self, home: Home, log: Log, partition: int
    ) -> tuple[Checkpoint | None, Checked | None]:
        """Where it was stopped, or the newest checkpoint before the range; None: the head.

        With it comes what had been found before it was stopped; None: it was not.

        Raises:
            ValueError: There is none, and the head is gone.
        """
        before = kept(self.folder, partition, log, self.today)
        if before is not None:
            return before
        start = log.start(EVENTS, partition)
        store = home.checkpoints()
        for one in store.newest_first(partition, before=self.span.firsts[partition]):
            fits = one.shape == self.shape and (one.offset or not start) and reached(one, log)
            if fits and is_restorable(one, store, log, self.today):
                return one, None
        if start:
            raise headless(log, partition)
        return None, None


class _Recorded(NamedTuple):
    """Hashes of the state and of the events in a checkpoint."""

    state: bytes
    hashed: Hashed | None


class _Work:
    """An audit job in one process."""

    def __init__(
        self, job: AuditJob, home: Home, log: Log, view: BranchLog, report: Report, tick: Tick
    ) -> None:
        self._job, self._home, self._log, self._view = job, home, log, view
        self._report, self._tick = report, tick
        self._due = once_in(job.today.checkpoints.every / 1e6)
        waiting = changed(job.today, {"training": {"wait": True}})
        stream = find_stream(job.today.stream)
        self._parts = Partitions(waiting, stream, view, home, Undecided())

    def check(self, partition: int) -> Checked:
        """Take a partition from where it begins to the end of the span."""
        job, parts = self._job, self._parts
        begin, checked = job.begin(self._home, self._log, partition)
        if checked is None:
            checked = Checked.nothing(partition, 0 if begin is None else begin.offset)
        checking = Checking(self._log, checked, job.span.since or 0)
        try:
            if begin is None:
                shard = parts.shard(partition)
            else:
                journal = Journal(self._log, partition)
                obeyed = journal.settings(begin.counters.get(JOURNAL, 0))
                shard = parts.shard(partition, obeyed)
                shard.restore(begin.shard, lambda model: parts.offline(model, shard))
                shard.hashed = begin.hashed or Hashed.at(begin.offset)
            self._replay(shard, checked, checking)
        except ArtifactError as error:
            checking.broken(error)
            return checked
        keep(job.folder, shard, checked)
        checking.at_end(shard, job.span.ends[partition], self._home.checkpoints())
        return checked

    def _replay(self, shard: Shard, checked: Checked, checking: Checking) -> None:
        reader, end = self._parts.reader(shard), self._job.span.ends[checked.partition]
        states = self._states(shard, end)
        while checked.recorded and (before := shard.position.offset) < end:
            message = reader.poll()
            if message is None:  # at a boundary that the flow had not passed
                checked.recorded = False
                break
            for piece in _pieces(message, end, {offset for offset, *_ in states}):
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


def _pieces(message: Message, end: int, cuts: set[int]) -> Iterator[Message]:
    """A message up to an offset; records in pieces, of which one ends at each of these offsets."""
    if not isinstance(message, Records):
        yield message
        return
    piece: list[Record] = []
    for record in message.records:
        if record.offset == end:
            break
        piece.append(record)
        if record.offset + 1 in cuts:
            yield Records(piece)
            piece = []
    if piece:
        yield Records(piece)
