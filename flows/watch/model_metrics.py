"""Metrics of the models: how good they are, and what became of their fits."""

from flows.reports.column_lines import drifting, fault_counts
from flows.reports.metric_lines import crossed
from flows.watch.metric import Metric, each, of_log
from flows.watch.sample import LogSample


def _tick_s(log: LogSample) -> float | None:
    return max((one.time / 1e6 for one in log.status.newest), default=None)


def _model_age_s(log: LogSample) -> float | None:
    """Age of the champion by event time; None before the first champion."""
    if not log.fits.champion or not log.newest_event_time:
        return None
    return (log.newest_event_time - log.fits.champion_boundary) / 1e6


QUALITY = (
    Metric(
        "headwater_log_loss", "gauge", "nats", "Mean log-loss since the first record.", ("model",),
        "metrics", each(lambda log: [(m, of.log_loss) for m, of in log.quality.total.items()]),
    ),
    Metric(
        "headwater_brier", "gauge", "", "Mean squared error since the first record.", ("model",),
        "metrics", each(lambda log: [(m, of.brier) for m, of in log.quality.total.items()]),
    ),
    Metric(
        "headwater_judged_labels", "gauge", "records", "Labels behind these means.", ("model",),
        "metrics", each(lambda log: [(m, of.n) for m, of in log.quality.total.items()]),
    ),
    Metric(
        "headwater_recent_log_loss", "gauge", "nats", "Mean log-loss of the newest tick.",
        ("model",), "metrics",
        each(lambda log: [(m, of.log_loss) for m, of in log.quality.lately.items()]),
    ),
    Metric(
        "headwater_recent_brier", "gauge", "", "Mean squared error of the newest tick.",
        ("model",), "metrics",
        each(lambda log: [(m, of.brier) for m, of in log.quality.lately.items()]),
    ),
    Metric(
        "headwater_recent_labels", "gauge", "records", "Labels of the newest tick.", ("model",),
        "metrics", each(lambda log: [(m, of.n) for m, of in log.quality.lately.items()]),
    ),
    Metric(
        "headwater_tick_time_seconds", "gauge", "time", "Event time of the newest tick.", (),
        "metrics",
        of_log(_tick_s),
    ),
    Metric(
        "headwater_share", "gauge", "ratio", "Mean share of the members in the answers.",
        ("member",), "metrics", each(lambda log: log.quality.shares.items()),
    ),
    Metric(
        "headwater_metric_alerts", "gauge", "",
        "Partitions in which a metric is beyond its line in `alerts`.", ("metric",), "metrics",
        each(lambda log: crossed(log.status.newest).items()),
    ),
    Metric(
        "headwater_data_faults", "gauge", "", "Columns with a fault, in all partitions.", ("kind",),
        "metrics", each(lambda log: fault_counts(log.status.newest).items()),
    ),
    Metric(
        "headwater_drifting_columns", "gauge", "",
        "Columns with other values than in training, but no fault.", (), "metrics",
        of_log(lambda log: drifting(log.status.newest)),
    ),
)  # fmt: skip

MODELS = (
    Metric(
        "headwater_fits_total", "counter", "", "Boundaries by what was decided of their fit.",
        ("decision",), "models", each(lambda log: log.fits.decisions.items()),
    ),
    Metric(
        "headwater_fits_failed_in_a_row", "gauge", "", "How many of the newest fits failed.", (),
        "models", of_log(lambda log: log.fits.failed_in_a_row),
    ),
    Metric(
        "headwater_fits_pending", "gauge", "", "Boundaries that wait for their fit.", (),
        "snapshots, models", of_log(lambda log: log.fits.pending),
    ),
    Metric(
        "headwater_champion", "gauge", "", "1; the id of the model promoted last is a label.",
        ("model",), "models",
        each(lambda log: [(log.fits.champion, 1)] if log.fits.champion else []),
    ),
    Metric(
        "headwater_model_age_seconds", "gauge", "s",
        "Event time of the newest prediction less the boundary of the champion.", (), "models",
        of_log(_model_age_s),
    ),
)  # fmt: skip
