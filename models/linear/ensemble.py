"""All parts of an answer, and the mixtures that weigh them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.linear import mixture_kernels as kernels
from models.linear.bank import MEMBERS
from models.linear.mixture import (
    NEWEST,
    NEWEST_OFFLINE,
    OLDER,
    OLDER_OFFLINE,
    ONLINE,
    PARTS,
    STACKED,
    STACKS,
    Mixture,
)

Row = NDArray[np.float64]
_INPUTS = slice(0, NEWEST_OFFLINE + 1)


class Answer(NamedTuple):
    """Probabilities of label 1; `residual` is NaN while there is no offline model."""

    probability: float
    online: float
    residual: float


class Ensemble:
    """Weighs the bank's learners, the offline models and logistic stacks of the newest of them.

    Attributes:
        everything: Over all parts.
        online: Over the learners alone.
        residual: Over the learners on the newest offline model.
    """

    _STEPS = np.array(STACKS)

    def __init__(self) -> None:
        self.everything, self.online, self.residual = (
            Mixture(PARTS),
            Mixture(MEMBERS),
            Mixture(MEMBERS),
        )
        self._stacks = np.full((NEWEST_OFFLINE + 2, len(STACKS)), 1 / (NEWEST_OFFLINE + 1))
        self._stacks[-1] = 0.0

    def answer(self, parts: Row) -> Answer:
        """Probabilities from the parts' logits.

        Args:
            parts: float64[PARTS]: what the bank and the offline models say, NaN where absent; the
                stacks' logits are filled in.
        """
        kernels.stack(parts[_INPUTS], self._stacks, parts[STACKED])
        given = np.empty(PARTS)
        kernels.probabilities(parts, given)
        return Answer(
            self.everything.mix(given),
            self.online.mix(given[ONLINE]),
            self.residual.mix(given[NEWEST]),
        )

    def learn(self, parts: Row, label: int) -> None:
        """Move all weights by what each part said; in the order of the requests.

        Args:
            parts: As `answer` left them.
            label: 0 or 1.
        """
        given = np.empty(PARTS)
        kernels.probabilities(parts, given)
        self.everything.learn(given, label)
        self.online.learn(given[ONLINE], label)
        self.residual.learn(given[NEWEST], label)
        kernels.teach_stack(parts[_INPUTS], given[STACKED], float(label), self._stacks, self._STEPS)

    def activate(self) -> None:
        """Share what the newest offline model and its learners had between it and a newer one."""
        for shares in self.everything.shares:
            newest = np.r_[shares[NEWEST], shares[NEWEST_OFFLINE]]
            older = np.r_[shares[OLDER], shares[OLDER_OFFLINE]]
            shares[NEWEST.start : NEWEST_OFFLINE + 1] = newest / 2 + older
            shares[OLDER.start : OLDER_OFFLINE + 1] = newest / 2
