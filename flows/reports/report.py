"""The facts of a report on a log: quality, weights, events, labels, cost, reasons."""

from typing import NamedTuple

import numpy as np
import polars as pl

from flows.home.deployment import Deployment
from flows.reports import column_history
from flows.reports.answers import FROZEN, Answers, answers_of
from flows.reports.column_history import ColumnsOverTime, columns_over_time
from flows.reports.mixture import COLUMNS, weights
from flows.reports.offline_model import Loaded, usable, vectors
from flows.reports.periods import Periods, Times, aucs, expected_aucs, means, periods_of
from flows.reports.scorecard import ScorecardReport, scorecard_of
from flows.reports.silence import SilentShare, silent_share
from flows.reports.topic_frames import Progress, topic_frames
from flows.reports.wins import Compared, Win, cheaper, costs, win
from models.judging.histograms import Estimate
from models.judging.importance import MeanEffect, mean_effects, spread
from models.refit.fit_record import FitRecord
from models.scorecard import Floats, log_losses
from state.events import DAY_US
from state.outputs.records import Alert
from state.topics import ALERTS, METRICS

PARTS = ("online", "offline", "residual")
_ROWS_OF_REASONS = 2_000


class Report(NamedTuple):
    """The facts.

    Attributes:
        answers: The answers that count.
        labels: 0 or 1, by event time.
        times: Event times, µs UTC.
        periods: Periods of the pictures.
        share: Share of label 1.
        loss: Mean log-loss by period, of the ensemble, its parts and the frozen first model.
        base_loss: Log-loss by period of always saying `share`.
        auc: AUC by period, likewise.
        foreseen: AUC to be expected of the answers before their labels, by period.
        wins: The ensemble against `base`, the frozen model and the parts.
        always: The cheaper decision if it were the same on all requests.
        saved: Cost saved until the end of each period, against `base` and the frozen model.
        said: Mean probability by period.
        silent: Share of labels by silence, by period.
        weights: Weights of the mixture by period.
        decisions: Decisions on models within the time.
        champion: Id of the model that has the title now; None: there is none.
        rollbacks: Boundaries after which a person took an earlier model, µs UTC.
        alerts: Alerts within the time.
        scorecard: Scorecard of the ensemble.
        effects: Mean effects of columns on the newest offline model's answers, on the last day.
        before: Mean effects on the day before.
        columns: Columns that stood out against the training window of the champion.
    """

    answers: Answers
    labels: Times
    times: Times
    periods: Periods
    share: float
    loss: dict[str, list[Estimate | None]]
    base_loss: list[Estimate | None]
    auc: dict[str, list[Estimate | None]]
    foreseen: list[Estimate | None]
    wins: dict[str, Win | None]
    always: bool
    saved: dict[str, list[float]]
    said: list[Estimate | None]
    silent: list[SilentShare]
    weights: list[tuple[int, dict[str, float]]]
    decisions: list[FitRecord]
    champion: str | None
    rollbacks: list[int]
    alerts: list[Alert]
    scorecard: ScorecardReport
    effects: list[MeanEffect]
    before: list[MeanEffect]
    columns: ColumnsOverTime


def report_of(
    deployment: Deployment, since: int | None, until: int | None, on_progress: Progress
) -> Report:
    """Gather the facts.

    Args:
        deployment: Log, stream and settings.
        since: Event time of the oldest request, µs UTC; None: the first.
        until: Event time before which to stop; None: the last.
        on_progress: See `topic_frames`.

    Raises:
        CommandError: No request there has got its label.
    """
    answers = answers_of(deployment, since, until, on_progress)
    rows, settings = answers.found.rows, deployment.settings
    times = rows["event_time"].dt.timestamp("us").to_numpy()
    labels = rows["label"].to_numpy().astype(np.int64)
    truth, periods = labels.astype(np.float64), periods_of(times)
    said = {name: _column(rows, name) for name in ("probability", *PARTS, FROZEN)}
    share = float(labels.mean())
    base = np.full(len(labels), share)
    compared = Compared(labels, times, periods, settings.decision)
    always = cheaper(labels, settings.decision)
    wins = {name: win(compared, said["probability"], said[name]) for name in (*PARTS, FROZEN)}
    wins["base"] = win(compared, said["probability"], base, fixed=always)
    span = periods.starts[0], periods.starts[-1] + periods.length
    effects, before = _effects(answers.file, answers.recent)
    return Report(
        answers=answers,
        labels=labels,
        times=times,
        periods=periods,
        share=share,
        loss={name: means(periods, log_losses(truth, values)) for name, values in said.items()},
        base_loss=means(periods, log_losses(truth, base)),
        auc={name: aucs(periods, labels, values) for name, values in said.items()},
        foreseen=expected_aucs(periods, said["probability"]),
        wins=wins,
        always=always,
        saved=_saved(compared, said, always=always),
        said=means(periods, said["probability"]),
        silent=_silent(deployment, rows, periods),
        weights=weights(topic_frames(deployment.log, METRICS, COLUMNS, on_progress), periods),
        decisions=[d for d in deployment.registry.records() if span[0] <= d.time < span[1]],
        champion=deployment.registry.title(),
        rollbacks=_rollbacks(deployment),
        alerts=_alerts(deployment, span, on_progress),
        scorecard=scorecard_of(answers.found, "ensemble", settings),
        effects=effects,
        before=before,
        columns=columns_over_time(
            topic_frames(deployment.log, METRICS, column_history.COLUMNS, on_progress), span
        ),
    )


def _column(rows: pl.DataFrame, name: str) -> Floats:
    """A column of probabilities; NaN for null."""
    return rows[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _saved(of: Compared, said: dict[str, Floats], *, always: bool) -> dict[str, list[float]]:
    size, threshold = len(of.periods.starts), of.decision.threshold
    ours = costs(of.labels, said["probability"] >= threshold, of.decision)
    frozen = costs(of.labels, said[FROZEN] >= threshold, of.decision)
    gains = {
        "base": costs(of.labels, np.full(len(ours), always), of.decision) - ours,
        FROZEN: np.where(np.isnan(said[FROZEN]), 0.0, frozen - ours),
    }
    return {
        name: np.cumsum(np.bincount(of.periods.of, gain, size)).tolist()
        for name, gain in gains.items()
    }


def _silent(deployment: Deployment, rows: pl.DataFrame, periods: Periods) -> list[SilentShare]:
    counts = periods.counts()
    ends = np.cumsum(counts)
    return [
        silent_share(deployment.log, deployment.stream, rows[int(end - n) : int(end)])
        for end, n in zip(ends, counts, strict=True)
    ]


def _alerts(deployment: Deployment, span: tuple[int, int], on_progress: Progress) -> list[Alert]:
    found = [
        Alert(row["kind"], int(row["us"]), row["message"], row["source"] or "")
        for frame in topic_frames(
            deployment.log, ALERTS, ["kind", "time", "message", "source"], on_progress
        )
        for row in frame.with_columns(us=pl.col("time").dt.timestamp("us")).iter_rows(named=True)
    ]
    return sorted(
        (one for one in found if span[0] <= one.time < span[1]),
        key=lambda one: (one.time, one.kind, one.message),
    )


def _rollbacks(deployment: Deployment) -> list[int]:
    """Boundaries after which a person took an earlier model."""
    records, found = deployment.registry.records(), deployment.registry.rolled_back()
    return [records[one.after - 1].boundary for one in found if 0 < one.after <= len(records)]


def _effects(file: Loaded, recent: pl.DataFrame) -> tuple[list[MeanEffect], list[MeanEffect]]:
    """Mean effects on the last day of the recent rows, and on the day before."""
    mojo = usable(file, recent)
    if mojo is None:
        return [], []
    times = recent["event_time"].dt.timestamp("us").to_numpy()
    last = times > times.max() - DAY_US
    found = []
    for of in (last, ~last):
        some = recent.filter(pl.Series(of))
        few = some[spread(len(some), _ROWS_OF_REASONS)]
        found.append(mean_effects(mojo, vectors(mojo, few)) if len(few) else [])
    return found[0], found[1]
