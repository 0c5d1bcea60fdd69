"""Metrics of the watcher, the partitions and the records."""

from collections.abc import Callable
from importlib.metadata import version

from flows.watch.metric import Metric, each, of_log, one
from flows.watch.sample import LogSample

_MOST_NAME = 64


def _counted(name: str) -> Callable[[LogSample], float | None]:
    """A sum over the partitions' newest metrics."""
    return lambda log: None if log.status.counts is None else getattr(log.status.counts, name)


def _seconds(us: int | None) -> float | None:
    return None if us is None else us / 1e6


WATCH = (
    Metric(
        "headwater_up", "gauge", "", "1 if the log could be read at the newest look.", (), "log",
        one(lambda sample: not sample.trouble),
    ),
    Metric(
        "headwater_info", "gauge", "", "1; stream, log and version stand in the labels.",
        ("stream", "log", "version"), "settings",
        lambda sample: [((sample.stream, sample.backend, version("headwater")), 1)],
    ),
    Metric(
        "headwater_looked_time_seconds", "gauge", "time", "When the watcher last looked.", (),
        "watch", one(lambda sample: sample.at),
    ),
    Metric(
        "headwater_log_read_time_seconds", "gauge", "time", "When the log was last read.", (),
        "log", of_log(lambda log: log.at),
    ),
    Metric(
        "headwater_look_seconds", "gauge", "s", "Duration of the newest look.", (), "watch",
        one(lambda sample: sample.seconds),
    ),
    Metric(
        "headwater_unread_records", "gauge", "records",
        "Alerts, dead letters and metrics that the watcher has yet to count.", (), "watch",
        of_log(lambda log: log.events.unread),
    ),
)  # fmt: skip

PARTITIONS = (
    Metric(
        "headwater_end_offset", "gauge", "records", "End of the partition of events.",
        ("partition",), "events",
        each(lambda log: [(p.partition, p.end) for p in log.status.partitions]),
    ),
    Metric(
        "headwater_position_offset", "gauge", "records", "The next record that the flow reads.",
        ("partition",), "predictions, checkpoints",
        each(lambda log: [(p.partition, p.position) for p in log.status.partitions]),
    ),
    Metric(
        "headwater_lag_records", "gauge", "records", "Records that are left to read.",
        ("partition",), "events",
        each(lambda log: [(p.partition, p.lag) for p in log.status.partitions]),
    ),
    Metric(
        "headwater_lag_seconds", "gauge", "s",
        "Append time between the next record to read and the newest.", ("partition",), "events",
        each(lambda log: [(p.partition, p.lag_s) for p in log.status.partitions]),
    ),
    Metric(
        "headwater_event_time_seconds", "gauge", "time", "Event time of the newest prediction.",
        ("partition",), "predictions",
        each(lambda log: [(p.partition, _seconds(p.event_time)) for p in log.status.partitions]),
    ),
    Metric(
        "headwater_partition_model", "gauge", "", "1; the offline model in use is a label.",
        ("partition", "model"), "activations",
        lambda sample: [
            ((str(p.partition), p.model), 1)
            for p in (sample.log.status.partitions if sample.log else ())
            if p.model
        ],
    ),
    Metric(
        "headwater_checkpoint_time_seconds", "gauge", "time", "When the newest was written.",
        ("partition",), "checkpoints",
        each(
            lambda log: [(p.partition, c.at) for p in log.status.partitions if (c := p.checkpoint)]
        ),
    ),
    Metric(
        "headwater_checkpoint_bytes", "gauge", "bytes", "Size of the newest checkpoint.",
        ("partition",), "checkpoints",
        each(
            lambda log: [
                (p.partition, c.size) for p in log.status.partitions if (c := p.checkpoint)
            ]
        ),
    ),
    Metric(
        "headwater_checkpoint_behind_records", "gauge", "records",
        "Records that were read since the newest checkpoint: a restart reads them again.",
        ("partition",), "checkpoints",
        each(
            lambda log: [
                (p.partition, p.position - (p.checkpoint.offset if p.checkpoint else 0))
                for p in log.status.partitions
            ]
        ),
    ),
)  # fmt: skip

RECORDS = (
    Metric(
        "headwater_records_total", "counter", "records", "Records ever appended to the topic.",
        ("topic",), "all topics", each(lambda log: log.status.ends.items()),
    ),
    Metric(
        "headwater_read_records_total", "counter", "records", "Records of events that were read.",
        (), "predictions, checkpoints",
        of_log(lambda log: sum(p.position for p in log.status.partitions)),
    ),
    Metric(
        "headwater_requests_total", "counter", "records", "Requests scored, up to the newest tick.",
        (), "metrics", of_log(_counted("requests")),
    ),
    Metric(
        "headwater_labels_total", "counter", "records", "Labels known, up to the newest tick.",
        (), "metrics", of_log(_counted("labels")),
    ),
    Metric(
        "headwater_unlabelled_requests_total", "counter", "records",
        "Requests forgotten because no label came.", (), "metrics",
        of_log(_counted("unlabelled")),
    ),
    Metric(
        "headwater_pending_requests", "gauge", "records", "Requests whose label is awaited.",
        (), "metrics", of_log(_counted("pending")),
    ),
    Metric(
        "headwater_early_labels", "gauge", "records", "Labels that wait for their request.",
        (), "metrics", of_log(_counted("early")),
    ),
    Metric(
        "headwater_labels_behind_seconds", "gauge", "s",
        "Append time from the newest outcome to the newest prediction.", (),
        "predictions, outcomes", of_log(lambda log: log.labels_behind_s),
    ),
    Metric(
        "headwater_label_delay_seconds", "gauge", "s",
        "The longest time from a request to its label, as the stream declares it.", (), "stream",
        one(lambda sample: sample.label_delay_s),
    ),
    Metric(
        "headwater_dead_letters_total", "counter", "records", "Dead letters by reason.",
        ("reason",), "dead_letters", each(lambda log: log.events.dead_letters.items()),
    ),
    Metric(
        "headwater_alerts_total", "counter", "records", "Records of the topic alerts by kind.",
        ("kind",), "alerts", each(lambda log: log.events.alerts.items()),
    ),
)  # fmt: skip

SOURCES = (
    Metric(
        "headwater_sources", "gauge", "", "Sources of events in the newest metrics.", (),
        "metrics", of_log(lambda log: log.sources.count),
    ),
    Metric(
        "headwater_source_least_lag_seconds", "gauge", "s",
        "Least append time less event time, of the 50 worst sources; negative: the clock is ahead.",
        ("source",), "metrics",
        each(lambda log: [(s[:_MOST_NAME], lag) for s, lag in log.sources.least_lag_s.items()]),
    ),
    Metric(
        "headwater_clock_notice_seconds", "gauge", "s",
        "A clock that is ahead by more is reported.", (), "settings",
        one(lambda sample: sample.clock_notice_s),
    ),
)  # fmt: skip
