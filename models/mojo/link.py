"""Functions from a MOJO's raw sum to its prediction, as codes for compiled kernels."""

import math

from numba import njit

IDENTITY, LOGIT, LOG, COMPLEMENT = range(4)
LINKS = {"identity": IDENTITY, "logit": LOGIT, "log": LOG}
"""Codes of H2O's link functions by name; `COMPLEMENT` is the vote of a random forest."""

_MOST_EXP = 1e19
"""Cap on exponentials in H2O's trees (`LogExpUtil.exp`); its linear models have none."""

compiled = njit(nogil=True, cache=True, fastmath=False, error_model="numpy")


@compiled
def inverse(link: int, raw: float) -> float:
    """The prediction of a linear model.

    Args:
        link: One of the codes above.
        raw: Raw sum, on the scale of the link.

    Returns:
        The prediction.

    Example:
        >>> round(inverse(LOGIT, 1.0), 4)
        0.7311
    """
    if link == LOGIT:
        return 1.0 / (1.0 + math.exp(-raw))
    if link == LOG:
        return math.exp(raw)
    return raw


@compiled
def _capped_exp(raw: float) -> float:
    return min(math.exp(raw), _MOST_EXP)


@compiled
def inverse_of_trees(link: int, raw: float) -> float:
    """The prediction of a tree model.

    Args:
        link: See `inverse`.
        raw: See `inverse`.

    Returns:
        The prediction.

    Example:
        >>> round(inverse_of_trees(LOGIT, 1.0), 4), inverse_of_trees(LOG, 50.0)
        (0.7311, 1e+19)
        >>> inverse_of_trees(COMPLEMENT, 0.25)
        0.75
    """
    if link == LOGIT:
        return 1.0 / (1.0 + _capped_exp(-raw))
    if link == LOG:
        return _capped_exp(raw)
    if link == COMPLEMENT:
        return 1.0 - raw
    return raw
