"""Estimates of performance before labels, over all partitions, beside what came of earlier ones."""

from collections.abc import Iterable

import msgspec
import numpy as np

from models.judging.estimates import ENOUGH, Estimated, expected, from_runs, realised
from models.judging.histograms import Counts, Estimate
from state.outputs.records import Metrics

METRIC_NAMES: dict[Estimated, str] = {
    "auc": "AUC",
    "f1": "F1",
    "f2": "F2",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "log_loss": "log-loss",
}

DOUBTS = {
    "no offline model": "there is no offline model yet",
    "too few labels": "too few labels have come to notice drift",
    "drift": "the answers seem off (drift)",
    "few": f"there are fewer than {ENOUGH} requests",
}
"""The doubts about an estimate, in words."""


class Waiting(msgspec.Struct, frozen=True):
    """Requests that wait to be judged: the newest ones, from the oldest without a label on.

    Attributes:
        requests: Number of these requests.
        expected: Metrics to be expected of them, with intervals of 95 %.
        trusted: Whether nothing speaks against that.
        doubt: Reason against it, in words; empty: there is none.
    """

    requests: int
    expected: dict[Estimated, Estimate]
    trusted: bool
    doubt: str


class CameTrue(msgspec.Struct, frozen=True):
    """Requests of which an estimate was made, and what came: the newest group of each partition.

    Attributes:
        requests: Number of these requests.
        since: Tick of the first estimate, µs UTC.
        until: Tick at which the last label was known, µs UTC.
        expected: Metrics that were to be expected, with intervals of 95 %.
        realised: The metrics that came.
        error: Distance of the two.
        trusted: Whether the estimate was trusted.
    """

    requests: int
    since: int
    until: int
    expected: dict[Estimated, Estimate]
    realised: dict[Estimated, float]
    error: dict[Estimated, float]
    trusted: bool


class Estimates(msgspec.Struct, frozen=True):
    """Estimates over all partitions; None: there is none."""

    waiting: Waiting | None = None
    came_true: CameTrue | None = None


def estimates_of(newest: Iterable[Metrics]) -> Estimates:
    """Estimates by the newest metrics of each partition.

    Raises:
        ValueError: Counts in `metrics` have other rows or columns.
    """
    all_of = list(newest)
    return Estimates(_waiting(all_of), _came_true(all_of))


def _waiting(newest: list[Metrics]) -> Waiting | None:
    found = [one.ahead for one in newest if one.ahead is not None]
    if not found:
        return None
    counts = np.sum([from_runs(one.counts, 2) for one in found], axis=0)
    doubts = [one.doubt for one in found if not one.trusted]
    return waiting_of(counts, doubts[0] if doubts else "")


def waiting_of(counts: Counts, doubt: str) -> Waiting:
    """The estimate of requests.

    Args:
        counts: Their number by decision and column, `[2, BINS]`.
        doubt: A key of `DOUBTS`; empty: nothing speaks against the estimate but their number.
    """
    requests = int(counts.sum())
    doubt = doubt or ("few" if requests < ENOUGH else "")
    return Waiting(requests, expected(counts), not doubt, DOUBTS.get(doubt, doubt))


def _came_true(newest: list[Metrics]) -> CameTrue | None:
    found = [one.estimated for one in newest if one.estimated is not None]
    if not found:
        return None
    counts = np.sum([from_runs(one.counts, 4) for one in found], axis=0).reshape(2, 2, -1)
    foreseen, came = expected(counts.sum(axis=0)), realised(counts)
    return CameTrue(
        int(counts.sum()),
        min(one.since for one in found),
        max(one.until for one in found),
        foreseen,
        came,
        {name: abs(foreseen[name].value - came[name]) for name in foreseen if name in came},
        all(one.trusted for one in found),
    )


def figures_text(expected: dict[Estimated, Estimate]) -> str:
    """Metrics with their intervals.

    Example:
        >>> figures_text({"auc": Estimate(0.79, 0.76, 0.82), "log_loss": Estimate(0.4, 0.3, 0.5)})
        'AUC 0.790 (0.760 to 0.820), log-loss 0.400 (0.300 to 0.500)'
    """
    figures = (
        f"{METRIC_NAMES[name]} {of.value:.3f} ({of.low:.3f} to {of.high:.3f})"
        for name, of in expected.items()
    )
    return ", ".join(figures) or "too few for a figure"


def estimate_lines(found: Estimates) -> list[str]:
    """The estimates in words.

    Example:
        >>> auc = {"auc": Estimate(0.79, 0.76, 0.82)}
        >>> came = CameTrue(512, 0, 1, auc, {"auc": 0.781}, {"auc": 0.009}, trusted=True)
        >>> waiting = Waiting(1_204, auc, False, DOUBTS["drift"])
        >>> for line in estimate_lines(Estimates(waiting, came)):
        ...     print(line)
        expected of the 1,204 requests that wait to be judged: AUC 0.790 (0.760 to 0.820)
        do not rely on that: the answers seem off (drift)
        of the 512 requests judged before, expected and came: AUC 0.790 0.781
    """
    lines = []
    if (waiting := found.waiting) is not None:
        of = f"the {waiting.requests:,} requests that wait to be judged"
        lines.append(f"expected of {of}: {figures_text(waiting.expected)}")
        if not waiting.trusted:
            lines.append(f"do not rely on that: {waiting.doubt}")
    if (came := found.came_true) is not None:
        pairs = ", ".join(
            f"{METRIC_NAMES[name]} {came.expected[name].value:.3f} {came.realised[name]:.3f}"
            for name in came.error
        )
        doubt = "" if came.trusted else " (not to be relied on)"
        lines.append(
            f"of the {came.requests:,} requests judged before, expected{doubt} and came: "
            f"{pairs or 'too few for a figure'}"
        )
    return lines
