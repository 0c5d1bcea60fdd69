"""Quality of the answers, thresholds that can be trusted, and periods of drift.

Requests count in request order, up to the oldest one whose label may still come: labels of 1 often
come first and those of 0 later by silence, so in order of arrival any model would look wrong.
"""

import math
from typing import Any, NamedTuple

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from flows.reports.estimates import waiting_of
from models.judging.betting import jit
from models.judging.drift import Finding, alarming, detect, detectors, finding
from models.judging.estimates import Estimated
from models.judging.histograms import (
    BINS,
    LOWEST,
    Counts,
    Decided,
    Estimate,
    auc,
    calibration,
    calibration_error,
    histogram_of,
)
from models.judging.trust import Trust, trust
from models.logits import LEAST
from models.scorecard import Floats, log_losses
from state.durations import Duration
from state.settings import Settings

REQUESTS = ("partition", "offset")
Labels = NDArray[np.int64]
NEEDED = (*REQUESTS, "event_time", "label")


class WindowQuality(msgspec.Struct, frozen=True):
    """Quality over the newest requests.

    Attributes:
        window: Length in event time; empty: all requests.
        requests: Number of labelled requests.
        positives: Number of those with label 1.
        log_loss: Mean log-loss, natural log; None without requests.
        auc: Area under the ROC curve, with its 95 % interval; None with only one label.
        f1: F1 at `decision.threshold`; the next four are at that threshold too.
        f2: The F-measure in which recall weighs twice as much as precision.
        precision: Share of true decisions that are right; None without true decisions.
        recall: Share of positives with a true decision; None without positives.
        accuracy: Share of right decisions.
        calibration_error: Mean distance of probability and share of label 1 over ten groups.
    """

    window: str
    requests: int
    positives: int
    log_loss: float | None
    auc: Estimate | None
    f1: float | None
    f2: float | None
    precision: float | None
    recall: float | None
    accuracy: float | None
    calibration_error: float


class Expected(msgspec.Struct, frozen=True):
    """The expected quality of answers without a label, if their probabilities are right.

    The estimate reflects changes in the requests, but not in how labels depend on them; see
    `trusted`.

    Attributes:
        requests: Number of these requests.
        positives: Expected number of those with label 1.
        log_loss: Expected mean log-loss, natural log.
        auc: Expected AUC, with its 95 % interval; None: too few labels of one kind are expected.
        metrics: All expected metrics with their intervals, at `decision.threshold`.
        trusted: Whether nothing indicates that the probabilities are off.
        doubt: Reason against that, in words; empty: there is none.
    """

    requests: int
    positives: float
    log_loss: float
    auc: Estimate | None
    metrics: dict[Estimated, Estimate]
    trusted: bool
    doubt: str


class ScorecardReport(msgspec.Struct, frozen=True):
    """A scorecard of the answers.

    Attributes:
        answers: The judged answers: `ensemble`, `online`, `offline` or `residual`.
        until: Event time of the newest request that counts, µs UTC.
        requests: Number of requests that count.
        waiting: Number of newer requests that do not count, as the label of an older one may still
            come.
        quality: Quality by window, the shortest first; the last is over all requests.
        trust: Thresholds from which answers can be trusted.
        calibration: Mean probability, share of label 1 and count, by tenths of the requests.
        cheapest: Threshold with the lowest cost of wrong decisions.
        cost: Cost of 1,000 requests at the threshold `cheapest`, by `decision.false_positive` and
            `.false_negative`.
        drift: Periods in which answers were wrong, the oldest first.
        ahead: Expected quality of the requests that wait to be judged; None if there are none.
    """

    answers: str
    until: int
    requests: int
    waiting: int
    quality: list[WindowQuality]
    trust: Trust
    calibration: list[tuple[float, float, int]]
    cheapest: float
    cost: float
    drift: list[Finding]
    ahead: Expected | None


class Judged(NamedTuple):
    """The rows of a scorecard.

    Attributes:
        rows: Outcomes that count, by event time.
        waiting: Number of outcomes that do not count yet.
        unlabelled: Predictions without an outcome.
        ahead: Predictions from the oldest of these on; where a request may stay without a label,
            only these.
    """

    rows: pl.DataFrame
    waiting: int
    unlabelled: pl.DataFrame
    ahead: pl.DataFrame


def judged(outcomes: pl.LazyFrame, predictions: pl.LazyFrame, *, by_silence: bool) -> Judged:
    """Outcomes up to the oldest request of their partition that waits for its label.

    Args:
        outcomes: Rows of the topic, with the columns `NEEDED` and those of the probabilities.
        predictions: Rows of that topic, with `REQUESTS` and the probabilities.
        by_silence: Whether each request gets a label in the end; False: a request may stay without
            one, so all outcomes count.
    """
    rows, asked = outcomes.collect(), predictions.collect()
    first = rows.lazy().group_by("partition").agg(pl.col("offset").min().alias("first"))
    unlabelled = (
        asked.lazy()
        .join(rows.lazy(), on=REQUESTS, how="anti")
        .join(first, on="partition")  # outcomes may begin later, where the oldest were trimmed
        .filter(pl.col("offset") >= pl.col("first"))
        .collect()
    )
    total, ahead = len(rows), unlabelled
    if by_silence:
        oldest = unlabelled.group_by("partition").agg(pl.col("offset").min().alias("oldest"))
        rows = rows.join(oldest, on="partition", how="left").filter(
            pl.col("oldest").is_null() | (pl.col("offset") < pl.col("oldest"))
        )
        # Those that have no label yet would be a biased choice among the newer ones.
        ahead = asked.join(oldest, on="partition").filter(pl.col("offset") >= pl.col("oldest"))
    return Judged(rows.sort("event_time", *REQUESTS), total - len(rows), unlabelled, ahead)


def scorecard_of(found: Judged, answers: str, settings: Settings) -> ScorecardReport:
    """Compute the scorecard.

    Args:
        found: Rows of the scorecard.
        answers: Answers to judge: `ensemble`, `online`, `offline` or `residual`.
        settings: Settings `decision`, `risk`, `drift` and `metrics.windows` apply.
    """
    name = "probability" if answers == "ensemble" else answers
    rows = found.rows.drop_nulls(name)
    labels = rows["label"].to_numpy().astype(np.int64)
    said = rows[name].to_numpy().astype(np.float64)
    times = rows["event_time"].dt.timestamp("us").to_numpy()
    whole = histogram_of(labels, said)
    until = int(times[-1]) if len(times) else 0
    quality = [
        _quality(str(window), labels[of], said[of], settings.decision.threshold)
        for window in sorted(settings.metrics.windows)
        for of in [times > until - window]
    ]
    quality.append(_quality("", labels, said, settings.decision.threshold))
    cheapest, cost = _cheapest(whole, settings)
    risk = settings.accepted_risk
    drift, trusted = _drift(labels, said, times, settings.drift.false_alarms)
    return ScorecardReport(
        answers=answers,
        until=until,
        requests=len(rows),
        waiting=found.waiting,
        quality=quality,
        trust=trust(whole, risk.false_positives, risk.false_negatives, risk.confidence),
        calibration=calibration(whole),
        cheapest=cheapest,
        cost=cost,
        drift=drift,
        ahead=_ahead(found.ahead[name].drop_nulls().to_numpy(), settings, trusted=trusted),
    )


def _ahead(said: Floats, settings: Settings, *, trusted: bool) -> Expected | None:
    if not len(said):
        return None
    calls = (said >= settings.decision.threshold).astype(np.int64)
    found = waiting_of(histogram_of(calls, said), "" if trusted else "drift")
    surely = np.clip(said, LEAST, 1.0 - LEAST)
    entropy = -(surely * np.log(surely) + (1.0 - surely) * np.log1p(-surely))
    return Expected(
        len(said),
        float(said.sum()),
        float(entropy.mean()),
        found.expected.get("auc"),
        found.expected,
        found.trusted,
        found.doubt,
    )


def _quality(window: str, labels: Labels, said: Floats, threshold: float) -> WindowQuality:
    histogram = histogram_of(labels, said)
    zeros, ones = labels[said < threshold], labels[said >= threshold]
    of = Decided(
        float(ones.sum()), float((ones == 0).sum()), float((zeros == 0).sum()), float(zeros.sum())
    )
    return WindowQuality(
        window=window,
        requests=len(labels),
        positives=int(labels.sum()),
        log_loss=float(log_losses(labels.astype(np.float64), said).mean()) if len(labels) else None,
        auc=auc(histogram),
        f1=of.f(1),
        f2=of.f(2),
        precision=of.precision,
        recall=of.recall,
        accuracy=of.accuracy,
        calibration_error=calibration_error(histogram),
    )


def _cheapest(histogram: Counts, settings: Settings) -> tuple[float, float]:
    of = settings.decision
    missed = np.concatenate([[0], np.cumsum(histogram[1])])
    wrong = histogram[0].sum() - np.concatenate([[0], np.cumsum(histogram[0])])
    costs = of.false_negative * missed + of.false_positive * wrong
    best = int(costs.argmin())
    total = max(int(histogram.sum()), 1)
    return float(LOWEST[best]) if best < BINS else 1.0, float(costs[best] * 1000 / total)


def _drift(
    labels: Labels, said: Floats, times: Labels, false_alarms: Duration
) -> tuple[list[Finding], bool]:
    """Periods in which answers were wrong, and whether nothing indicates that they are now.

    After each, the search starts again.
    """
    found: list[Finding] = []
    span = int(times[-1] - times[0]) if len(times) else 0
    if not span:
        return found, True
    limit = max(1.0, len(labels) * false_alarms / span)
    state, begin = detectors(), 0
    while begin < len(labels):
        begin, kind = _first_alarm(state, labels, said, times, begin, limit)
        if kind >= 0:
            found.append(finding(state, kind))
            state = detectors()
    return found, alarming(state, math.sqrt(limit)) < 0


@jit
def _first_alarm(
    state: Any, labels: Any, said: Any, times: Any, begin: int, limit: float
) -> tuple[int, int]:
    for i in range(begin, len(labels)):
        detect(state, labels[i], said[i], times[i])
        kind = alarming(state, limit)
        if kind >= 0:
            return i + 1, kind
    return len(labels), -1
