"""Centre and spread of each number of a vector, learned one value at a time, robustly.

The centre follows the values by steps that no value can make longer than ten spreads, the spread
follows the mean absolute distance from the centre, which counts at most ten times the spread. So a
single value moves either by two per cent at the most, however extreme it is, and after a change of
unit both arrive within some thousand values, for the spread moves by factors and not by amounts.
"""

from typing import Any

import numba
import numpy as np

CENTRE, SPREAD, SEEN = 0, 1, 2
FIRST = 16
"""So many values are kept before centre and spread begin, as median and trimmed mean of them."""
CLIP = 5.0
"""Standardised numbers lie within plus and minus this."""
FARTHEST = 1e300
"""A value further from 0 counts as this; neither centre nor spread is further."""

_SLOWEST = 1 / 500
_REACH = 10.0
_SIGMA = 1.2533141373155003  # of a normal distribution: standard deviation by mean distance

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit
def observe(j: int, x: float, scale: Any, first: Any) -> None:
    """Take in one value of number `j`; NaN and infinity are no values.

    Args:
        j: Which number of the vector.
        x: Its value.
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
    """The value in standard deviations from the centre, within CLIP; 0 where nothing is known."""
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
    """A number that never changes has no spread, and none may be divided by 0."""
    return min(max(spread, 1e-9 * abs(centre), 1e-200), FARTHEST)
