"""All parts of an answer, and the mixtures that weigh them."""

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.linear import ensemble_kernels as kernels
from models.linear.bank import MEMBERS
from models.linear.bank import NEWEST as NEWEST_SLOT
from models.linear.bank import OLDER as OLDER_SLOT
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
from models.logits import MOST_WEIGHT
from models.pointer_tables import ENSEMBLE, PointerTable

Row = NDArray[np.float64]

_LEFT = 0.01
"""Share below which a model is dropped."""


class EnsembleAnswer(NamedTuple):
    """Probabilities of label 1; `residual` is NaN while there is no offline model."""

    probability: float
    online: float
    residual: float


class Ensemble:
    """Weighs the learners of the bank, the offline models, and stacks.

    The learners alone, River classifiers among them, are one group, those on the newest offline
    model another, those on the older one a third; each group is a part by its own mixture too.
    Logistic stacks are over the learners of the first two and the newest offline model, and over
    the three groups and both models: two models that erred on different rows are better together.

    Args:
        rivers: Number of River classifiers.

    Attributes:
        parts: Number of parts.
        everything: The mixture of all parts.
        online: The mixture of the learners alone.
        residual: The mixture of the learners on the newest offline model.
        older: The mixture of the learners on the older one.
    """

    def __init__(self, rivers: int = 0) -> None:
        self._make(rivers)

    def _make(self, rivers: int) -> None:
        self._rivers = rivers
        self.parts = PARTS + rivers
        self.everything = Mixture(self.parts)
        self.online, self.residual = Mixture(MEMBERS + rivers), Mixture(MEMBERS)
        self.older = Mixture(MEMBERS)
        self._stacks = _equal(kernels.INPUTS + rivers)
        self._group_stacks = _equal(kernels.GROUP_INPUTS)

    @property
    def _held(self) -> tuple[Row, ...]:
        mixtures = (self.everything, self.online, self.residual, self.older)
        shares = (array for one in mixtures for array in (one.shares, one.trust))
        return (*shares, self._stacks, self._group_stacks)

    def table(self) -> PointerTable:
        """The ensemble for compiled code, always current and at the same address."""
        addresses = (array.ctypes.data for array in self._held)
        fields = dict(zip(ENSEMBLE.names or (), (self._rivers, *addresses), strict=True))
        return PointerTable(ENSEMBLE, fields, self._held)

    def answer(self, parts: Row) -> EnsembleAnswer:
        """Probabilities from the parts' logits.

        Args:
            parts: float64[parts]: logits of the bank and the offline models, NaN if absent, and
                from PARTS on of the River classifiers; the logits of groups and stacks are filled
                in.
        """
        return EnsembleAnswer(*kernels.answer(parts, self._held))

    def learn(
        self,
        parts: Row,
        label: int,
        newest_at: int = NEWEST_SLOT,
        older_at: int = OLDER_SLOT,
    ) -> None:
        """Update all weights by the parts of an answer; call it in request order.

        Args:
            parts: The parts that `answer` filled in.
            label: 0 or 1.
            newest_at: Current slot of the model that was the newest then; GONE: it no longer
                answers.
            older_at: Current slot of the model that was the older then.
        """
        kernels.learn(parts, float(label), self._held, newest_at, older_at)

    def activate(self, newest: int | None = None, older: int | None = NEWEST_SLOT) -> None:
        """Make another model the newest one; it gets a part of the others' shares.

        Args:
            newest: Current slot of the model that becomes the newest; None: it is new.
            older: Slot of the model that becomes the older; None: there is none.
        """
        for shares in self.everything.shares:
            had = {NEWEST_SLOT: shares[_NEWEST].copy(), OLDER_SLOT: shares[_OLDER].copy()}
            both = had[NEWEST_SLOT] + had[OLDER_SLOT]
            if older is None:
                shares[_NEWEST], shares[_OLDER] = both, _nothing(both)
            elif newest is None:
                shares[_NEWEST], shares[_OLDER] = both - had[older] / 2, had[older] / 2
            else:
                shares[_NEWEST], shares[_OLDER] = had[newest], had[older]
        held = {NEWEST_SLOT: self.residual, OLDER_SLOT: self.older}
        weights = {slot: (of.shares.copy(), of.trust.copy()) for slot, of in held.items()}
        for slot, before in ((NEWEST_SLOT, newest), (OLDER_SLOT, older)):
            if before is not None:
                held[slot].shares[:], held[slot].trust[:] = weights[before]

    def begin_offline(self) -> None:
        """The first offline model is about to come: the stacks do not lean on it unseen.

        What is absent counts as the mean of what is there, so their weights move to that, and they
        say what they said. (A stream of one hour's drift lost .0032 in the first hour, now .0005.)
        """
        rivers = range(kernels.INPUTS, kernels.INPUTS + self._rivers)
        for stacks, there in (
            (self._stacks, [*range(MEMBERS), *rivers]),
            (self._group_stacks, [0]),
        ):
            absent = np.setdiff1d(np.arange(len(stacks) - 1), there)
            stacks[there] += stacks[absent].sum(axis=0) / len(there)
            stacks[absent] = 0.0

    def shares(self, present: NDArray[np.bool_]) -> dict[str, float]:
        """Shares of the models in the answers; they sum to 1.

        Args:
            present: bool[parts]: the parts that are present; an absent one has no share.
        """
        of = np.where(present, self.everything.shares, 0.0)
        total = self.everything.trust @ (of / of.sum(axis=1, keepdims=True))
        online, residual, older = total[GROUPED]
        return {
            "online": float(total[ONLINE].sum() + total[PARTS:].sum() + online),
            "residual": float(total[NEWEST].sum() + residual),
            "offline": float(total[NEWEST_OFFLINE]),
            "older_residual": float(total[OLDER].sum() + older),
            "older_offline": float(total[OLDER_OFFLINE]),
            "stacks": float(total[STACKED.start : PARTS].sum()),
        }

    def has_left_older(self, present: NDArray[np.bool_]) -> bool:
        """Whether the older model has lost its share in the answers."""
        shares = self.shares(present)
        direct = shares["older_residual"] + shares["older_offline"]
        of = np.where(present, self.everything.shares, 0.0)
        stacks = (self.everything.trust @ (of / of.sum(axis=1, keepdims=True)))[GROUPS_STACKED]
        weights = abs(self._group_stacks[:-1])
        leaning = weights[_OLDER_INPUTS].sum(axis=0) / np.maximum(weights.sum(axis=0), _NEAR)
        return bool(direct + stacks @ leaning < _LEFT)

    def snapshot(self) -> bytes:
        """Encode all weights."""
        return msgspec.msgpack.encode([array.tobytes() for array in self._held])

    def change_rivers(self, rivers: int) -> None:
        """Change the number of River classifiers; all of them begin with little weight."""
        had = self._held
        inputs = kernels.INPUTS
        self._make(rivers)
        for own, (shares, trust), known in (
            (self.everything, had[0:2], PARTS),
            (self.online, had[2:4], MEMBERS),
            (self.residual, had[4:6], MEMBERS),
            (self.older, had[6:8], MEMBERS),
        ):
            own.shares[:, :known] = shares[:, :known]
            own.shares /= own.shares.sum(axis=1, keepdims=True)
            own.trust[:] = trust
        self._stacks[inputs:] = 0.0
        self._stacks[:inputs], self._stacks[-1] = had[8][:inputs], had[8][-1]
        self._group_stacks[:] = had[9]

    def restore(self, state: bytes) -> None:
        """Restore a `snapshot` of an ensemble with as many River classifiers.

        Raises:
            ValueError: A length or a number is invalid.
            msgspec.DecodeError: The bytes have another form.
        """
        arrays = msgspec.msgpack.decode(state, type=tuple[bytes, ...])
        lengths = [array.nbytes for array in self._held]
        if [len(array) for array in arrays] != lengths:
            msg = f"weights of an ensemble must be of {lengths} bytes; got {len(state)} in all"
            raise ValueError(msg)
        read = [
            np.frombuffer(array).reshape(own.shape)
            for array, own in zip(arrays, self._held, strict=True)
        ]
        for array in read[: 2 * _MIXTURES]:
            if not ((array >= 0.0).all() and (abs(array.sum(axis=-1) - 1.0) < _NEAR).all()):
                msg = f"shares must be a distribution; got {array.tolist()}"
                raise ValueError(msg[:200])
        if not all((abs(array) <= MOST_WEIGHT).all() for array in read[2 * _MIXTURES :]):
            msg = "weights of stacks must be numbers of some size; got others"
            raise ValueError(msg)
        for own, array in zip(self._held, read, strict=True):
            own[:] = array


_NEWEST, _OLDER = slice(NEWEST.start, NEWEST_OFFLINE + 1), slice(OLDER.start, OLDER_OFFLINE + 1)
_MIXTURES = 4
_OLDER_INPUTS = slice(3, kernels.GROUP_INPUTS)
_NEAR = 1e-6


def _equal(inputs: int) -> Row:
    """Weights of stacks that begin as the mean of their inputs, with a constant of 0."""
    weights = np.full((inputs + 1, len(STACKS)), 1 / inputs)
    weights[-1] = 0.0
    return weights


def _nothing(shares: Row) -> Row:
    return np.zeros_like(shares)
