"""Running losses of several models on the same labels."""

import math
from collections.abc import Sequence

_LEAST = 1e-15
_MOST = 2.0**53


class RunningLosses:
    """Counts and sums of log-loss and squared error, for each model by its number.

    Args:
        models: Number of models.

    Example:
        >>> losses = RunningLosses(2)
        >>> losses.add([0.5, None], 1)
        >>> [(n, round(log_loss, 4), brier) for n, log_loss, brier in losses.means()]
        [(1, 0.6931, 0.25), (0, 0.0, 0.0)]
    """

    __slots__ = ("sums",)

    def __init__(self, models: int) -> None:
        self.sums: list[list[float]] = [[0.0, 0.0, 0.0] for _ in range(models)]

    def restore(self, sums: list[list[float]]) -> None:
        """Replace the sums.

        Raises:
            ValueError: They are of another number of models, or invalid.
        """
        form = [len(own) for own in self.sums]
        counted = all(0.0 <= of <= _MOST for own in sums for of in own)
        if [len(own) for own in sums] != form or not counted:
            msg = f"losses must be counts and sums of {len(form)} models; got {repr(sums)[:200]}"
            raise ValueError(msg)
        self.sums = sums

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
