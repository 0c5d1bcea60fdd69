"""The view: what a person sees of a sample, in the terminal and in the browser."""

import msgspec

from flows.home.heartbeat import Usage
from flows.reports.estimates import Estimates
from flows.watch.rules import RULES
from flows.watch.sample import AlertLine, LogSample, Sample
from state.outputs.records import Losses

_SOURCES = 5


class Problem(msgspec.Struct, frozen=True):
    """A rule that a sample meets.

    Attributes:
        name: Name of the rule and of its runbook paragraph.
        severity: `page` or `ticket`.
        text: A sentence with figures.
    """

    name: str
    severity: str
    text: str


class PartitionRow(msgspec.Struct, frozen=True):
    """A partition; times in seconds."""

    partition: int
    end: int
    lag: int
    lag_s: float
    checkpoint_age_s: float | None
    model: str


class ModelRow(msgspec.Struct, frozen=True):
    """A model's log-loss: since the start, in the newest tick, and tick by tick."""

    model: str
    total: float | None
    recent: float | None
    labels: int
    series: list[float | None]


class TopicRow(msgspec.Struct, frozen=True):
    """A topic."""

    topic: str
    records: int
    per_s: float | None


class View(msgspec.Struct, frozen=True):
    """Everything, the most important first.

    Attributes:
        at: Unix time of the look.
        stream: Name of the stream.
        backend: `sqlite` or `kafka`.
        read_age_s: Since the log was last read; None: it never was.
        problems: Rules that the sample meets; empty: all is well.
        partitions: Position and lag of the partitions of `events`.
        read_per_s: Records that the flow reads per second.
        models: Quality of the models, the ensemble first.
        estimates: Estimates before labels, and the outcome of earlier ones.
        shares: Shares of the kinds of members in the ensemble, the largest first.
        champion: Id of the model promoted last.
        fits: Number of fits by decision, and of pending fits.
        topics: Topics with their rates.
        dead_letters: Number of dead letters by reason, for reasons that occurred.
        alerts: Alerts, the newest first.
        sources: Sources with the worst clocks: least lag in seconds.
        processes: Running processes.
        disk_free: Free bytes on the home's disk.
        disk_size: Size of the home's disk, bytes.
    """

    at: float
    stream: str
    backend: str
    read_age_s: float | None
    problems: list[Problem]
    partitions: list[PartitionRow]
    read_per_s: float | None
    models: list[ModelRow]
    estimates: Estimates
    shares: dict[str, float]
    champion: str
    fits: dict[str, int]
    topics: list[TopicRow]
    dead_letters: dict[str, int]
    alerts: list[AlertLine]
    sources: dict[str, float]
    processes: list[Usage]
    disk_free: int | None
    disk_size: int | None


def view_of(sample: Sample) -> View:
    """The view of a sample."""
    log = sample.log
    return View(
        at=sample.at,
        stream=sample.stream,
        backend=sample.backend,
        read_age_s=sample.at - log.at if log else None,
        problems=problems_of(sample),
        partitions=_partitions(sample, log) if log else [],
        read_per_s=sample.rates.get("read"),
        models=_models(log) if log else [],
        estimates=log.status.estimates if log else Estimates(),
        shares=_shares(log) if log else {},
        champion=log.fits.champion if log else "",
        fits=log.fits.decisions | {"pending": log.fits.pending} if log else {},
        topics=_topics(sample, log) if log else [],
        dead_letters={r: n for r, n in log.events.dead_letters.items() if n} if log else {},
        alerts=log.events.newest[::-1] if log else [],
        sources=dict(list(log.sources.least_lag_s.items())[:_SOURCES]) if log else {},
        processes=[one for beat in sample.beats for one in beat.processes],
        disk_free=sample.disk.free if sample.disk else None,
        disk_size=sample.disk.size if sample.disk else None,
    )


def problems_of(sample: Sample) -> list[Problem]:
    """The rules that a sample meets, in the table's order."""
    seen = ((rule, rule.seen(sample)) for rule in RULES)
    return [Problem(rule.name, rule.severity, text) for rule, text in seen if text]


def _partitions(sample: Sample, log: LogSample) -> list[PartitionRow]:
    return [
        PartitionRow(
            one.partition,
            one.end,
            one.lag,
            one.lag_s,
            sample.at - one.checkpoint.at if one.checkpoint else None,
            one.model or "",
        )
        for one in log.status.partitions
    ]


def _models(log: LogSample) -> list[ModelRow]:
    quality = log.quality
    return [
        ModelRow(
            model,
            losses.log_loss,
            _loss(quality.lately.get(model)),
            losses.n,
            [_loss(tick.lately.get(model)) for tick in quality.ticks],
        )
        for model, losses in quality.total.items()
    ]


def _loss(losses: Losses | None) -> float | None:
    return losses.log_loss if losses else None


def _shares(log: LogSample) -> dict[str, float]:
    shares = ((name, share) for name, share in log.quality.shares.items() if share > 0)
    return dict(sorted(shares, key=lambda item: -item[1]))


def _topics(sample: Sample, log: LogSample) -> list[TopicRow]:
    ends = log.status.ends.items()
    return [TopicRow(topic, end, sample.rates.get(topic)) for topic, end in ends]
