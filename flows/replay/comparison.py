"""Recorded results beside a branch's results: per request, per model, and in money."""

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.scorecard import Floats, Scorecard, scorecard
from state.settings import Decision

_MODELS = {
    "ensemble": "probability",
    "online": "online",
    "offline": "offline",
    "residual": "residual",
}
_RESAMPLES = 2_000
_DAY_MS = 86_400_000


class Quality(NamedTuple):
    """Scorecards of one model on the same labelled requests, as recorded and on the branch."""

    model: str
    recorded: Scorecard
    branch: Scorecard


class Cost(NamedTuple):
    """Expected cost of the decisions per 1,000 labelled requests.

    Attributes:
        recorded: Cost as recorded.
        branch: Cost on the branch.
        difference: Branch minus recorded.
        interval: 95 % bootstrap interval of the difference, by days; None for less than two days.
        days: Number of days.
    """

    recorded: float
    branch: float
    difference: float
    interval: tuple[float, float] | None
    days: int


def qualities(requests: pl.DataFrame) -> list[Quality]:
    """Compare each model on the labelled requests that it scored on both sides."""
    found = []
    for model, field in _MODELS.items():
        sides = [f"{field}_base", f"{field}_branch"]
        rows = requests.drop_nulls(["label", *sides])
        if len(rows):
            labels = rows["label"].cast(pl.Float64).to_numpy()
            cards = [scorecard(labels, rows[side].to_numpy()) for side in sides]
            found.append(Quality(model, *cards))
    return found


def cost(requests: pl.DataFrame, prices: Decision) -> Cost | None:
    """Compare the cost of the decisions; None: no labelled request was answered on both sides."""
    rows = requests.drop_nulls(["label", "decision_base", "decision_branch"])
    if rows.is_empty():
        return None
    labels = rows["label"].to_numpy()
    recorded, branch = (
        _prices(labels, rows[f"decision_{side}"].to_numpy(), prices) for side in ("base", "branch")
    )
    days = rows["event_time"].dt.epoch("ms").to_numpy() // _DAY_MS
    more = branch - recorded
    mean = 1_000 * float(more.mean())
    interval, n = _interval(more, days)
    return Cost(1_000 * float(recorded.mean()), 1_000 * float(branch.mean()), mean, interval, n)


def tables(requests: pl.DataFrame, prices: Decision) -> str:
    """Format all figures as text, at most 80 columns wide."""
    labelled = requests["label"].count()
    lines = [f"{len(requests):,} requests, {labelled:,} of them labelled", ""]
    found = qualities(requests)
    if found:
        lines += [
            f"{'':17}{'recorded':^30}{'what-if':^30}".rstrip(),
            f"{'model':8}{'rows':>9}" + f"{'AUC':>7}{'log-loss':>9}{'Brier':>7}{'max F1':>7}" * 2,
        ]
        lines += [
            f"{one.model:8}{one.recorded.rows:>9,}{_cells(one.recorded)}{_cells(one.branch)}"
            for one in found
        ]
        lines.append("")
    both = requests.drop_nulls(["decision_base", "decision_branch"])
    changed = int((both["decision_base"] != both["decision_branch"]).sum())
    share = changed / max(len(both), 1)
    lines.append(f"decisions changed    {changed:,} of {len(both):,} ({share:.2%})")
    if len(both) < len(requests):
        lost, new = (requests[f"decision_{side}"].null_count() for side in ("branch", "base"))
        lines.append(f"answered otherwise   {lost:,} only as recorded, {new:,} only in the what-if")
    spent = cost(requests, prices)
    if spent is not None:
        lines += _cost_lines(spent, prices)
    return "\n".join(lines)


def _cost_lines(spent: Cost, prices: Decision) -> list[str]:
    if spent.interval is None:
        interval = "no interval: less than two days"
    else:
        low, high = spent.interval
        interval = f"95 % {low:+,.2f} to {high:+,.2f}, by {spent.days} days"
    missed = f"{prices.false_negative:g} for"
    return [
        f"cost per 1,000       recorded {spent.recorded:,.2f}, what-if {spent.branch:,.2f}",
        f"difference           {spent.difference:+,.2f} ({interval})",
        f"prices               {prices.false_positive:g} for a false positive, {missed} a negative",
    ]


def _cells(card: Scorecard) -> str:
    auc = "-" if card.auc is None else f"{card.auc:.4f}"
    return f"{auc:>7}{card.log_loss:>9.4f}{card.brier:>7.4f}{card.f1:>7.4f}"


def _prices(labels: NDArray[np.int64], decided: NDArray[np.bool_], prices: Decision) -> Floats:
    wrongly, missed = decided & (labels == 0), ~decided & (labels == 1)
    cost: Floats = prices.false_positive * wrongly + prices.false_negative * missed
    return cost


def _interval(values: Floats, days: NDArray[np.int64]) -> tuple[tuple[float, float] | None, int]:
    """Bootstrap interval (by days) of 1,000 times the mean, and the number of days."""
    _, day = np.unique(days, return_inverse=True)
    n = int(day.max()) + 1
    if n < 2:
        return None, n
    sums, counts = np.bincount(day, weights=values), np.bincount(day)
    drawn = np.random.default_rng(1).integers(n, size=(_RESAMPLES, n))
    means = 1_000 * sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return (float(low), float(high)), n
