"""Measures of the quality of probabilities."""

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEAST = 1e-15


class Scorecard(msgspec.Struct, frozen=True, kw_only=True):
    """The quality of one model on one set of rows.

    Attributes:
        rows: Number of rows.
        positives: Number of rows with label 1.
        log_loss: Mean log-loss, natural log.
        auc: Area under the ROC curve; None if all labels are the same.
        brier: Mean squared error.
        f1: Best F1 over all thresholds.
        threshold: Highest threshold with that F1; probabilities at or above it count as positive.
    """

    rows: int
    positives: int
    log_loss: float
    auc: float | None
    brier: float
    f1: float
    threshold: float


def scorecard(labels: Floats, probabilities: Floats) -> Scorecard:
    """Compute all measures.

    Args:
        labels: 0 or 1, at least one row.
        probabilities: P(label is 1), one per label.

    Example:
        >>> card = scorecard(np.array([0.0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
        >>> card.auc, round(card.brier, 4), card.f1, card.threshold
        (0.75, 0.1581, 0.8, 0.35)
    """
    f1, threshold = best_f1(labels, probabilities)
    return Scorecard(
        rows=len(labels),
        positives=int(labels.sum()),
        log_loss=float(log_losses(labels, probabilities).mean()),
        auc=auc(labels, probabilities),
        brier=float(((probabilities - labels) ** 2).mean()),
        f1=f1,
        threshold=threshold,
    )


def log_losses(labels: Floats, probabilities: Floats) -> Floats:
    """Log-loss of each row, natural log.

    Example:
        >>> log_losses(np.array([1.0, 0.0]), np.array([0.5, 0.0]))
        array([0.69314718, 0.        ])
    """
    hit = np.where(labels == 1, probabilities, 1 - probabilities)
    return np.abs(np.log(np.maximum(hit, LEAST)))


def constant_log_loss(rate: float) -> float:
    """Mean log-loss of always saying the share of label 1, natural log.

    Args:
        rate: The share of label 1, from 0 to 1.

    Example:
        >>> constant_log_loss(0.25), constant_log_loss(0.0)
        (0.5623351446188083, 0.0)
    """
    return -sum(p * math.log(p) for p in (rate, 1 - rate) if p > 0) or 0.0


def auc(labels: Floats, probabilities: Floats) -> float | None:
    """The probability that a positive row has the higher probability; a tie counts half.

    Computed from mid-ranks (Mann and Whitney 1947).

    Example:
        >>> auc(np.array([0.0, 1.0, 1.0]), np.array([0.5, 0.5, 0.9]))
        0.75
    """
    positives = labels.sum()
    negatives = len(labels) - positives
    if not positives or not negatives:
        return None
    _, place, count = np.unique(probabilities, return_inverse=True, return_counts=True)
    mid_rank = np.cumsum(count) - (count - 1) / 2
    rank_sum = mid_rank[place][labels == 1].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))


def best_f1(labels: Floats, probabilities: Floats) -> tuple[float, float]:
    """The best F1 and the highest threshold that reaches it.

    Example:
        >>> best_f1(np.array([0.0, 1.0, 1.0]), np.array([0.5, 0.5, 0.9]))
        (0.8, 0.5)
    """
    order = np.argsort(-probabilities, kind="stable")
    ranked = probabilities[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    hits = np.cumsum(labels[order])[last]
    f1 = 2 * hits / np.maximum(last + 1 + labels.sum(), 1)
    best = int(np.argmax(f1))
    return float(f1[best]), float(ranked[last[best]])
