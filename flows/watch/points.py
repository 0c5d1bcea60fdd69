"""Points for a time series database, made from the records of topics, at their event times."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from models.refit.fit_record import FitRecord
from state.log import Record, decoded
from state.outputs.records import Alert, Metrics
from state.storage.artifact_chunks import is_supplement
from state.topics import ALERTS, METRICS, MODELS

PUSHED = (METRICS, ALERTS, MODELS)
"""The topics from which points are made."""


class Point(NamedTuple):
    """Values of one series at one time; the same record always gives the same points.

    Attributes:
        name: Name of the measurement.
        tags: Subjects of the series, by name.
        fields: Values by name.
        time_us: Event time (µs).
    """

    name: str
    tags: Mapping[str, str]
    fields: Mapping[str, float | int | str]
    time_us: int


def points_of(stream: str, topic: str, partition: int, record: Record) -> Iterator[Point]:
    """The points of a record.

    Args:
        stream: Name of the stream.
        topic: One of `PUSHED`.
        partition: Partition of the record.
        record: The record.

    Raises:
        LogError: The record is not one of this topic.
    """
    tags = {"stream": stream}
    if topic == METRICS:
        yield from _of_metrics(
            decoded(METRICS, partition, record, Metrics), tags | {"partition": str(partition)}
        )
    elif topic == ALERTS:
        alert = decoded(ALERTS, partition, record, Alert)
        about = {"kind": alert.kind, "partition": str(partition)}
        about |= {"source": alert.source} if alert.source else {}
        fields: dict[str, float | int | str] = {"count": 1, "message": alert.message}
        yield Point("headwater_alert", tags | about, fields, alert.time)
    elif not is_supplement(MODELS, record):
        fit = decoded(MODELS, partition, record, FitRecord)
        yield Point("headwater_fit", tags | {"status": fit.status}, _of_fit(fit), fit.boundary)


def _of_metrics(metrics: Metrics, tags: dict[str, str]) -> Iterator[Point]:
    counts = {
        name: getattr(metrics, name)
        for name in ("records", "requests", "labels", "pending", "unlabelled", "early")
    }
    yield Point("headwater_partition", tags, counts, metrics.time)
    for model, losses in metrics.lately.items():
        fields = {"labels": losses.n, "log_loss": losses.log_loss, "brier": losses.brier}
        yield Point("headwater_losses", tags | {"model": model}, fields, metrics.time)
    for reason, count in metrics.dead_letters.items():
        about = tags | {"reason": reason}
        yield Point("headwater_dead_letters", about, {"count": count}, metrics.time)
    for member, share in metrics.shares.items():
        yield Point("headwater_share", tags | {"member": member}, {"share": share}, metrics.time)
    for source, least_us in metrics.least_lag.items():
        fields = {"least_lag_s": least_us / 1e6}
        yield Point("headwater_source", tags | {"source": source}, fields, metrics.time)


def _of_fit(fit: FitRecord) -> dict[str, float | int | str]:
    fields: dict[str, float | int | str] = {"count": 1, "model": fit.model, "reason": fit.reason}
    if fit.window is not None:
        fields["rows"] = fit.window.rows
    if fit.metrics is not None:
        fields["log_loss"] = fit.metrics.log_loss
    if fit.champion_metrics is not None:
        fields["champion_log_loss"] = fit.champion_metrics.log_loss
    return fields
