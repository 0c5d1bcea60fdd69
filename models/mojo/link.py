"""What turns a MOJO's raw sum into its prediction, as codes that compiled kernels share."""

import math

from numba import njit

IDENTITY, LOGIT, LOG, COMPLEMENT = range(4)
LINKS = {"identity": IDENTITY, "logit": LOGIT, "log": LOG}
"""The link functions that H2O writes by name; `COMPLEMENT` is how a random forest votes."""

compiled = njit(nogil=True, cache=True, fastmath=False, error_model="numpy")


@compiled
def inverse(link: int, raw: float) -> float:
    """The prediction that belongs to a raw sum.

    Args:
        link: One of the codes above.
        raw: The sum on the scale of the link.

    Returns:
        The prediction.

    Example:
        >>> round(inverse(LOGIT, 1.0), 4)
        0.7311
        >>> inverse(COMPLEMENT, 0.25)
        0.75
    """
    if link == LOGIT:
        return 1.0 / (1.0 + math.exp(-raw))
    if link == LOG:
        return math.exp(raw)
    if link == COMPLEMENT:
        return 1.0 - raw
    return raw
