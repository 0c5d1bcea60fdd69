"""The tracking mixture: one probability from all parts, with weights that follow the best part.

Parts are the learners of the bank, the offline models, and logistic stacks of them with several
rates. Weights are updated in request order, not in label order: if label 1 comes early and 0 by
silence, label order favours parts that predict 1.

For every sequence of labels, over n requests and K parts, the mixture's log-loss is at most that of
any part over the requests where it was present, plus

    (ln 4 + ln K + n (-ln(1 - 1e-6) - ln(1 - 1e-6))) / ETA                (`regret_bound`)

and, for a sequence of parts with k switches, plus `ln(K/r) / ETA` for each switch at the best of
the switching rates r = 1e-6, 1e-5, 1e-4, 1e-3 (Herbster and Warmuth, Tracking the Best Expert,
1998, for log-loss, which may be weighed with any ETA up to 1). That is for labels that come before
the next request. They come late, and hundreds of requests are weighed by shares that know nothing
of each other's labels: with ETA = 1 the shares overshoot. Over thirty drifting streams with labels
after one to ten minutes 0.3 was better than 1 and 0.1, and on the flights by .0015.
A part's probability counts as no nearer to 0 or 1 than 1e-6.
"""

import math

import numpy as np
from numpy.typing import NDArray

from models.linear import mixture_kernels as kernels
from models.linear.bank import MEMBERS

Row = NDArray[np.float64]

SWITCHING = (1e-6, 1e-5, 1e-4, 1e-3)
DRIFT = 1e-6
ETA = 0.3
"""Weight of a label's evidence in the update of the shares."""
STACKS = (0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01)
"""Learning rates of the stacks."""

ONLINE = slice(0, MEMBERS)
NEWEST = slice(MEMBERS, 2 * MEMBERS)
NEWEST_OFFLINE = 2 * MEMBERS
OLDER = slice(2 * MEMBERS + 1, 3 * MEMBERS + 1)
OLDER_OFFLINE = 3 * MEMBERS + 1
GROUPED = slice(OLDER_OFFLINE + 1, OLDER_OFFLINE + 4)
"""The learners alone, those on the newest offline model, and those on the older one."""
STACKED = slice(GROUPED.stop, GROUPED.stop + len(STACKS))
GROUPS_STACKED = slice(STACKED.stop, STACKED.stop + len(STACKS))
PARTS = GROUPS_STACKED.stop
"""Index of each part's logit in a float64[PARTS], and their number."""


def regret_bound(n: int, parts: int) -> float:
    """Bound on the log-loss (nats) of a mixture above the best part's, after n requests.

    Example:
        >>> round(regret_bound(1_000_000, 26), 1)
        22.1
    """
    each = -math.log1p(-SWITCHING[0]) - math.log1p(-DRIFT)
    return (math.log(len(SWITCHING)) + math.log(parts) + n * each) / ETA


class Mixture:
    """A mixture of several parts.

    Args:
        parts: Number of parts.

    Attributes:
        shares: float64[rates, parts], a distribution over the parts for each switching rate.
        trust: float64[rates], a distribution over the switching rates.

    Example:
        >>> mixture = Mixture(2)
        >>> mixture.mix(np.array([0.2, 0.8])), mixture.mix(np.array([0.2, np.nan]))
        (0.5, 0.2)
        >>> for _ in range(60):
        ...     mixture.learn(np.array([0.2, 0.8]), 1)
        >>> round(mixture.mix(np.array([0.2, 0.8])), 2)
        0.8
    """

    _RATES = np.array(SWITCHING)

    def __init__(self, parts: int) -> None:
        self.shares = np.full((len(SWITCHING), parts), 1 / parts)
        self.trust = np.full(len(SWITCHING), 1 / len(SWITCHING))

    def mix(self, parts: Row) -> float:
        """The probability, from the parts' probabilities (NaN: absent); NaN if none is present."""
        return float(kernels.mix(parts, self.shares, self.trust))

    def learn(self, parts: Row, label: int) -> None:
        """Update the weights by the parts' probabilities of the label."""
        kernels.update(parts, float(label), self.shares, self.trust, self._RATES, DRIFT, ETA)

    @property
    def weights(self) -> Row:
        """The share of each part, float64[parts], over all switching rates; they sum to 1."""
        return np.asarray(self.trust @ self.shares)
