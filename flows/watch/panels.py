"""The dashboards for Grafana as tables: each panel answers the question in its title."""

from typing import Literal, NamedTuple

Unit = Literal["short", "s", "bytes", "percentunit", "cps", "dateTimeFromNow", "percent"]


class Query(NamedTuple):
    """A line or a number of a panel.

    Attributes:
        expr: PromQL over metrics of the table.
        legend: Name in the legend, with labels as Grafana writes them.
    """

    expr: str
    legend: str = ""


class Panel(NamedTuple):
    """A panel.

    Attributes:
        title: A question.
        unit: Unit of the values, as Grafana names it.
        queries: Lines or numbers of the panel.
        red_from: Values from here on are red; None: there is no such limit.
        red_below: Values below are red; None: there is no such limit.
        big: One number to be read from three metres, instead of lines.
    """

    title: str
    unit: Unit
    queries: tuple[Query, ...]
    red_from: float | None = None
    red_below: float | None = None
    big: bool = False


class Dashboard(NamedTuple):
    """A dashboard; `uid` is how Grafana knows it again."""

    uid: str
    title: str
    panels: tuple[Panel, ...]


def _big(
    title: str,
    expr: str,
    unit: Unit = "short",
    *,
    red_from: float | None = None,
    red_below: float | None = None,
) -> Panel:
    return Panel(title, unit, (Query(expr),), red_from, red_below, big=True)


def _lines(title: str, unit: Unit, *queries: tuple[str, str]) -> Panel:
    return Panel(title, unit, tuple(Query(*query) for query in queries))


_OVERVIEW = Dashboard("headwater-overview", "Headwater: overview", (
    _big("Does the flow run?", 'sum(headwater_processes{role="flow"})', red_below=1),
    _big("Can the log be read?", "min(headwater_up)", red_below=1),
    _big("How far is it behind?", "max(headwater_lag_seconds)", "s", red_from=60),
    _big("How many records does it read a second?", "sum(rate(headwater_read_records_total[1m]))"),
    _big("How good are the newest answers (log-loss)?",
         'headwater_recent_log_loss{model="ensemble"}'),
    _big("How much disk is free?",
         "min(headwater_disk_free_bytes / headwater_disk_size_bytes)", "percentunit",
         red_below=0.05),
    _lines("Which alerts fire?", "short",
           ('ALERTS{alertname=~"Headwater.*", alertstate="firing"} or on() vector(0)',
            "{{alertname}}")),
    _lines("Do events come, and answers go?", "cps",
           ('rate(headwater_records_total{topic=~"events|predictions|outcomes"}[1m])',
            "{{topic}}")),
))  # fmt: skip
_LAG = Dashboard("headwater-lag", "Headwater: stream and lag", (
    _lines("Which partition is behind, in seconds?", "s",
           ("headwater_lag_seconds", "{{partition}}")),
    _lines("Which partition is behind, in records?", "short",
           ("headwater_lag_records", "{{partition}}")),
    _lines("How fast does each topic grow?", "cps",
           ("rate(headwater_records_total[1m])", "{{topic}}")),
    _lines("What is wrong with the bad records?", "cps",
           ("rate(headwater_dead_letters_total[5m])", "{{reason}}")),
    _lines("How old is each newest checkpoint?", "s",
           ("time() - headwater_checkpoint_time_seconds", "{{partition}}")),
    _lines("How much would a restart read again?", "short",
           ("headwater_checkpoint_behind_records", "{{partition}}")),
))  # fmt: skip
_QUALITY = Dashboard("headwater-quality", "Headwater: model quality", (
    _lines("Which model predicts best lately (log-loss)?", "short",
           ("headwater_recent_log_loss", "{{model}}")),
    _lines("Which model predicted best since the start (log-loss)?", "short",
           ("headwater_log_loss", "{{model}}")),
    _lines("How large are the squared errors lately (Brier)?", "short",
           ("headwater_recent_brier", "{{model}}")),
    _lines("Which members answer, with what share?", "percentunit",
           ("headwater_share", "{{member}}")),
    _lines("On how many labels do the newest figures rest?", "short",
           ("headwater_recent_labels", "{{model}}")),
    _lines("How good will the answers that wait be found (AUC)?", "short",
           ('headwater_expected{metric="auc"}', "expected"),
           ('headwater_expected_low{metric="auc"}', "at least"),
           ('headwater_expected_high{metric="auc"}', "at most"),
           ("headwater_expected_trusted", "1: to be relied on")),
    _lines("What came of the estimates (AUC)?", "short",
           ('headwater_judged_expected{metric="auc"}', "was expected"),
           ('headwater_judged_realised{metric="auc"}', "came")),
    _lines("How far off were the estimates of each metric?", "short",
           ("headwater_estimate_error", "{{metric}}")),
    _lines("How many requests wait to be judged?", "short",
           ("headwater_expected_requests", "requests")),
    _lines("Which metrics are beyond their lines?", "short",
           ("headwater_metric_alerts", "{{metric}}")),
    _lines("How many columns have faults, or drift?", "short",
           ("headwater_data_faults", "{{kind}}"),
           ("headwater_drifting_columns", "other values than in training")),
    _lines("Do labels come?", "s",
           ("headwater_labels_behind_seconds", "newest label behind newest prediction"),
           ("headwater_label_delay_seconds", "delay of the stream")),
))  # fmt: skip
_LIFE = Dashboard("headwater-models", "Headwater: model life", (
    _lines("What became of the fits?", "short", ("headwater_fits_total", "{{decision}}")),
    _lines("Do fits fail again and again?", "short",
           ("headwater_fits_failed_in_a_row", "failed in a row"),
           ("headwater_fits_pending", "pending")),
    _lines("How old is the champion, by event time?", "s",
           ("headwater_model_age_seconds", "age")),
    _lines("Which model does each partition use?", "short",
           ("headwater_partition_model", "{{partition}}: {{model}}")),
))  # fmt: skip
_SOURCES = Dashboard("headwater-sources", "Headwater: sources and clocks", (
    _lines("Whose clock is ahead (below 0)?", "s",
           ("headwater_source_least_lag_seconds", "{{source}}")),
    _lines("How many sources are there?", "short", ("headwater_sources", "sources")),
    _lines("Which alerts did the flow write?", "short", ("headwater_alerts_total", "{{kind}}")),
    _lines("How many labels or requests wait?", "short",
           ("headwater_pending_requests", "requests for a label"),
           ("headwater_early_labels", "labels for a request")),
))  # fmt: skip
_MACHINE = Dashboard("headwater-machine", "Headwater: machine", (
    _lines("How many cores does each process use?", "short",
           ("rate(headwater_process_cpu_seconds_total[1m])", "{{role}} {{pid}}")),
    _lines("How much memory does each process hold?", "bytes",
           ("headwater_process_memory_bytes", "{{role}} {{pid}}")),
    _lines("Do descriptors leak?", "short",
           ("headwater_process_descriptors", "{{role}} {{pid}}")),
    _lines("Do threads leak?", "short", ("headwater_process_threads", "{{role}} {{pid}}")),
    _lines("Which part of the home grows?", "bytes", ("headwater_home_bytes", "{{part}}")),
    _lines("When is the disk full?", "bytes",
           ("headwater_disk_free_bytes", "free"),
           ("predict_linear(headwater_disk_free_bytes[1h], 6 * 3600)", "free in 6 hours")),
    _lines("How large are the checkpoints?", "bytes",
           ("headwater_checkpoint_bytes", "{{partition}}")),
    _lines("Is the H2O cluster healthy?", "short", ("headwater_h2o_up", "healthy")),
))  # fmt: skip
_KAFKA = Dashboard("headwater-kafka", "Headwater: Kafka", (
    _lines("How many brokers answer?", "short", ("headwater_kafka_brokers", "brokers")),
    _lines("Are there copies enough, and leaders?", "short",
           ("headwater_kafka_under_replicated_partitions", "too few copies"),
           ("headwater_kafka_leaderless_partitions", "no leader")),
    _lines("Does an open transaction hide records?", "short",
           ("headwater_kafka_blocked_partitions", "partitions")),
    _lines("How many partitions are there?", "short",
           ("headwater_kafka_partitions", "partitions")),
))  # fmt: skip
_SERVING = Dashboard("headwater-serving", "Headwater: serving", (
    _lines("How stale are the answers?", "s", ("headwater_scorer_behind_seconds", "{{instance}}")),
    _lines("How many rows are scored a second?", "cps",
           ("rate(headwater_http_scored_total[1m])", "{{instance}}")),
    _lines("How many requests are in flight?", "short",
           ("headwater_http_running", "{{instance}}")),
    _lines("Is a scorer in trouble?", "short", ("headwater_scorer_trouble", "{{instance}}")),
))  # fmt: skip

DASHBOARDS = (_OVERVIEW, _QUALITY, _LIFE, _LAG, _SOURCES, _KAFKA, _SERVING, _MACHINE)
"""The first is the one for a wall."""
