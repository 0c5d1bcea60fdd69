"""The gate: a challenger is kept out only where it is worse on the same rows beyond noise."""

import math

import msgspec

from models.scorecard import Floats, log_losses

BEYOND_NOISE = 1.64
"""Standard errors: an equally good challenger is kept out once in twenty times."""

COARSE = 0.02
"""A standard error of the mean difference from which on it says little: a tenth would matter."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The gate's decision and its reason."""

    promoted: bool
    reason: str


def gate(labels: Floats, challenger: Floats, champion: Floats | None, margin: float) -> Verdict:
    """Compare two models row by row.

    A promoted challenger answers beside the champion, and the mixture weighs both by later labels:
    so a challenger that may be better is promoted, and one that is surely worse is not.

    Args:
        labels: 0 or 1.
        challenger: The challenger's P(label is 1), one per label, fitted without these labels.
        champion: The champion's probabilities, in the same form; None: there is no champion.
        margin: The challenger's mean log-loss must be lower by this, less 1.64 standard errors of
            the mean difference; a negative margin allows a higher log-loss.

    Example:
        >>> import numpy as np
        >>> labels, half = np.array([1.0, 0.0]), np.array([0.5, 0.5])
        >>> gate(labels, half, None, 0.0)
        Verdict(promoted=True, reason='there was no champion')
        >>> gate(labels, half, np.array([0.6, 0.4]), 0.0).reason
        "log-loss worse by .1823 ± .0000 than the champion's, beyond noise"
    """
    if champion is None:
        return Verdict(promoted=True, reason="there was no champion")
    if not len(labels):
        return Verdict(promoted=False, reason="no row is new to the champion")
    gain = log_losses(labels, champion) - log_losses(labels, challenger)
    mean, error = float(gain.mean()), standard_error(gain)
    promoted = mean + BEYOND_NOISE * error >= margin
    word = "worse" if mean < 0 else "better"
    reason = f"log-loss {word} by {short(abs(mean))} ± {short(error)} than the champion's"
    if margin:
        reason += f", margin {'-' * (margin < 0)}{short(abs(margin))}"
    elif mean < 0:
        reason += ", within noise" if promoted else ", beyond noise"
    if error > COARSE:
        reason += f"; {len(labels):,} rows say little"
    return Verdict(promoted=promoted, reason=reason)


def standard_error(values: Floats) -> float:
    """Standard error of the mean; infinite for one value, which does not show noise.

    Example:
        >>> import numpy as np
        >>> standard_error(np.array([1.0, 3.0])), standard_error(np.array([1.0]))
        (1.0, inf)
    """
    if len(values) < 2:
        return math.inf
    return float(values.std(ddof=1)) / math.sqrt(len(values))


def short(number: float) -> str:
    """A difference of log-losses as people write it.

    Example:
        >>> short(0.00434), short(1.5)
        ('.0043', '1.5000')
    """
    return f"{number:.4f}".removeprefix("0")


def lower_by(gain: float) -> str:
    """A gain in log-loss, in words.

    Example:
        >>> lower_by(0.0043), lower_by(-0.0121)
        ('log-loss lower by .0043', 'log-loss higher by .0121')
    """
    return f"log-loss {'lower' if gain >= 0 else 'higher'} by {short(abs(gain))}"
