"""Capital that can only grow in the long run if a hypothesis is false.

Somebody bets on each label, in request order, that a quantity has a mean above 0, with stakes set
before the label is known. If its mean is never above 0, the capital exceeds 1/α at any time ever
with a chance of at most α (Ville's inequality), however often anybody looks. See Waudby-Smith and
Ramdas, Estimating means of bounded random variables by betting, 2024.

Several stakes are tried side by side, each with a capital of 1 at the start: an array of float64,
`[len(STAKES)]`. The mean capital is the evidence. No bet risks more than half of its capital.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

STAKES = 2.0 ** np.arange(-3, 8)
"""From cautious, for proofs that need many labels, to bold, for those that need few."""

MOST_AT_RISK = 0.5
LEAST, MOST = 1e-200, 1e200
"""A capital stays between these, so that it is never lost for good and always a finite number."""

Floats = NDArray[np.float64]

jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@jit
def after_bet(capital: float, stake: float, gain: float, worst: float) -> float:
    """The capital after one bet.

    Args:
        capital: Before it.
        stake: Share of the capital for each unit of `gain`.
        gain: The quantity.
        worst: At least the negative of the least that the quantity could have been; it must not
            depend on how this label came out.
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
def compare(better: Any, worse: Any, label: int, ours: float, theirs: float) -> None:
    """Bet that a challenger's mean log-loss is below a champion's, and that it is above.

    Args:
        better: Capitals of the first bet.
        worse: Capitals of the second.
        label: 0 or 1.
        ours: The challenger's P(label is 1), above 0 and below 1.
        theirs: The champion's.
    """
    if_one, if_zero = np.log(ours / theirs), np.log((1.0 - ours) / (1.0 - theirs))
    gain = if_one if label == 1 else if_zero
    # The same for both bets: else two equally good models would not be treated alike.
    most = max(abs(if_one), abs(if_zero))
    bet(better, gain, most)
    bet(worse, -gain, most)
