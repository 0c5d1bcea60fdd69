"""Robust online estimates of centre and spread of each number in a vector.

The centre moves by at most ten spreads times a rate, the spread follows the mean absolute distance
from the centre, limited to ten spreads. So a single value, however extreme, moves either by two
per cent at most; after a change of unit both adapt within some thousand values, as the spread
changes by factors and not by amounts.
"""

from typing import Any

import numba
import numpy as np

CENTRE, SPREAD, SEEN = 0, 1, 2
FIRST = 16
"""Number of first values whose median and trimmed mean start centre and spread."""
CLIP = 5.0
"""Bound on standardised numbers, plus and minus."""
FARTHEST = 1e300
"""Bound on values, centre and spread."""

_SLOWEST = 1 / 500
_REACH = 10.0
_SIGMA = 1.2533141373155003  # standard deviation over mean distance, for a normal distribution

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit
def observe(j: int, x: float, scale: Any, first: Any) -> None:
    """Update by one value of number `j`; NaN and infinity are ignored.

    Args:
        j: Index of the number.
        x: The new value.
        scale: float64[n, 3]: centre, spread and values seen.
        first: float64[n, FIRST]: the first values.
    """
    if not np.isfinite(x):
        return
    x = min(max(x, -FARTHEST), FARTHEST)
    seen = scale[j, SEEN] + 1.0
    scale[j, SEEN] = seen
    if seen <= FIRST:
        first[j, int(seen) - 1] = x
        if seen == FIRST:
            _begin(j, scale, first)
        return
    step = max(1.0 / seen, _SLOWEST)
    spread = scale[j, SPREAD]
    away = x - scale[j, CENTRE]
    reach = _REACH * spread
    centre = scale[j, CENTRE] + step * min(max(away, -reach), reach)
    spread *= 1.0 + step * (min(abs(away) / spread, _REACH) - 1.0)
    scale[j, CENTRE] = centre
    scale[j, SPREAD] = _at_least(spread, centre)


@_jit
def standardised(j: int, x: float, scale: Any) -> Any:
    """The value in standard deviations from the centre, limited to CLIP; 0 if nothing is known."""
    if not np.isfinite(x) or scale[j, SEEN] < FIRST:
        return 0.0
    x = min(max(x, -FARTHEST), FARTHEST)
    z = (x - scale[j, CENTRE]) / (_SIGMA * scale[j, SPREAD])
    return min(max(z, -CLIP), CLIP)


@_jit
def _begin(j: int, scale: Any, first: Any) -> None:
    values = np.sort(first[j])
    centre = values[FIRST // 2 - 1] / 2 + values[FIRST // 2] / 2
    away = np.sort(np.abs(values - centre))
    near = 3 * FIRST // 4
    spread = 0.0
    for i in range(near):
        spread += away[i] / near
    if spread == 0.0:
        spread = min(away[FIRST - 1], abs(centre) + 1.0) / FIRST
    scale[j, CENTRE], scale[j, SPREAD] = centre, _at_least(spread, centre)


@_jit
def _at_least(spread: float, centre: float) -> Any:
    """A positive spread for a number that never changes, to divide by."""
    return min(max(spread, 1e-9 * abs(centre), 1e-200), FARTHEST)
