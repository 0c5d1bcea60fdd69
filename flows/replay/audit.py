"""Audit: make a part of history again, and compare it with what was recorded."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec
import polars as pl
from rich.console import Console

from flows.configuration import find_stream, load_settings
from flows.home import Home, environment_home
from flows.logs import find_log
from flows.partitions import Partitions
from flows.progress import RunProgress
from flows.replay.difference import Difference, cause_of, difference, surplus
from flows.replay.engine import Report, Tick, spread, step
from flows.replay.fork import forks_of
from flows.replay.span import Moment, Span, headless, span_of
from operators.decisions import Undecided
from operators.messages import Emitted
from operators.shard import TOPICS, Shard
from state.artifacts import ArtifactError
from state.branch_log import BranchLog
from state.checkpoints import Checkpoint
from state.log import EVENTS, Log, Record
from state.outputs import Prediction
from state.settings import Settings, changed
from state.sqlite_log import SqliteLog


class Checked(msgspec.Struct, frozen=True):
    """What came of one partition.

    Attributes:
        partition: Which.
        begin: Offset of `events` at which it was taken up.
        end: Offset up to which it was replayed and had been recorded.
        identical: Records that are as recorded, by topic.
        different: Records that are not.
        after: Identical ones after the first that is not.
        first: The first that is not.
        chain: Of the newest prediction made; empty if there was none.
        recorded: Whether the flow had got to the end of the range.
    """

    partition: int
    begin: int
    end: int
    identical: dict[str, int]
    different: dict[str, int]
    after: int
    first: Difference | None
    chain: str
    recorded: bool

    @property
    def cause(self) -> str:
        """Why it differs, as far as that can be told; empty if it does not."""
        return cause_of(self.first, sum(self.different.values()), self.after) if self.first else ""


class Audited(NamedTuple):
    """An audit's range and what came of its partitions."""

    span: Span
    partitions: list[Checked]


def audit(
    since: Moment = None,
    until: Moment = None,
    *,
    home: Path | str | None = None,
    settings: Settings | None = None,
    workers: int = 1,
) -> pl.DataFrame:
    """Make predictions, outcomes, metrics, alerts and dead letters again and compare them.

    Args:
        since: Append time (UTC) from which on to compare.
        until: Append time before which to end.
        home: Whose history; None: `HEADWATER_HOME`.
        settings: With which it was made; None: `headwater.toml`.
        workers: Processes.

    Returns:
        A row for each partition and topic: `partition`, `topic`, `identical`, `different`; where
        the partition's first difference is, `sequence` in the topic, `offset` in `events`, `id`,
        `field`, `recorded`, `replayed` and `cause`.

    Raises:
        ValueError: The range is not one of this log.
    """
    where = environment_home() if home is None else Home(Path(home).absolute())
    quiet = Console(quiet=True)
    checked = audited(where, settings or load_settings(), since, until, workers, quiet).partitions
    return pl.DataFrame(list(_rows(checked)), schema=_COLUMNS, orient="row")


def audited(
    home: Home,
    settings: Settings,
    since: Moment,
    until: Moment,
    workers: int,
    console: Console,
    say: Callable[[str], None] = lambda _: None,
) -> Audited:
    """See `audit`.

    Args:
        home: Whose history.
        settings: With which it was made.
        since: Append time from which on to compare.
        until: Append time before which to end.
        workers: Processes.
        console: For progress.
        say: Told where the replay begins.
    """
    log = find_log(settings, home)
    span = span_of(log, since, until)
    stream = find_stream(settings.stream)
    shapes = [Shard(stream, settings, p).shape for p in range(len(span.ends))]
    begins = [_begin(home, log, span, p, shape) for p, shape in enumerate(shapes)]
    log.close()
    offsets = [0 if begin is None else begin.offset for begin in begins]
    say(f"Audit of {span}: {_rewind(span, offsets)}.")
    loads = [end - offset for end, offset in zip(span.ends, offsets, strict=True)]
    progress = RunProgress(console, sum(loads))
    job = AuditJob(home.root, changed(settings, {"training": {"wait": True}}), span)
    try:
        checked = spread(job, loads, workers, lambda one: progress.advance(*one), _nothing)
    finally:
        progress.close()
    return Audited(span, sorted(checked, key=lambda one: one.partition))


@dataclass(frozen=True)
class AuditJob:
    """Replays partitions by the recorded journal; writes nothing.

    Args:
        root: The home's.
        settings: With which its history was made.
        span: What to compare.
    """

    root: Path
    settings: Settings
    span: Span

    def __call__(self, partitions: Sequence[int], report: Report, tick: Tick) -> list[Checked]:
        """See `flows.replay.engine.Job`."""
        home, stream = Home(self.root), find_stream(self.settings.stream)
        log = find_log(self.settings, home)
        with TemporaryDirectory() as aside:
            # What a reader decides beyond the end of the record goes there and is forgotten.
            own = SqliteLog(Path(aside))
            for topic in ("activations", "models"):
                own.create(topic, log.partitions(topic))
            view = BranchLog(log, own, forks_of(log, self.span, [], "reused"))
            parts = Partitions(self.settings, stream, view, home, Undecided())
            checked = [self._check(parts, home, log, p, report, tick) for p in partitions]
            view.close()
        return checked

    def _check(
        self, parts: Partitions, home: Home, log: Log, partition: int, report: Report, tick: Tick
    ) -> Checked:
        shard = parts.shard(partition)
        comparison = _Comparison(log, partition, self.span.since or 0)
        begin = _begin(home, log, self.span, partition, shard.shape)
        try:
            if begin is not None:
                shard.restore(begin.shard, lambda model: parts.offline(model, shard))
            offset = shard.position.offset
            reader = parts.reader(shard)
            while not comparison.beyond and (message := reader.poll()) is not None:
                before = shard.position.offset
                comparison.take(shard.apply(message))
                report(step(shard, before))
                tick()
        except ArtifactError as error:
            offset = shard.position.offset if begin is None else begin.offset
            comparison.broken(error, shard.position.offset)
        if shard.position.offset == log.end(EVENTS, partition):
            comparison.end(shard.counters)
        return comparison.result(offset, shard.position.offset)


class _Comparison:
    """What a shard emits against what is stored.

    Args:
        log: What was recorded.
        partition: Of the shard.
        since: Append time from which on records count.
    """

    def __init__(self, log: Log, partition: int, since: int) -> None:
        self._log, self._partition, self._since = log, partition, since
        self._held = {topic: log.end(topic, partition) for topic in TOPICS}
        self._identical: Counter[str] = Counter()
        self._different: Counter[str] = Counter()
        self._first: Difference | None = None
        self._after = 0
        self._chain = b""
        self.beyond: int | None = None

    def take(self, emitted: Emitted) -> None:
        """Compare what came of one message."""
        for topic, (sequence, entries) in emitted.entries.items():
            stored = self._stored(topic, sequence, len(entries))
            for record in stored:
                entry = entries[record.offset - sequence]
                if entry.append_time < self._since:
                    continue
                if record[2:] == entry[1:]:
                    self._identical[topic] += 1
                    self._after += self._first is not None
                    continue
                self._different[topic] += 1
                if self._first is None:
                    self._first = difference(topic, self._partition, record, entry)
            if topic == "predictions":
                left = self._held[topic] - sequence
                if left < len(entries):
                    made = msgspec.json.decode(entries[max(left, 0)].value, type=Prediction)
                    self.beyond = made.offset
                if left > 0:
                    self._chain = entries[min(left, len(entries)) - 1].value

    def end(self, counters: dict[str, int]) -> None:
        """All events are read: nothing more may be recorded than was emitted."""
        for topic in TOPICS:
            if self._held[topic] > counters[topic] and self._first is None:
                self._different[topic] += self._held[topic] - counters[topic]
                extra = self._log.read(topic, self._partition, counters[topic], max_records=1)[0]
                self._first = surplus(topic, self._partition, extra)

    def broken(self, error: ArtifactError, offset: int) -> None:
        """The replay cannot go on."""
        self._different["activations"] += 1
        if self._first is None:
            self._first = Difference(
                "activations", self._partition, None, offset, None, [], str(error)
            )

    def result(self, begin: int, end: int) -> Checked:
        """All that was found."""
        chain = msgspec.json.decode(self._chain, type=Prediction).chain if self._chain else ""
        return Checked(
            self._partition,
            begin,
            end if self.beyond is None else self.beyond,
            {topic: self._identical[topic] for topic in TOPICS},
            dict(self._different),
            self._after,
            self._first,
            chain,
            self.beyond is None,
        )

    def _stored(self, topic: str, sequence: int, count: int) -> Iterator[Record]:
        offset = max(sequence, self._log.start(topic, self._partition))
        end = min(sequence + count, self._held[topic])
        while offset < end:
            records = self._log.read(topic, self._partition, offset, max_records=end - offset)
            yield from records
            offset += len(records)


_COLUMNS: dict[str, type[pl.DataType]] = {
    "partition": pl.Int64,
    "topic": pl.String,
    "identical": pl.Int64,
    "different": pl.Int64,
    "sequence": pl.Int64,
    "offset": pl.Int64,
    "id": pl.String,
    "field": pl.String,
    "recorded": pl.String,
    "replayed": pl.String,
    "cause": pl.String,
}


def _rows(checked: Sequence[Checked]) -> Iterator[tuple[object, ...]]:
    for one in checked:
        for topic in sorted({*one.identical, *one.different}):
            counts = one.partition, topic, one.identical.get(topic, 0), one.different.get(topic, 0)
            first = one.first
            if first is None or first.topic != topic:
                yield (*counts, *[None] * 7)
                continue
            field = first.fields[0] if first.fields else (None, None, None)
            yield (*counts, first.sequence, first.offset, first.id, *field, one.cause)


def _begin(home: Home, log: Log, span: Span, partition: int, shape: str) -> Checkpoint | None:
    """The newest checkpoint at or before the range; None: the head of the log.

    Raises:
        ValueError: There is none, and the head is gone.
    """
    start = log.start(EVENTS, partition)
    first = span.firsts[partition]
    for one in home.checkpoints().newest_first(partition, before=first):
        if one.shape == shape and start <= one.offset and (one.offset or not start):
            return one
    if start:
        raise headless(log, partition)
    return None


def _rewind(span: Span, offsets: list[int]) -> str:
    back = sum(first - offset for first, offset in zip(span.firsts, offsets, strict=True))
    where = "checkpoints" if any(offsets) else "the head of the log"
    return f"from {where}, {back:,} records before it"


def _nothing() -> None:
    pass
