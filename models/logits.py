"""Probabilities and log odds."""

import math

LEAST = 1e-6
"""Least distance of a probability from 0 and 1."""

MOST_WEIGHT = 1e100
"""Bound on learned weights, so that a sum of products with weights is finite."""


def logit(probability: float) -> float:
    """Natural log odds of a probability, which is first limited to 1e-6 from 0 and 1.

    Example:
        >>> logit(0.5), round(logit(1.0), 2)
        (0.0, 13.82)
    """
    p = min(max(probability, LEAST), 1.0 - LEAST)
    return math.log(p / (1.0 - p))


def sigmoid(logit: float) -> float:
    """The probability with log odds `logit`.

    Example:
        >>> sigmoid(0.0), sigmoid(-800.0)
        (0.5, 0.0)
    """
    if logit >= 0.0:
        return 1.0 / (1.0 + math.exp(-logit))
    e = math.exp(logit)
    return e / (1.0 + e)
