"""Running losses of several models on the same labels."""

import math
from collections.abc import Sequence

_LEAST = 1e-15


class RunningLosses:
    """Counts and sums of log-loss and squared error, for each model by its place.

    Args:
        models: How many.

    Example:
        >>> losses = RunningLosses(2)
        >>> losses.add([0.5, None], 1)
        >>> [(n, round(log_loss, 4), brier) for n, log_loss, brier in losses.means()]
        [(1, 0.6931, 0.25), (0, 0.0, 0.0)]
    """

    __slots__ = ("sums",)

    def __init__(self, models: int) -> None:
        self.sums: list[list[float]] = [[0.0, 0.0, 0.0] for _ in range(models)]

    def add(self, probabilities: Sequence[float | None], label: int) -> None:
        """Count one label; a model without a probability is left out."""
        for sums, p in zip(self.sums, probabilities, strict=True):
            if p is not None:
                hit = p if label else 1.0 - p
                sums[0] += 1.0
                sums[1] -= math.log(max(_LEAST, hit))
                sums[2] += (1.0 - hit) * (1.0 - hit)

    def means(self) -> list[tuple[int, float, float]]:
        """Labels, mean log-loss and mean squared error of each model."""
        return [(int(n), ll / n if n else 0.0, br / n if n else 0.0) for n, ll, br in self.sums]
