"""Metrics that people name, with 95 % intervals, from the counts of a window."""

import math
from typing import Literal, get_args

from models.judging.estimates import estimate_error
from models.judging.histograms import (
    NORMAL_95,
    Counts,
    Decided,
    Estimate,
    auc,
    calibration,
    calibration_error,
)
from models.judging.metric_window import Tally

Metric = Literal[
    "auc", "f1", "f2", "accuracy", "precision", "recall", "log_loss", "brier", "ece",
    "estimate_error",
]  # fmt: skip
METRICS: tuple[Metric, ...] = get_args(Metric)

ENOUGH = 100
"""Labels in a window before anything is said of a metric."""

ENOUGH_OF_A_KIND = 20
"""Labels of each kind, or positive decisions, that a metric on one kind needs besides."""

_HALF_NORMAL = math.sqrt(2.0 / math.pi)


def lacking(metric: Metric, tally: Tally) -> str:
    """The labels that are lacking for a metric, in words; empty: there are enough.

    Example:
        >>> import numpy as np
        >>> counts = np.array([[70, 10], [5, 5]])
        >>> lacking("recall", Tally(np.zeros((2, 280)), counts, np.zeros(4)))
        'needs 100 labels, has 90'
        >>> lacking("recall", Tally(np.zeros((2, 280)), counts * 2, np.zeros(4)))
        ''
        >>> lacking("recall", Tally(np.zeros((2, 280)), counts + [[20], [0]], np.zeros(4)))
        'needs 20 labels of 1, has 10'
    """
    zeros, ones = tally.decided.sum(axis=1).tolist()
    needs = [("labels", zeros + ones, ENOUGH)]
    if metric in {"auc", "estimate_error", "f1", "f2", "recall"}:
        needs.append(("labels of 1", ones, ENOUGH_OF_A_KIND))
    if metric in {"auc", "estimate_error"}:
        needs.append(("labels of 0", zeros, ENOUGH_OF_A_KIND))
    if metric == "precision":
        positive = int(tally.decided[:, 1].sum())
        needs.append(("positive decisions", positive, ENOUGH_OF_A_KIND))
    for name, found, needed in needs:
        if found < needed:
            return f"needs {needed} {name}, has {found}"
    return ""


def figure(metric: Metric, tally: Tally) -> Estimate | None:
    """A metric over a window; None: it is not defined for these counts.

    Shares have Wilson's interval (1927), AUC DeLong's (at 0 and 1 that of a share of the rarer
    label), means that of a normal mean, the F-measures that of the log odds (delta method). Chance
    makes ECE too high, never too low, so its lower end allows for what calibrated answers show.
    """
    (tn, fp), (fn, tp) = tally.decided.tolist()
    rows = tn + fp + fn + tp
    loss, loss_squares, square, square_squares = tally.sums.tolist()
    match metric:
        case "auc":
            found = auc(tally.histogram)
            if found is None or 0.0 < found.value < 1.0:
                return found
            rarer = min(tn + fp, fn + tp)
            return share_of(rarer * int(found.value), rarer)
        case "f1":
            return _f(Decided(tp, fp, tn, fn), 1.0)
        case "f2":
            return _f(Decided(tp, fp, tn, fn), 2.0)
        case "accuracy" | "precision" | "recall":
            shares = {"accuracy": (tp + tn, rows), "precision": (tp, tp + fp)}
            return share_of(*shares.get(metric, (tp, tp + fn)))
        case "log_loss":
            return _mean(loss, loss_squares, rows)
        case "brier":
            return _mean(square, square_squares, rows)
        case "ece":
            return _ece(tally.histogram) if rows else None
        case "estimate_error":
            return estimate_error(tally.histogram)


def share_of(hits: int, rows: int) -> Estimate | None:
    """A share with Wilson's interval; None without rows.

    Example:
        >>> [round(of, 4) for of in share_of(8, 10)]
        [0.8, 0.4902, 0.9433]
    """
    if not rows:
        return None
    p, z = hits / rows, NORMAL_95 * NORMAL_95 / rows
    middle = (p + z / 2) / (1 + z)
    reach = math.sqrt(z * (p * (1 - p) + z / 4)) / (1 + z)
    return Estimate(p, max(0.0, min(p, middle - reach)), min(1.0, max(p, middle + reach)))


def _mean(total: float, squares: float, rows: int) -> Estimate | None:
    if rows < 2:
        return None
    mean = total / rows
    reach = NORMAL_95 * math.sqrt(max(squares / rows - mean * mean, 0.0) / (rows - 1))
    return Estimate(mean, max(0.0, mean - reach), mean + reach)


def _f(of: Decided, beta: float) -> Estimate | None:
    value = of.f(beta)
    if value is None:
        return None
    # F / (1 - F) is (1 + b²) TP / (b² FN + FP); a half stands for a count of 0.
    weight = beta * beta
    hits, missed, wrong = of.true_positives, of.false_negatives, of.false_positives
    hits = hits or 0.5
    if not missed and not wrong:
        wrong = 0.5
    errors = weight * missed + wrong
    odds = math.log((1 + weight) * hits / errors)
    reach = NORMAL_95 * math.sqrt(1 / hits + (weight * weight * missed + wrong) / errors**2)
    low, high = (1.0 / (1.0 + math.exp(-(odds + step))) for step in (-reach, reach))
    return Estimate(value, min(low, value), max(high, value))


def _ece(histogram: Counts) -> Estimate:
    value, groups = calibration_error(histogram), calibration(histogram)
    total = sum(size for *_, size in groups)
    spreads = []
    for _, share, size in groups:
        smooth = (share * size + 0.5) / (size + 1)
        spreads.append(size / total * math.sqrt(smooth * (1 - smooth) / size))
    reach = NORMAL_95 * math.sqrt(math.fsum(of * of for of in spreads))
    chance = _HALF_NORMAL * math.fsum(spreads)
    return Estimate(value, max(0.0, value - chance - reach), value + reach)
