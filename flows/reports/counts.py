"""Counts of all partitions, from the newest metrics of each."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from state.log import Log, decoded
from state.outputs.records import Metrics


class Counts(msgspec.Struct, frozen=True):
    """Sums over the partitions, each at its newest metrics record.

    Attributes:
        requests: Number of scored requests.
        labels: Number of known labels.
        pending: Number of requests that wait for their label.
        unlabelled: Number of requests dropped without a label, if silence is not a label.
        early: Number of label events that wait for their request.
        dead_letters: Number of dead letters, by reason.
    """

    requests: int
    labels: int
    pending: int
    unlabelled: int
    early: int
    dead_letters: dict[str, int]


def newest_metrics(log: Log) -> list[Metrics]:
    """The newest metrics of each partition that has some."""
    found = (newest_metrics_of(log, partition) for partition in range(log.partitions("metrics")))
    return [newest for newest in found if newest is not None]


def newest_metrics_of(log: Log, partition: int) -> Metrics | None:
    """The newest metrics of a partition; None before its first."""
    end = log.end("metrics", partition)
    if end <= log.start("metrics", partition):
        return None
    (newest,) = log.read("metrics", partition, end - 1, max_records=1)
    return decoded("metrics", partition, newest, Metrics)


def counts_of(newest: Sequence[Metrics]) -> Counts | None:
    """The sums of what `newest_metrics` found; None before the first metrics."""
    if not newest:
        return None
    letters: Counter[str] = Counter()
    for one in newest:
        letters.update(one.dead_letters)
    return Counts(
        sum(one.requests for one in newest),
        sum(one.labels for one in newest),
        sum(one.pending for one in newest),
        sum(one.unlabelled for one in newest),
        sum(one.early for one in newest),
        dict(letters),
    )
