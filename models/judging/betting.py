"""Bets whose capital grows in the long run only if a hypothesis is false.

Each label, in request order, is a bet that a quantity has a mean above 0, with a stake set before
the label is known. If its mean is never above 0, the capital ever exceeds 1/α with probability α at
most (Ville's inequality), however often it is checked. See Waudby-Smith and Ramdas, Estimating
means of bounded random variables by betting, 2024.

Several stakes are used side by side, each with a capital of 1 at the start: float64[len(STAKES)].
The mean capital is the evidence. No bet risks more than half of its capital.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

STAKES = 2.0 ** np.arange(-3, 8)
"""Stakes from cautious, for evidence over many labels, to bold, for evidence over few."""

MOST_AT_RISK = 0.5
LEAST, MOST = 1e-200, 1e200
"""Bounds of a capital, so that it is never lost for good and always finite."""

Floats = NDArray[np.float64]

jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@jit
def after_bet(capital: float, stake: float, gain: float, worst: float) -> float:
    """The capital after one bet.

    Args:
        capital: Capital before the bet.
        stake: Share of the capital per unit of `gain`.
        gain: Value of the quantity.
        worst: Upper bound of the negative of the least possible value; it must not depend on this
            label.
    """
    if stake * worst > MOST_AT_RISK:
        stake = MOST_AT_RISK / worst
    return min(max(capital * (1.0 + stake * gain), LEAST), MOST)


@jit
def bet(capitals: Any, gain: float, worst: float) -> None:
    """Bet once with each stake; see `after_bet`.

    Example:
        >>> capitals = np.ones(len(STAKES))
        >>> bet(capitals, 0.5, 0.5)
        >>> capitals[:5]
        array([1.0625, 1.125 , 1.25  , 1.5   , 1.5   ])
    """
    for k in range(len(STAKES)):
        capitals[k] = after_bet(capitals[k], STAKES[k], gain, worst)


@jit
def compare(better: Any, worse: Any, label: int, ours: float, theirs: float) -> Any:
    """Bet that a challenger's mean log-loss is below a champion's, and that it is above.

    Args:
        better: Capitals of the first bet, changed in place.
        worse: Capitals of the second, changed in place.
        label: 0 or 1.
        ours: The challenger's P(label is 1), above 0 and below 1.
        theirs: The champion's P(label is 1), likewise.

    Returns:
        The champion's log-loss minus the challenger's.
    """
    if_one, if_zero = np.log(ours / theirs), np.log((1.0 - ours) / (1.0 - theirs))
    gain = if_one if label == 1 else if_zero
    # The same bound for both bets, so that two equally good models are treated alike.
    most = max(abs(if_one), abs(if_zero))
    bet(better, gain, most)
    bet(worse, -gain, most)
    return gain
