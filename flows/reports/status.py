"""Status of a flow, read from its log and the names of its checkpoints."""

from collections.abc import Sequence
from contextlib import suppress

import msgspec

from flows.reports.counts import Counts, counts_of
from operators.partition.journal import Journal
from operators.training.model_registry import ModelRegistry
from operators.training.training_cuts import TrainingCuts
from state.checkpoints.store import CheckpointStore, Written
from state.log import EVENTS, Log, UnknownTopicError, decoded
from state.topics import PREDICTIONS

_SPAN_S = 60.0


class _RequestOffset(msgspec.Struct):
    """The one field of a prediction that is needed here."""

    offset: int


class PartitionStatus(msgspec.Struct, frozen=True):
    """Status of one partition of `events`.

    Attributes:
        partition: The partition.
        end: End offset of the log.
        position: Offset of the next record, by the newest checkpoint or prediction.
        lag: Number of records left to read.
        lag_s: Seconds of append time from the next record to the newest.
        per_s: Records per second by the last minute's checkpoints; None: there are fewer than two.
        model: Id of the offline model in use.
    """

    partition: int
    end: int
    position: int
    lag: int
    lag_s: float
    per_s: float | None
    model: str | None


class Status(msgspec.Struct, frozen=True):
    """Status of a whole flow.

    Attributes:
        partitions: Status of each partition of `events`.
        ends: Sum of the partitions' end offsets, by topic.
        pending_fits: Boundaries (µs) that all partitions have passed but training has not decided.
        counts: Requests, labels and dead letters by the newest metrics; None: there are none yet.
    """

    partitions: list[PartitionStatus]
    ends: dict[str, int]
    pending_fits: list[int]
    counts: Counts | None


def status_of(log: Log, store: CheckpointStore, topics: Sequence[str], now: float) -> Status:
    """Read the status of a flow; nothing is written.

    Args:
        log: The flow's log.
        store: The flow's checkpoints, including those in a checkpoint store.
        topics: Topics whose end offsets are wanted.
        now: Unix time, seconds.
    """
    parts = [_partition(log, store, p, now) for p in range(log.partitions(EVENTS))]
    ends = {}
    for topic in topics:
        with suppress(UnknownTopicError):  # an older log may lack the newest topics
            ends[topic] = sum(log.end(topic, p) for p in range(log.partitions(topic)))
    return Status(parts, ends, _pending_fits(log), counts_of(log))


def rate(written: Sequence[Written], now: float) -> float | None:
    """Records per second between the checkpoints of the last minute.

    Example:
        >>> rate([Written(0, 5.0), Written(100, 70.0), Written(400, 80.0)], now=81.0)
        30.0
    """
    recent = [one for one in written if one.at >= now - _SPAN_S]
    if len(recent) < 2 or recent[-1].at == recent[0].at:
        return None
    return (recent[-1].offset - recent[0].offset) / (recent[-1].at - recent[0].at)


def _partition(log: Log, store: CheckpointStore, partition: int, now: float) -> PartitionStatus:
    written = store.written(partition)
    # Read the end last, as the flow may append meanwhile.
    position = max(_predicted(log, partition), store.newest_offset(partition))
    active = Journal(log, partition).active
    end = log.end(EVENTS, partition)
    return PartitionStatus(
        partition,
        end,
        position,
        max(end - position, 0),
        _lag_s(log, partition, position, end),
        rate(written, now),
        active.model if active else None,
    )


def _predicted(log: Log, partition: int) -> int:
    """The offset after the newest request that was predicted."""
    end = log.end(PREDICTIONS, partition)
    if end == log.start(PREDICTIONS, partition):
        return 0
    (last,) = log.read(PREDICTIONS, partition, end - 1, max_records=1)
    return decoded(PREDICTIONS, partition, last, _RequestOffset).offset + 1


def _lag_s(log: Log, partition: int, position: int, end: int) -> float:
    position = max(position, log.start(EVENTS, partition))
    if position >= end:
        return 0.0
    first, last = (
        log.read(EVENTS, partition, offset, max_records=1)[0].append_time
        for offset in (position, end - 1)
    )
    return (last - first) / 1e6


def _pending_fits(log: Log) -> list[int]:
    snapshots, pending = TrainingCuts(log), []
    snapshots.refresh()
    boundary = snapshots.due(ModelRegistry(log).decided())
    while boundary:
        pending.append(boundary)
        boundary = snapshots.due(boundary)
    return pending
