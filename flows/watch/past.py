"""The metrics of the past: the samples that a watcher would have taken at each tick of event time.

Only metrics that follow from `metrics`, `models`, `alerts` and `dead_letters` have a past. Their
names and labels are those of the watcher, so that its dashboards show the past too.
"""

import heapq
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import TypeVar

from flows.reports.counts import counts_of
from flows.reports.estimates import estimates_of
from flows.reports.status import Status
from flows.watch.metric import Metric
from flows.watch.metrics import TABLE
from flows.watch.sample import Events, Fits, LogSample, Quality, Sample, Tick
from flows.watch.tallies import ALERT_KINDS, REASONS, mean_shares, pooled
from flows.watch.watcher import fits_of, sources_of
from models.refit.fit_record import FitRecord
from state.log import Log, decoded
from state.outputs.records import Alert, Metrics
from state.topics import ALERTS, DEAD_LETTERS, METRICS, MODELS

T = TypeVar("T")
PAST: tuple[Metric, ...] = tuple(
    metric for metric in TABLE if metric.source in {ALERTS, DEAD_LETTERS, METRICS, MODELS}
)
"""The metrics that have a past."""

_AT_ONCE = 1_000


def past_samples(log: Log, fits: list[FitRecord]) -> Iterator[Sample]:
    """A sample at each tick, oldest first.

    Args:
        log: Log of the flow.
        fits: All decisions on models, by boundary.

    Raises:
        LogError: The log cannot be read, or a record is not one of its topic.
    """
    newest: dict[int, Metrics] = {}
    lately: list[Tick] = []
    alerts = sorted((alert.time, alert.kind) for alert in _alerts(log))
    kinds, told = Counter(dict.fromkeys(ALERT_KINDS, 0)), 0
    boundaries, so_far = [fit.boundary for fit in fits], fits_of([], 0)
    parts = [_ticks(log, partition) for partition in range(log.partitions(METRICS))]
    ticks = heapq.merge(*parts, key=itemgetter(0, 1))
    for time, of in groupby(ticks, itemgetter(0)):
        tick = {partition: metrics for _, partition, metrics in of}
        newest |= tick
        end = bisect_right(alerts, time, lo=told, key=itemgetter(0))
        kinds.update(kind for _, kind in alerts[told:end])
        told = end
        decided = bisect_right(boundaries, time)
        if decided != sum(so_far.decisions.values()):
            so_far = fits_of(fits[:decided], 0)
        current = [newest[partition] for partition in sorted(newest)]
        found = pooled(tick[partition].lately for partition in sorted(tick))
        lately = [Tick(time, found)] if found else lately  # the newest tick with labels
        yield _sample(time, current, lately, so_far, dict(kinds))


def _ticks(log: Log, partition: int) -> Iterator[tuple[int, int, Metrics]]:
    """The metrics of a partition, each after its time and partition."""
    for one in _records(log, METRICS, partition, Metrics):
        yield one.time, partition, one


def _alerts(log: Log) -> Iterator[Alert]:
    for partition in range(log.partitions(ALERTS)):
        yield from _records(log, ALERTS, partition, Alert)


def _records(log: Log, topic: str, partition: int, kind: type[T]) -> Iterator[T]:
    offset = log.start(topic, partition)
    while records := log.read(topic, partition, offset, max_records=_AT_ONCE):
        yield from (decoded(topic, partition, record, kind) for record in records)
        offset += len(records)


def _sample(
    time: int,
    newest: list[Metrics],
    lately: list[Tick],
    fits: Fits,
    alerts: dict[str, int],
) -> Sample:
    counts = counts_of(newest)
    assert counts is not None
    letters = dict.fromkeys(REASONS, 0) | counts.dead_letters
    log = LogSample(
        time / 1e6,
        Status([], {}, [], counts, newest, estimates_of(newest)),
        Quality(pooled(one.total for one in newest), lately, mean_shares(newest)),
        sources_of(newest),
        fits,
        Events(alerts, letters, [], 0),
        0.0,
        time,
        None,
    )
    return Sample(0, time / 1e6, "", "", 0.0, 0.0, log, "", 0.0, [], None, None, {}, 0)
