"""The work of an audit: partitions replayed by the recorded journal; nothing of it is changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from flows.configuration import find_stream
from flows.home import Home
from flows.logs import find_log
from flows.partitions import Partitions, once_in
from flows.replay.checking import Checked, Checking
from flows.replay.engine import Report, Tick, step
from flows.replay.fork import forks_of
from flows.replay.recorded import Stretch
from flows.replay.span import Span, headless
from flows.replay.unfinished import keep, kept
from operators.decisions import Undecided
from operators.messages import Records
from operators.shard import Shard
from state.artifacts import ArtifactError
from state.branch_log import BranchLog
from state.checkpoints import Checkpoint
from state.log import EVENTS, Log
from state.settings import Settings, changed
from state.sqlite_log import SqliteLog


@dataclass(frozen=True)
class AuditJob:
    """See `flows.replay.engine.Job`.

    Args:
        root: The home's.
        today: Settings that say where the log is and how often progress is kept.
        span: What to compare.
        shape: Of the shards.
        stretches: With which settings each partition was made.
        folder: Where progress is kept.
    """

    root: Path
    today: Settings
    span: Span
    shape: str
    stretches: Sequence[Sequence[Stretch]]
    folder: Path

    def __call__(self, partitions: Sequence[int], report: Report, tick: Tick) -> list[Checked]:
        """Replay and compare."""
        home = Home(self.root)
        log = find_log(self.today, home)
        with TemporaryDirectory() as aside:
            # What a reader decides beyond the end of the record goes there and is forgotten.
            own = SqliteLog(Path(aside), durable=False)
            for topic in ("activations", "models"):
                own.create(topic, log.partitions(topic))
            view = BranchLog(log, own, forks_of(log, self.span, [], "reused"))
            work = _Work(self, home, log, view, report, tick)
            checked = [work.check(partition) for partition in partitions]
            view.close()
        return checked

    def begin(self, home: Home, log: Log, partition: int) -> Checkpoint | None:
        """Where it was stopped, or the newest checkpoint before the range; None: the head.

        Raises:
            ValueError: There is none, and the head is gone.
        """
        before = kept(self.folder, partition)
        if before is not None:
            return before[0]
        start = log.start(EVENTS, partition)
        for one in home.checkpoints().newest_first(partition, before=self.span.firsts[partition]):
            if one.shape == self.shape and start <= one.offset and (one.offset or not start):
                return one
        if start:
            raise headless(log, partition)
        return None

    def going_on(self) -> bool:
        """Whether it was stopped before."""
        return any(kept(self.folder, partition) for partition in range(len(self.span.ends)))


class _Work:
    """An audit job in one process."""

    def __init__(
        self, job: AuditJob, home: Home, log: Log, view: BranchLog, report: Report, tick: Tick
    ) -> None:
        self._job, self._home, self._log, self._view = job, home, log, view
        self._report, self._tick = report, tick
        self._due = once_in(job.today.checkpoints.every / 1e6)
        self._opened: list[tuple[Settings, Partitions]] = []

    def check(self, partition: int) -> Checked:
        """Take a partition from where it begins through its stretches."""
        job = self._job
        begin = job.begin(self._home, self._log, partition)
        offset = 0 if begin is None else begin.offset
        before = kept(job.folder, partition)
        checked = Checked.nothing(partition, offset) if before is None else before[1]
        checking = Checking(self._log, checked, job.span.since or 0)
        state = None if begin is None else begin.shard
        try:
            for stretch in job.stretches[partition]:
                if checked.recorded and offset < stretch.end:
                    shard = self._replay(stretch, checked, checking, state)
                    offset, state = shard.position.offset, shard.snapshot()
                    keep(job.folder, shard, checked)
                    if offset == self._log.end(EVENTS, partition):
                        checking.at_end(shard.counters)
        except ArtifactError as error:
            checking.broken(error)
        return checked

    def _replay(
        self, stretch: Stretch, checked: Checked, checking: Checking, state: bytes | None
    ) -> Shard:
        parts = self._parts(stretch.settings)
        shard = parts.shard(checked.partition)
        if state is not None:
            shard.restore(state, lambda model: parts.offline(model, shard))
        reader = parts.reader(shard)
        while checked.recorded and (before := shard.position.offset) < stretch.end:
            message = reader.poll()
            if message is None:
                break
            if isinstance(message, Records):
                message = Records(message.records[: stretch.end - before])
            checking.take(shard.apply(message), shard.position.offset)
            self._report(step(shard, before))
            if self._due():
                keep(self._job.folder, shard, checked)
            self._tick()
        return shard

    def _parts(self, settings: Settings) -> Partitions:
        for of, parts in self._opened:
            if of == settings:
                return parts
        waiting = changed(settings, {"training": {"wait": True}})
        stream = find_stream(settings.stream)
        parts = Partitions(waiting, stream, self._view, self._home, Undecided())
        self._opened.append((settings, parts))
        return parts
