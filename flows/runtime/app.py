"""The main flow, assembled from settings, home, clock and console."""

import gc
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from reprlib import repr as shortened

from bytewax.dataflow import Dataflow
from rich.console import Console

from flows.definition.redefinition import Redefinition
from flows.errors.bytewax_errors import has_failed
from flows.home.deployment import Deployment
from flows.home.file_lock import lock_partition
from flows.home.heartbeat import Heartbeat
from flows.home.home import Home
from flows.home.journaled_settings import check_journals
from flows.home.open_log import hidden_events
from flows.home.wall_clock import check_append_times
from flows.runtime.demo import fill
from flows.runtime.fitter import Fitter
from flows.runtime.partitions import Partitions
from flows.runtime.summary import print_summary
from flows.terminal.json_lines import are_records, tell
from flows.terminal.progress import RunProgress
from flows.terminal.time_format import format_time
from operators.partition.dataflow import EventsSource, compose
from operators.partition.partition_runner import PartitionRunner
from operators.training.titles import Titles
from operators.training.trainer import Trainer
from state.event_times import parse_time
from state.events import SECOND_US
from state.log import EVENTS
from state.settings import Settings

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENT_S = 1.0


class App:
    """The shared objects of one process of the main flow.

    Args:
        settings: Settings of the run.
        home: Home of the run.
        console: Console that shows progress.
        stop: If set, the flow ends cleanly.
        until: End of the demo's history; None: the default.
    """

    def __init__(
        self,
        settings: Settings,
        home: Home,
        console: Console,
        stop: threading.Event,
        until: datetime | None = None,
    ) -> None:
        self._settings, self._console, self._stop = settings, console, stop
        deployment = Deployment.open(settings, home, make_topics=True)
        self._home = home = deployment.home
        self._stream, self._log = deployment.stream, deployment.log
        if settings.log == "sqlite" or until is not None:  # an empty topic may await its mirror
            fill(home, self._log, self._stream, until, console, stop)
        if settings.log == "sqlite":  # a declared time is unknown if Kafka has the log
            check_append_times(self._log, home)
            check_journals(self._log, settings)
        self._partitions = range(self._log.partitions(EVENTS))
        self._redefined = Redefinition(home, self._stream, self._log)
        conflict = self._redefined.conflict if self._redefined.change.functions else None
        # Beside the processing, commits to the embedded log would take a sixth more processor time.
        beside = settings.log == "kafka" and conflict is None
        self._opened = Partitions(
            settings,
            self._stream,
            self._log,
            home,
            conflict=conflict,
            commit_every_s=settings.kafka.commit / SECOND_US if beside else None,
        )
        self._claimed: list[int] = []
        self._heartbeat: Heartbeat | None = None
        self._offsets: dict[int, int] = {}
        self._behind = set(self._partitions)
        self._ends: dict[int, tuple[int, float]] = {}
        self._event_time = 0
        self._held = 0
        self._started = time.monotonic()
        self._progress = RunProgress(console, self._left())
        if conflict is not None:
            self._progress.say(
                f"Definition changed ({self._redefined.change}): all output is derived again "
                "from the first event, and compared with the stored output."
            )

    def flow(self) -> Dataflow:
        """Build the dataflow; it does nothing before bytewax runs it."""
        training = self._settings.training
        trainer: Callable[[], Trainer] | None = None
        if training.trainer == "embedded" and not training.pinned:
            say = self._progress.say
            published = self._opened.published
            fitter = Fitter(self._settings, self._stream, self._log, self._home, say, published)
            titles = Titles(self._log, published, self._settings.promotion, live=not training.wait)
            trainer = partial(Trainer, self._log, published, fitter, self._stop, titles=titles)
        self._heartbeat = Heartbeat(self._home.root, "flow", self._stop)
        source = EventsSource(
            self._partitions,
            self._open,
            self._stop,
            follow=self._settings.follow,
            claim=self._claim,
        )
        return compose(source, trainer, on_committed=self._committed, at_end=self._ended)

    def close(self) -> None:
        """Remove the progress bar and release the locks, at any time."""
        self._progress.close()
        while self._claimed:
            os.close(self._claimed.pop())

    def _claim(self, partition: int) -> None:
        if self._settings.log == "kafka":
            self._opened.claim(partition)

    def _open(self, partition: int) -> PartitionRunner:
        if self._settings.log == "sqlite":
            self._claimed.append(lock_partition(self._home.root, partition))
        runner = self._opened.open(partition)
        self._offsets[partition] = runner.shard.position.offset
        self._event_time = max(self._event_time, runner.shard.event_time)
        self._tell_waiting(partition)
        return runner

    def _committed(self, runner: PartitionRunner) -> None:
        shard = runner.shard
        before = self._offsets[shard.partition]
        self._offsets[shard.partition] = shard.position.offset
        self._event_time = max(self._event_time, shard.event_time)
        self._progress.advance(
            shard.partition, shard.position.offset - before, shard.event_time, shard.losses()
        )
        self._tell_waiting(shard.partition)
        self._tell_held(runner.holding)

    def _tell_held(self, boundary: int) -> None:
        """Print, once for each boundary, that another process must decide it."""
        training = self._settings.training
        if boundary <= self._held or training.trainer == "embedded" or not training.wait:
            return
        self._held = boundary
        if not training.pinned and not self._opened.published.model_at(boundary)[0]:
            tell(
                "waiting_for_fit",
                f"Waiting for the fit at {format_time(boundary)}: by `flows.train`, or from a "
                "mirror.",
                self._progress.say,
                boundary=boundary,
            )

    def _tell_waiting(self, partition: int) -> None:
        """Print, once, that each partition has read to an end that was current a moment before.

        Asking for the end takes milliseconds, so a topic with new records is not asked after each
        append.
        """
        if not self._settings.follow or partition not in self._behind:
            return
        now, offset = time.monotonic(), self._offsets[partition]
        end, seen = self._ends.get(partition, (0, float("-inf")))
        if offset >= end and now - seen > _MOMENT_S:
            end = self._log.end(EVENTS, partition)
            self._ends[partition] = end, now
        if offset >= end:
            self._behind.discard(partition)
            if not self._behind:
                self._redefined.settle(self._offsets)
                self._progress.waiting()

    def _left(self) -> int:
        """Number of records left to read, by the newest checkpoints."""
        store = self._home.checkpoints()
        left = 0
        for partition in self._partitions:
            left += max(self._log.end(EVENTS, partition) - store.newest_offset(partition), 0)
        return left

    def _ended(self) -> None:
        self.close()
        if self._heartbeat is not None:
            self._heartbeat.close()
        if self._stop.is_set():
            at = f"at {format_time(self._event_time)}"
            where = at if self._event_time else "before the first event"
            advice = "" if has_failed() else "; run again to resume"  # the error has its own
            line = f"Stopped {where}{advice}."
            tell("stopped", line, self._progress.say, records=sum(self._offsets.values()))
            return
        self._redefined.settle(self._offsets)
        read = sum(self._offsets.values())
        if not read:
            self._console.print(
                "The log is empty: fill it with `headwater ingest FILE`.", highlight=False
            )
            return
        if not are_records():
            print_summary(self._console, self._log, self._opened.published.records(), self._home)
        hidden = hidden_events(self._settings, self._partitions)
        seconds = time.monotonic() - self._started
        tell(
            "ended",
            f"{'Not up to date' if hidden else 'Up to date'}: {read:,} events read, "
            f"in {seconds:.0f} s{hidden}.",
            self._progress.say,
            records=read,
            seconds=round(seconds, 3),
            event_time=self._event_time,
        )


def tune_collector() -> None:
    """Keep the garbage collector off long-lived objects, which saves a quarter of the time."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def parse_day(text: str) -> datetime:
    """Parse a date or time, UTC.

    Raises:
        ValueError: The text is neither, or the time is before 1970.
    """
    try:
        moment = parse_time(text)
    except ValueError:
        msg = f"date must be like 2013-04-01 or 2013-04-01T12:00; got {shortened(text)}"
        raise ValueError(msg) from None
    try:
        in_utc = moment.astimezone(UTC)
    except OverflowError:
        in_utc = _EPOCH - timedelta(days=1)
    if in_utc < _EPOCH:
        msg = f"date must lie from 1970 to 9999, UTC; got {text!r}"
        raise ValueError(msg)
    return moment
