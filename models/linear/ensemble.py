"""All parts of an answer, and the mixtures that weigh them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.linear import mixture_kernels as kernels
from models.linear.bank import MEMBERS
from models.linear.mixture import (
    GROUPED,
    GROUPS_STACKED,
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
_GROUP_INPUTS = np.array([GROUPED.start, GROUPED.start + 1, NEWEST_OFFLINE])


class Answer(NamedTuple):
    """Probabilities of label 1; `residual` is NaN while there is no offline model."""

    probability: float
    online: float
    residual: float


class Ensemble:
    """Weighs the learners of the bank, the offline models, and stacks.

    The learners alone are one group, those on the newest offline model another; each group is a
    part by its own mixture too. Logistic stacks are over all learners and the newest offline model,
    and over the two groups and that model.

    Attributes:
        everything: The mixture of all parts.
        online: The mixture of the learners alone.
        residual: The mixture of the learners on the newest offline model.
    """

    _STEPS = np.array(STACKS)

    def __init__(self) -> None:
        self.everything = Mixture(PARTS)
        self.online, self.residual = Mixture(MEMBERS), Mixture(MEMBERS)
        self._stacks = _equal(_INPUTS.stop)
        self._group_stacks = _equal(len(_GROUP_INPUTS))

    def answer(self, parts: Row) -> Answer:
        """Probabilities from the parts' logits.

        Args:
            parts: float64[PARTS]: what the bank and the offline models say, NaN where absent; the
                groups' and the stacks' logits are filled in.
        """
        given = np.empty(PARTS)
        kernels.probabilities(parts, given)
        online, residual = self.online.mix(given[ONLINE]), self.residual.mix(given[NEWEST])
        parts[GROUPED] = kernels.logit(online), kernels.logit(residual)
        kernels.stack(parts[_INPUTS], self._stacks, parts[STACKED])
        kernels.stack(parts[_GROUP_INPUTS], self._group_stacks, parts[GROUPS_STACKED])
        kernels.probabilities(parts, given)
        return Answer(self.everything.mix(given), online, residual)

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
        for inputs, stacked, weights in (
            (parts[_INPUTS], given[STACKED], self._stacks),
            (parts[_GROUP_INPUTS], given[GROUPS_STACKED], self._group_stacks),
        ):
            kernels.teach_stack(inputs, stacked, float(label), weights, self._STEPS)

    def activate(self) -> None:
        """Share what the newest offline model and its learners had between it and a newer one."""
        for shares in self.everything.shares:
            newest = np.r_[shares[NEWEST], shares[NEWEST_OFFLINE]]
            older = np.r_[shares[OLDER], shares[OLDER_OFFLINE]]
            shares[NEWEST.start : NEWEST_OFFLINE + 1] = newest / 2 + older
            shares[OLDER.start : OLDER_OFFLINE + 1] = newest / 2


def _equal(inputs: int) -> Row:
    """Weights of stacks that begin as the mean of their inputs, with a constant of 0."""
    weights = np.full((inputs + 1, len(STACKS)), 1 / inputs)
    weights[-1] = 0.0
    return weights
