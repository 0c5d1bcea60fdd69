"""The table of alert rules; README.md of this folder has a runbook paragraph for each."""

from flows.reports.column_lines import column_lines
from flows.reports.metric_lines import line_text, states_of
from flows.watch.rule import Rule, in_log, never
from flows.watch.sample import LogSample, Sample

_RUNS = 'on(instance, job) headwater_processes{role="flow"} > 0'


def _flow_down(sample: Sample) -> str:
    return "" if sample.count("flow") else "no process of the flow lives"


def _lag_growing(sample: Sample, log: LogSample) -> str:
    worst = max(log.status.partitions, key=lambda one: one.lag_s)
    if not sample.count("flow") or worst.lag_s <= 60 or sample.lag_change <= 0:
        return ""
    return f"partition {worst.partition} is {worst.lag_s:,.0f} s behind, and the lag grows"


def _no_labels(sample: Sample, log: LogSample) -> str:
    limit = 2 * sample.label_delay_s + 600
    if log.labels_behind_s <= limit:
        return ""
    return f"the newest label is {log.labels_behind_s:,.0f} s older than the newest prediction"


def _clock_ahead(sample: Sample, log: LogSample) -> str:
    ahead = {s: -lag for s, lag in log.sources.least_lag_s.items() if -lag > sample.clock_notice_s}
    if not ahead:
        return ""
    worst = max(ahead, key=lambda source: ahead[source])
    return f"source {worst or '-'} is {ahead[worst]:,.1f} s ahead ({len(ahead)} sources are ahead)"


def _dead_letters(sample: Sample, log: LogSample) -> str:
    letters, read = sample.rates.get("dead_letters", 0.0), sample.rates.get("read", 0.0)
    if letters <= 0.05 * read or letters * 60 <= 10:
        return ""
    reason = max(log.events.dead_letters.items(), key=lambda item: item[1])[0]
    return f"{letters:,.1f} dead letters/s of {read:,.1f} records/s, most of them {reason}"


def _fits_failed(_: Sample, log: LogSample) -> str:
    failed = log.fits.failed_in_a_row
    return f"the last {failed} fits failed" if failed >= 2 else ""


def _checkpoint_old(sample: Sample, log: LogSample) -> str:
    old = [
        one
        for one in log.status.partitions
        if one.checkpoint
        and one.position > one.checkpoint.offset
        and sample.at - one.checkpoint.at > 600
    ]
    if not old or not sample.count("flow"):
        return ""
    return f"{len(old)} partitions have read on for more than 10 minutes since their checkpoint"


def _disk_filling(sample: Sample) -> str:
    disk = sample.disk
    if disk is None or disk.free >= 0.05 * disk.size:
        return ""
    return f"{disk.free / 2**30:,.1f} GiB are free of {disk.size / 2**30:,.1f} GiB"


def _quality_worse(_: Sample, log: LogSample) -> str:
    lately, total = log.quality.lately.get("ensemble"), log.quality.total.get("ensemble")
    if not lately or not total or lately.n < 200 or lately.log_loss <= 1.25 * total.log_loss:
        return ""
    return (
        f"log-loss {lately.log_loss:.4f} in the newest tick, {total.log_loss:.4f} since the start"
    )


def _beyond_line(_: Sample, log: LogSample) -> str:
    beyond = {
        metric: states
        for metric, states in states_of(log.status.newest).items()
        if any(one.fires for one in states)
    }
    return ", ".join(line_text(metric, states) for metric, states in beyond.items())


def _data_fault(_: Sample, log: LogSample) -> str:
    lines = column_lines(log.status.newest)
    return ", ".join(f"{line.column}: {line.words}" for line in lines if line.faults)


def _under_replicated(_: Sample, log: LogSample) -> str:
    few = log.kafka.under_replicated if log.kafka else 0
    return f"{few} partitions have too few copies in sync" if few else ""


def _blocked(_: Sample, log: LogSample) -> str:
    blocked = log.kafka.blocked if log.kafka else 0
    return f"{blocked} partitions wait for a transaction that was never ended" if blocked else ""


RULES: tuple[Rule, ...] = (
    Rule(
        "HeadwaterWatchDown", "absent(headwater_up) or time() - headwater_looked_time_seconds > 60",
        "1m", "page",
        "Prometheus gets no metrics of Headwater.", never,
    ),
    Rule(
        "HeadwaterLogUnreadable", "headwater_up == 0", "1m", "page",
        "The log cannot be read.", lambda sample: sample.trouble,
    ),
    Rule(
        "HeadwaterFlowDown", 'headwater_processes{role="flow"} == 0', "1m", "page",
        "No process of the flow lives.", _flow_down,
    ),
    Rule(
        "HeadwaterLagGrowing",
        "min_over_time(headwater_lag_seconds[5m]) > 60\n"
        f"and headwater_lag_records > headwater_lag_records offset 5m\nand {_RUNS}",
        "1m", "page", "The flow falls behind the log.", in_log(_lag_growing),
    ),
    Rule(
        "HeadwaterNoLabels",
        "headwater_labels_behind_seconds > 2 * headwater_label_delay_seconds + 600", "1m", "page",
        "Requests come, and no labels.", in_log(_no_labels),
    ),
    Rule(
        "HeadwaterLabelsBySilence",
        'increase(headwater_alerts_total{kind="labels_by_silence"}[1h]) > 0', "0m", "ticket",
        "Most labels come by silence although label events come.", never,
    ),
    Rule(
        "HeadwaterClockAhead",
        "headwater_source_least_lag_seconds"
        " + on(instance, job) group_left() headwater_clock_notice_seconds < 0\n"
        'or increase(headwater_alerts_total{kind="clock_ahead"}[15m]) > 0',
        "0m", "ticket", "The clock of a source is ahead.", in_log(_clock_ahead),
    ),
    Rule(
        "HeadwaterDeadLetters",
        'increase(headwater_records_total{topic="dead_letters"}[10m])\n'
        "  > on(instance, job) 0.05 * increase(headwater_read_records_total[10m])\n"
        'and on(instance, job) increase(headwater_records_total{topic="dead_letters"}[10m]) > 10',
        "1m", "ticket", "More than 5 % of the records are bad.", in_log(_dead_letters),
    ),
    Rule(
        "HeadwaterFitFailedTwice", "headwater_fits_failed_in_a_row >= 2", "0m", "ticket",
        "The newest two fits failed.", in_log(_fits_failed),
    ),
    Rule(
        "HeadwaterCheckpointOld",
        "time() - headwater_checkpoint_time_seconds > 600\n"
        f"and headwater_checkpoint_behind_records > 0\nand {_RUNS}",
        "1m", "ticket", "A partition reads on without a checkpoint.", in_log(_checkpoint_old),
    ),
    Rule(
        "HeadwaterDiskFilling",
        "headwater_disk_free_bytes < 0.05 * headwater_disk_size_bytes\n"
        "or predict_linear(headwater_disk_free_bytes[1h], 6 * 3600) < 0\n"
        "  and headwater_disk_free_bytes < 0.2 * headwater_disk_size_bytes\n"
        "  and headwater_disk_free_bytes offset 30m >= 0",  # a pace of minutes foretells nothing
        "1m", "page", "The disk of the home is full soon.", _disk_filling,
    ),
    Rule(
        "HeadwaterScorerStale",
        "headwater_scorer_behind_seconds > 60 or headwater_scorer_trouble > 0", "1m", "page",
        "A scoring service is behind the log, or in trouble.", never,
    ),
    Rule(
        "HeadwaterQualityWorse",
        'headwater_recent_log_loss{model="ensemble"} > 1.25 * headwater_log_loss\n'
        "and headwater_recent_labels >= 200",
        "1m", "ticket", "The newest log-loss is more than 25 % above that since the start.",
        in_log(_quality_worse),
    ),
    Rule(
        "HeadwaterMetricBeyondLine", "headwater_metric_alerts > 0", "0m", "ticket",
        "A metric is beyond its line in the settings.", in_log(_beyond_line),
    ),
    Rule(
        "HeadwaterDataFault", "headwater_data_faults > 0", "0m", "ticket",
        "Columns have faults that the training window did not have.", in_log(_data_fault),
    ),
    Rule(
        "HeadwaterKafkaUnderReplicated", "headwater_kafka_under_replicated_partitions > 0", "5m",
        "ticket", "Kafka has too few copies of some partitions.", in_log(_under_replicated),
    ),
    Rule(
        "HeadwaterKafkaBlocked", "headwater_kafka_blocked_partitions > 0", "1m", "page",
        "An open transaction hides newer records from the flow.", in_log(_blocked),
    ),
)  # fmt: skip
"""The most important first."""
