"""The main flow put together: the one place that knows settings, home, clock and console."""

import gc
import time
from collections.abc import Callable
from datetime import UTC, datetime

from bytewax.dataflow import Dataflow
from rich.console import Console

from flows.configuration import find_stream
from flows.demo import fill
from flows.fitting import Fitter
from flows.home import Home, create_topics
from flows.progress import RunProgress
from flows.summary import print_summary
from models.mojo import Mojo, read_mojo
from models.offline import Offline
from operators.boundaries import Boundaries
from operators.dataflow import EventsSource, compose
from operators.decisions import PublishedModels
from operators.journal import Journal
from operators.live import LivePartition, Scored
from operators.reader import PartitionReader
from operators.recovery import recover
from operators.shard import Shard
from operators.snapshots import SnapshotWriter
from operators.training import Trainer
from state.settings import Settings
from state.sqlite_log import SqliteLog
from state.stream import Stream


def open_log(settings: Settings, stream: Stream, home: Home) -> SqliteLog:
    """The home's log with all its topics.

    Raises:
        ValueError: The log was made with another number of partitions.
    """
    log = home.log()
    create_topics(log, settings.partitions or stream.partitions)
    return log


class App:
    """Everything that one process of the main flow shares.

    Args:
        settings: Of the run.
        home: Where everything is kept.
        console: For people.
        until: Where the demo's history ends; None: the default.
    """

    def __init__(
        self, settings: Settings, home: Home, console: Console, until: datetime | None = None
    ) -> None:
        self._settings, self._home, self._console = settings, home, console
        self._stream = find_stream(settings.stream)
        self._log = open_log(settings, self._stream, home)
        fill(home, self._log, self._stream, until, console)
        self._partitions = range(self._log.partitions("events"))
        self._published = PublishedModels(self._log)
        self._mojos: dict[str, Mojo] = {}
        self._fitter: Fitter | None = None
        self._offsets: dict[int, int] = {}
        self._started = time.monotonic()
        self._progress = RunProgress(console, self._left())

    def flow(self) -> Dataflow:
        """The dataflow; it does nothing before bytewax runs it."""
        training = self._settings.training
        trainer: Callable[[], Trainer] | None = None
        if training.trainer == "embedded":
            self._fitter = Fitter(self._settings, self._stream, self._home, self._progress.say)
            trainer = self._trainer
        source = EventsSource(self._partitions, self._open, follow=self._settings.follow)
        return compose(source, trainer, on_scored=self._scored, at_end=self._ended)

    def hide_progress(self) -> None:
        """Take the progress bar away, at any time."""
        self._progress.close()

    def _trainer(self) -> Trainer:
        assert self._fitter is not None
        return Trainer(self._log, self._published, self._fitter)

    def _open(self, partition: int) -> LivePartition:
        settings, stream, log = self._settings, self._stream, self._log
        checkpoints = self._home.checkpoints()
        shard = recover(lambda: Shard(stream, settings, partition), checkpoints, log, self._offline)
        self._offsets[partition] = shard.position.offset
        self._tell_waiting()
        reader = PartitionReader(
            log,
            Journal(log, partition),
            shard.position,
            partition=partition,
            boundaries=Boundaries(stream.refit_from_us, settings.training.every),
            decisions=self._published,
            load=lambda model: self._offline(model, shard),
            wait=settings.training.wait,
            batch=settings.reading.batch,
        )
        return LivePartition(
            shard,
            reader,
            log,
            snapshots=SnapshotWriter(log, stream, self._home.snapshots),
            checkpoints=checkpoints,
            checkpoint_due=_every(settings.checkpoints.every / 1e6),
            most_in_flight=settings.reading.in_flight,
        )

    def _offline(self, model: str, shard: Shard) -> Offline:
        if model not in self._mojos:
            artifact = self._home.artifacts().get(self._published.of(model).sha256)
            self._mojos[model] = read_mojo(artifact)
        names = [column.name for column in self._stream.columns]
        return Offline(model, self._mojos[model], names, shard.levels)

    def _scored(self, live: LivePartition, scored: Scored) -> None:
        del scored
        shard = live.shard
        before = self._offsets[shard.partition]
        self._offsets[shard.partition] = shard.position.offset
        self._progress.advance(
            shard.partition, shard.position.offset - before, shard.event_time, shard.losses()
        )
        self._tell_waiting()

    def _tell_waiting(self) -> None:
        if self._settings.follow and all(
            self._offsets.get(p) == self._log.end("events", p) for p in self._partitions
        ):
            self._progress.waiting()

    def _left(self) -> int:
        """Records that are left to read, by the newest checkpoints."""
        store = self._home.checkpoints()
        left = 0
        for partition in self._partitions:
            newest = next(store.newest_first(partition), None)
            left += self._log.end("events", partition) - (newest.offset if newest else 0)
        return left

    def _ended(self) -> None:
        self._progress.close()
        if self._fitter is not None:
            self._fitter.close()
        read = sum(self._offsets.values())
        if not read:
            self._console.print(
                "The log is empty: fill it with `headwater ingest FILE`.", highlight=False
            )
            return
        print_summary(self._console, self._log, self._published.records(), self._home)
        seconds = time.monotonic() - self._started
        self._console.print(
            f"Up to date: {read:,} events read, in {seconds:.0f} s.", highlight=False
        )


def _every(seconds: float) -> Callable[[], bool]:
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


def tune_collector() -> None:
    """Keep the garbage collector off what lives as long as the process: a quarter of the time."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def parse_day(text: str) -> datetime:
    """A UTC date or time as people write it.

    Raises:
        ValueError: It is neither.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        msg = f"date must be like 2013-04-01 or 2013-04-01T12:00; got {text!r}"
        raise ValueError(msg) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
