"""The gate: a challenger replaces the champion only with a lower loss on the same rows."""

import math

import msgspec

from models.scorecard import Floats, log_losses


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The gate's decision and its reason."""

    promoted: bool
    reason: str


def gate(labels: Floats, challenger: Floats, champion: Floats | None, margin: float) -> Verdict:
    """Compare two models row by row.

    Args:
        labels: 0 or 1.
        challenger: The challenger's P(label is 1), one per label; it saw none of them.
        champion: The champion's P(label is 1); None if there is no champion.
        margin: Required decrease of the mean log-loss; below 0, allowed increase.

    Example:
        >>> import numpy as np
        >>> labels, half = np.array([1.0, 0.0]), np.array([0.5, 0.5])
        >>> gate(labels, half, None, 0.0)
        Verdict(promoted=True, reason='there was no champion')
        >>> gate(labels, half, np.array([0.6, 0.4]), 0.0)
        Verdict(promoted=False, reason='log-loss -0.18232 ± 0.00000 lower than the champion')
    """
    if champion is None:
        return Verdict(promoted=True, reason="there was no champion")
    if not len(labels):
        return Verdict(promoted=False, reason="no row is new to the champion")
    gain = log_losses(labels, champion) - log_losses(labels, challenger)
    mean, error = float(gain.mean()), float(gain.std()) / math.sqrt(len(gain))
    reason = f"log-loss {mean:.5f} ± {error:.5f} lower than the champion"
    if margin:
        reason += f", margin {margin:.5f}"
    return Verdict(promoted=mean > margin, reason=reason)
