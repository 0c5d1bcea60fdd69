"""The part of each column in an offline model's answers."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.logits import LEAST, odds_in_words
from models.mojo.model import Mojo
from models.scorecard import Floats, log_losses

_GOLDEN = (math.sqrt(5) - 1) / 2


class Importance(NamedTuple):
    """The rise of the mean log-loss if a column tells nothing."""

    column: str
    rise: float


class MeanEffect(NamedTuple):
    """The effect of a column on some answers, in log odds.

    Attributes:
        column: Name of the column.
        change: Mean of log odds with the column minus log odds without it.
        size: Mean of the absolute differences.
    """

    column: str
    change: float
    size: float

    @property
    def words(self) -> str:
        """The mean effect in words, with its direction."""
        return odds_in_words(self.change)


def importance(mojo: Mojo, rows: Floats, labels: NDArray[np.int64]) -> list[Importance]:
    """Rise of the log-loss if the values of a column are dealt to other requests, largest first.

    Permutation importance (Breiman, Random Forests, 2001), with one fixed permutation. Columns
    with the same information share their importance.

    Args:
        mojo: The model.
        rows: Requests as `Mojo.encode` makes them, at least one.
        labels: 0 or 1, one per request.
    """
    truth = labels.astype(np.float64)
    before = float(log_losses(truth, mojo.score_many(rows)).mean())
    dealt = _dealt(len(rows))
    found = []
    for j, column in enumerate(mojo.columns):
        changed = rows.copy()
        changed[:, j] = rows[dealt, j]
        after = float(log_losses(truth, mojo.score_many(changed)).mean())
        found.append(Importance(column, after - before))
    return sorted(found, key=lambda one: (-one.rise, one.column))


def mean_effects(mojo: Mojo, rows: Floats) -> list[MeanEffect]:
    """Mean effects of the columns on a model's answers, by occlusion, largest first.

    Args:
        mojo: The model.
        rows: Requests as `Mojo.encode` makes them, at least one.
    """
    whole = _logits(mojo.score_many(rows))
    found = []
    for j, column in enumerate(mojo.columns):
        without = rows.copy()
        without[:, j] = np.nan
        change = whole - _logits(mojo.score_many(without))
        found.append(MeanEffect(column, float(change.mean()), float(np.abs(change).mean())))
    return sorted(found, key=lambda one: (-one.size, one.column))


def spread(length: int, most: int) -> NDArray[np.int64]:
    """At most `most` places, evenly spread over a length.

    Example:
        >>> spread(10, 4).tolist(), spread(2, 4).tolist()
        ([0, 2, 5, 7], [0, 1])
    """
    size = min(length, most)
    return np.arange(size, dtype=np.int64) * length // max(size, 1)


def _dealt(rows: int) -> NDArray[np.int64]:
    """A fixed permutation that sends neighbours far apart (multiples of the golden ratio)."""
    step = max(1, round(rows * _GOLDEN))
    while math.gcd(step, rows) != 1:
        step += 1
    return (np.arange(rows, dtype=np.int64) * step + rows // 2) % rows


def _logits(probabilities: Floats) -> Floats:
    p = np.clip(probabilities, LEAST, 1.0 - LEAST)
    return np.asarray(np.log(p / (1.0 - p)), np.float64)
