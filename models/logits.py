"""Probabilities and log odds."""

import math

LEAST = 1e-6
"""Least distance of a probability from 0 and 1."""

MOST_WEIGHT = 1e100
"""Bound on learned weights, so that a sum of products with weights is finite."""

_NO_CHANGE = 0.005


def logit(probability: float) -> float:
    """Natural log odds of a probability, which is first limited to 1e-6 from 0 and 1.

    Example:
        >>> logit(0.5), round(logit(1.0), 2)
        (0.0, 13.82)
    """
    p = min(max(probability, LEAST), 1.0 - LEAST)
    return math.log(p / (1.0 - p))


def odds_in_words(change: float) -> str:
    """A difference of log odds in words, with its direction.

    Example:
        >>> odds_in_words(0.12), odds_in_words(-0.12)
        ('raises the odds by 13 %', 'lowers the odds by 11 %')
        >>> odds_in_words(2.0), odds_in_words(-2.0)
        ('makes the odds 7.39 times as high', 'divides the odds by 7.39')
        >>> odds_in_words(0.0001)
        'leaves the odds as they are'
    """
    if abs(change) < _NO_CHANGE:
        return "leaves the odds as they are"
    if abs(change) < math.log(2.0):
        word = "raises" if change > 0 else "lowers"
        return f"{word} the odds by {abs(math.expm1(change)) * 100:.0f} %"
    times = f"{math.exp(abs(change)):.3g}"
    if change < 0:
        return f"divides the odds by {times}"
    return f"makes the odds {times} times as high"


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
