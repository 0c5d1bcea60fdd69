"""Running losses of several models on the same labels."""

import math
from collections.abc import Sequence

_LEAST = 1e-15
MOST_COUNT = 2.0**53
"""The largest count of labels, and sum of losses."""


Sums = list[list[float]]
"""Labels, sum of log-losses and sum of squared errors of each model."""

Means = list[tuple[int, float, float]]
"""Labels, mean log-loss and mean squared error of each model."""


class RunningLosses:
    """Counts and sums of log-loss and squared error, for each model by its number.

    Args:
        models: Number of models.

    Attributes:
        total: Sums since the first label.
        lately: Sums since `restart`.

    Example:
        >>> losses = RunningLosses(2)
        >>> losses.add([0.5, None], 1)
        >>> losses.restart()
        >>> losses.add([0.5, 0.5], 0)
        >>> [(n, round(log_loss, 4), brier) for n, log_loss, brier in means(losses.total)]
        [(2, 0.6931, 0.25), (1, 0.6931, 0.25)]
        >>> [n for n, _, _ in means(losses.lately)]
        [1, 1]
    """

    __slots__ = ("lately", "total")

    def __init__(self, models: int) -> None:
        self.total, self.lately = _zeros(models), _zeros(models)

    def restart(self) -> None:
        """Begin `lately` anew."""
        self.lately = _zeros(len(self.total))

    def restore(self, total: Sums, lately: Sums) -> None:
        """Replace the sums.

        Raises:
            ValueError: They are of another number of models, or invalid.
        """
        form = [len(own) for own in self.total]
        for sums in (total, lately):
            counted = all(0.0 <= of <= MOST_COUNT for own in sums for of in own)
            if [len(own) for own in sums] != form or not counted:
                got = repr(sums)[:200]
                msg = f"losses must be counts and sums of {len(form)} models; got {got}"
                raise ValueError(msg)
        self.total, self.lately = total, lately

    def add(self, probabilities: Sequence[float | None], label: int) -> None:
        """Count one label; a model without a probability is left out."""
        for total, lately, p in zip(self.total, self.lately, probabilities, strict=True):
            if p is not None:
                hit = p if label else 1.0 - p
                miss = 1.0 - hit
                loss, square = math.log(max(_LEAST, hit)), miss * miss
                total[0] += 1.0
                total[1] -= loss
                total[2] += square
                lately[0] += 1.0
                lately[1] -= loss
                lately[2] += square


def means(sums: Sums) -> Means:
    """The means of sums; 0 for a model without a label."""
    return [(int(n), ll / n if n else 0.0, br / n if n else 0.0) for n, ll, br in sums]


def _zeros(models: int) -> Sums:
    return [[0.0, 0.0, 0.0] for _ in range(models)]
