"""Assemble the partitions of a home, in one way for runs and replays."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from flows.home.home import Home
from flows.home.journaled_settings import usable
from flows.home.model_sources import published_models, reaching
from flows.home.open_log import check_kept
from flows.runtime.kept_rows import LOADING
from flows.runtime.pace import Pace
from operators.partition.decider import (
    Decider,
    Decisions,
    EarlyBoundaries,
    NewestTimes,
    TrustedAnswers,
)
from operators.partition.journal import TOPIC as JOURNAL
from operators.partition.journal import JournalWriter, begun_of
from operators.partition.ordered_input import OrderedInput, input_of
from operators.partition.partition_runner import PartitionRunner
from operators.partition.recovery import check_version, recover
from operators.shard.shard import TOPICS, Shard
from operators.training.model_loader import Loading, ModelLoader
from operators.training.model_registry import Pinned
from operators.training.training_cuts import TOPIC as SNAPSHOTS
from operators.training.training_cuts import SnapshotWriter, newest_boundary
from state.in_thread import in_thread
from state.log import EVENTS, Log, SequenceConflictError, newest_append_time
from state.settings import Settings, deciding
from state.stream import Stream

T = TypeVar("T")
_LOOK_EVERY_S = 1.0
_SETTLES_IN_S = 1.0
_EMPTY_LOOK_EVERY_S = 0.05
_log = logging.getLogger("headwater")


class Partitions:
    """Recovers partitions and opens them.

    Args:
        settings: Settings of the run.
        stream: The stream.
        log: The home's log, or a view of it.
        home: Home with checkpoints, snapshots and artifacts.
        settings_of: Returns the settings of a journal entry; None: the entry's own, completed by
            `settings`. If it is given, no partition uses other settings.
        decides: Whether partitions decide beyond the end of their journals, by the topic `models`
            or the pinned model; else they end where their journals end.
        loading: Parameters of loading models.
        clock: Seconds, by which a checkpoint is due; no output depends on it.
        conflict: Makes the error to raise if an output differs from the stored one. If it is given,
            everything is derived again from the first event: the stream's functions changed, so
            that no checkpoint is usable, and the outputs must stay the same.
        commit_every_s: See `PartitionRunner.commit_beside`; None: each commit is waited for.

    Attributes:
        published: Registry of the models.
        models: Loader of the models.
        settings_of: Returns the settings of a journal entry.
        early: The boundaries before their time (µs), in order; None: the shards ask for them.

    Raises:
        ValueError: The pinned model is unknown.
    """

    def __init__(
        self,
        settings: Settings,
        stream: Stream,
        log: Log,
        home: Home,
        settings_of: Callable[[dict[str, Any]], Settings] | None = None,
        *,
        decides: bool = True,
        loading: Loading = LOADING,
        clock: Callable[[], float] = time.monotonic,
        conflict: Callable[[SequenceConflictError], Exception] | None = None,
        commit_every_s: float | None = None,
    ) -> None:
        self._commit_every_s = commit_every_s
        self.early: Sequence[int] | None = None
        self._claims: dict[int, Future[None]] = {}
        self._settings, self._stream, self._log = settings, stream, log
        self._home = home = reaching(home, settings, log)
        self.published = published_models(home, settings, log)
        self._decisions = self._found_decisions() if decides else None
        self._is_original = settings_of is None
        self.settings_of = settings_of or partial(usable, settings)
        self._clock, self._conflict = clock, conflict
        append_time = _remembered(partial(newest_append_time, log, EVENTS), _LOOK_EVERY_S, clock)
        self._newest = NewestTimes(
            append_time,
            _remembered(partial(newest_boundary, log), _LOOK_EVERY_S, clock),
            _settled(append_time, _SETTLES_IN_S, clock),
            _remembered(partial(begun_of, log), _EMPTY_LOOK_EVERY_S, clock),
        )
        self.models = ModelLoader(stream, self.published, home.artifacts(), loading)

    def claim(self, partition: int) -> None:
        """Begin to end the writer before, beside the caller: Kafka takes half a second for each."""
        self._claims[partition] = in_thread(partial(self._end_writer, partition), "claim")

    def open(self, partition: int) -> PartitionRunner:
        """Open a partition at its newest checkpoint; other writers of it are fenced off."""
        settings, home, log = self._settings, self._home, self._log
        checkpoints = home.checkpoints()
        claim = self._claims.pop(partition, None)
        # It may still add to what is read next.
        claim.result() if claim is not None else self._end_writer(partition)
        check_version(log, checkpoints, partition)
        check_kept(settings, log, checkpoints, partition)
        journal = JournalWriter(log, partition)
        if self._conflict is None:
            shard = recover(
                partial(self.shard, partition), partition, checkpoints, log, self.models.offline
            )
            checkpoints.drop_beyond(partition, shard.position.offset, shard.shape)
            checkpoints.share(partition)
        else:
            shard = self.shard(partition, journal.settings(0))
        source = input_of(
            shard,
            log,
            journal,
            settings_of=self.settings_of,
            batch=settings.reading.batch,
            early=self.early or (),
        )
        runner = PartitionRunner(
            shard,
            source,
            log,
            decider=self._decider(shard, journal, source),
            load=self.models.offline,
            snapshots=SnapshotWriter(log, self._stream, home.snapshots),
            checkpoints=checkpoints,
            pace=Pace(settings.checkpoints.every / 1e6, self._clock),
            most_in_flight=settings.reading.in_flight,
        )
        if self._commit_every_s is not None:
            runner.commit_beside(self._commit_every_s)
        runner.conflict = self._conflict
        return runner

    def _end_writer(self, partition: int) -> None:
        """End whoever wrote the partition before, where the log can."""
        topics = (JOURNAL, *TOPICS, SNAPSHOTS)
        self._log.append_all(partition, dict.fromkeys(topics, (None, ())))

    def shard(self, partition: int, values: dict[str, Any] | None = None) -> Shard:
        """An empty shard with the settings of a journal entry; None: current settings."""
        settings = self._settings if values is None else self.settings_of(values)
        return Shard(self._stream, settings, partition)

    def _found_decisions(self) -> Decisions:
        pinned = self._settings.training.pinned
        return Pinned(self.published, pinned) if pinned else self.published

    def _decider(
        self, shard: Shard, journal: JournalWriter, source: OrderedInput
    ) -> Decider | None:
        if self._decisions is None:
            return None
        # A branch that begins at the head of the log notes when that begun.
        takes_settings = self._is_original or not journal.entries
        training, risk = self._settings.training, self._settings.risk

        def wanted(offset: int) -> bool | None:
            if shard.position.offset != offset:
                return None
            training = shard.settings.training
            rows = training.min_rows // self._log.partitions(EVENTS)
            return not training.pinned and shard.wants_fit(rows)

        return Decider(
            self._log,
            journal,
            source,
            decisions=self._decisions,
            load=lambda model: self.models.offline(model, shard),
            wanted=self._wanted(shard) if takes_settings else _nothing,
            newest=self._newest,
            wait=training.wait,
            tell=_log.warning,
            early=None
            if self.early is not None
            else EarlyBoundaries(wanted, lambda: shard.settings.drift.rest),
            trust=None
            if risk is None
            else TrustedAnswers(lambda: shard.position.offset, lambda: shard.thresholds(risk)),
        )

    def _wanted(self, shard: Shard) -> Callable[[], dict[str, Any] | None]:
        """Current settings, after the earlier run's output has been re-emitted."""
        values = deciding(self._settings)
        written = {topic: self._log.end(topic, shard.partition) for topic in (*TOPICS, SNAPSHOTS)}

        def wanted() -> dict[str, Any] | None:
            made = shard.counters | {SNAPSHOTS: shard.cuts}
            return values if all(made[topic] >= end for topic, end in written.items()) else None

        return wanted


def _nothing() -> None:
    pass


def _remembered(
    ask: Callable[[], T], seconds: float, clock: Callable[[], float]
) -> Callable[[], T]:
    """Cache `ask` for some seconds: a partition at its end asks all the time."""
    until = float("-inf")
    answer: T

    def asked() -> T:
        nonlocal until, answer
        now = clock()
        if now >= until:
            until, answer = now + seconds, ask()
        return answer

    return asked


def _settled(
    ask: Callable[[], int], seconds: float, clock: Callable[[], float]
) -> Callable[[], int]:
    """The result of `ask` from at least `seconds` ago; at first the current one."""
    settled: int | None = None
    since, newer = 0.0, 0

    def asked() -> int:
        nonlocal settled, since, newer
        now, newest = clock(), ask()
        if settled is None:
            settled = newest
        elif now - since >= seconds:
            settled = newer
        else:
            return settled
        since, newer = now, newest
        return settled

    return asked
