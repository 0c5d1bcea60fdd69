"""Status of a flow, read from its log and the names of its checkpoints."""

from collections.abc import Sequence
from contextlib import suppress

import msgspec

from flows.reports.counts import Counts, counts_of, newest_metrics
from flows.reports.estimates import Estimates, estimates_of
from operators.partition.journal import Journal
from operators.training.model_registry import ModelRegistry
from operators.training.training_cuts import TrainingCuts
from state.checkpoints.store import CheckpointStore, Written
from state.log import EVENTS, Log, UnknownTopicError, decoded
from state.outputs.records import Metrics
from state.topics import PREDICTIONS

_SPAN_S = 60.0


class _Newest(msgspec.Struct):
    """The fields of a prediction that are needed here."""

    offset: int
    event_time: int | None = None


_NONE = _Newest(-1)


class PartitionStatus(msgspec.Struct, frozen=True):
    """Status of one partition of `events`.

    Attributes:
        partition: The partition.
        end: End offset of the log.
        position: Offset of the next record, by the newest checkpoint or prediction.
        lag: Number of records left to read.
        lag_s: Seconds of append time from the next record to the newest.
        per_s: Records per second by the last minute's checkpoints; None: it cannot be told.
        model: Id of the offline model in use.
        event_time: Event time of the newest predicted request (µs); None: there is none.
        checkpoint: The newest checkpoint in the home; None: there is none.
    """

    partition: int
    end: int
    position: int
    lag: int
    lag_s: float
    per_s: float | None
    model: str | None
    event_time: int | None
    checkpoint: Written | None


class Status(msgspec.Struct, frozen=True):
    """Status of a whole flow.

    Attributes:
        partitions: Status of each partition of `events`.
        ends: Sum of the partitions' end offsets, by topic.
        pending_fits: Boundaries (µs) that all partitions have passed but training has not decided.
        counts: Requests, labels and dead letters by the newest metrics; None: there are none yet.
        newest: The newest metrics of each partition that has some.
        estimates: Estimates before labels, by these.
    """

    partitions: list[PartitionStatus]
    ends: dict[str, int]
    pending_fits: list[int]
    counts: Counts | None
    newest: list[Metrics]
    estimates: Estimates = Estimates()


class StatusReader:
    """Reads the status of a flow again and again; no decision of the log is decoded twice.

    Args:
        log: The flow's log.
        store: The flow's checkpoints; those in an object store count too.
        topics: Names of the log's topics.

    Attributes:
        registry: The records of the models.
    """

    def __init__(self, log: Log, store: CheckpointStore, topics: Sequence[str]) -> None:
        self._log, self._store, self._topics = log, store, topics
        self._journals = [Journal(log, p) for p in range(log.partitions(EVENTS))]
        self._cuts = TrainingCuts(log)
        self.registry = ModelRegistry(log)

    def status(self, now: float) -> Status:
        """Read the status; nothing is written.

        Args:
            now: Unix time.
        """
        log = self._log
        parts = [self._partition(journal, now) for journal in self._journals]
        ends = {}
        for topic in self._topics:
            with suppress(UnknownTopicError):  # an older log need not have the newest topics
                ends[topic] = sum(log.end(topic, p) for p in range(log.partitions(topic)))
        newest = newest_metrics(log)
        counts, estimates = counts_of(newest), estimates_of(newest)
        return Status(parts, ends, self._pending_fits(), counts, newest, estimates)

    def _partition(self, journal: Journal, now: float) -> PartitionStatus:
        log, partition = self._log, journal.partition
        written = self._store.written(partition)
        # The end comes last: the flow goes on meanwhile.
        last = _predicted(log, partition)
        position = max(last.offset + 1, self._store.newest_offset(partition))
        journal.refresh()
        active = journal.active
        end = log.end(EVENTS, partition)
        return PartitionStatus(
            partition,
            end,
            position,
            max(end - position, 0),
            _lag_s(log, partition, position, end),
            rate(written, now),
            active.model if active else None,
            last.event_time,
            written[-1] if written else None,
        )

    def _pending_fits(self) -> list[int]:
        pending = []
        self._cuts.refresh()
        boundary = self._cuts.due(self.registry.decided())
        while boundary:
            pending.append(boundary)
            boundary = self._cuts.due(boundary)
        return pending


def status_of(log: Log, store: CheckpointStore, topics: Sequence[str], now: float) -> Status:
    """Read the status of a flow once; see `StatusReader`."""
    return StatusReader(log, store, topics).status(now)


def rate(written: Sequence[Written], now: float) -> float | None:
    """Records per second between the checkpoints of the last minute; None: it cannot be told.

    Example:
        >>> rate([Written(0, 5.0), Written(100, 70.0), Written(400, 80.0)], now=81.0)
        30.0
        >>> print(rate([Written(0, 80.0), Written(400, 70.0)], now=81.0))  # files of a copied home
        None
    """
    recent = [one for one in written if one.at >= now - _SPAN_S]
    if len(recent) < 2 or recent[-1].at <= recent[0].at:
        return None
    return (recent[-1].offset - recent[0].offset) / (recent[-1].at - recent[0].at)


def _predicted(log: Log, partition: int) -> _Newest:
    """The newest record that was predicted."""
    end = log.end(PREDICTIONS, partition)
    if end == log.start(PREDICTIONS, partition):
        return _NONE
    (last,) = log.read(PREDICTIONS, partition, end - 1, max_records=1)
    return decoded(PREDICTIONS, partition, last, _Newest)


def _lag_s(log: Log, partition: int, position: int, end: int) -> float:
    position = max(position, log.start(EVENTS, partition))
    if position >= end:
        return 0.0
    first, last = (
        log.read(EVENTS, partition, offset, max_records=1)[0].append_time
        for offset in (position, end - 1)
    )
    return (last - first) / 1e6
