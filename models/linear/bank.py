"""The bank: linear learners that differ in their step rule alone, so that nobody has to set a rate.

Each learns from every label as it arrives: by itself, and once more on the logit of each offline
model that is live, as the correction of what that model currently gets wrong. `predict` never
changes state.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.linear import bank_kernels as kernels
from models.linear.online_kernels import HASHED_PLACES, KINDS, Kind
from models.linear.scaling import FIRST

Row = NDArray[np.float64]

ADAGRAD = (0.01, 0.08)
"""First steps of the learners whose steps fade."""
NORMALISED = (0.03, 0.1, 0.3, 1.0)
"""Of those whose steps never fade: the share of its error that a learner corrects at once."""
MEMBERS = len(ADAGRAD) + len(NORMALISED)
ONLINE, NEWEST, OLDER = range(kernels.SLOTS)
"""Slots: the learners alone, and on the logit of the newest and of the older offline model."""


class Bank:
    """Learners over one design.

    Args:
        kinds: How each place of the vector is to be seen.
        crosses: Pairs of places of kind `level` whose combinations are learned too.

    Example:
        >>> bank, none = Bank(["identity"]), (None, None)
        >>> for x in [1.0, -1.0] * 500:
        ...     bank.learn(np.array([x]), int(x > 0), none)
        >>> logits = bank.predict(np.array([1.0]), none)
        >>> bool((logits[ONLINE] > 0).all()), bool(np.isnan(logits[[NEWEST, OLDER]]).all())
        (True, True)
    """

    def __init__(self, kinds: Sequence[Kind], crosses: Sequence[tuple[int, int]] = ()) -> None:
        n = len(kinds)
        self._kinds = np.array([KINDS[kind] for kind in kinds], np.int64)
        self._crosses = np.array(crosses, np.int64).reshape(-1, 2)
        self._rates = np.array(ADAGRAD + NORMALISED)
        self._most = n + 1 + len(self._crosses)
        places = n + 1 + HASHED_PLACES
        self._scale, self._first = np.zeros((n, 3)), np.zeros((n, FIRST))
        self._weights = np.zeros((places, kernels.SLOTS * MEMBERS))
        self._squares = np.zeros((places, kernels.SLOTS * len(ADAGRAD)))

    def predict(self, row: Row, offline: tuple[float | None, float | None]) -> Row:
        """Logits of all learners, float64[slots, members]; NaN where there is no offline model.

        Args:
            row: The feature vector, float64, NaN where missing.
            offline: Logits of the newest and of the older offline model.
        """
        place, value = self._room()
        m, _ = kernels.design(
            row, self._kinds, self._crosses, self._scale, HASHED_PLACES, place, value
        )
        sums = np.empty(kernels.SLOTS * MEMBERS)
        kernels.respond(self._weights, place, value, m, sums)
        return sums.reshape(kernels.SLOTS, MEMBERS) + _offsets(offline)[:, np.newaxis]

    def learn(self, row: Row, label: int, offline: tuple[float | None, float | None]) -> None:
        """Take in one labelled vector.

        Args:
            row: The vector as it was scored.
            label: 0 or 1.
            offline: Logits of the two offline models when it was scored; a slot without one rests.
        """
        self._learn(row, label, _offsets(offline))

    def activate(self, rows: Row, labels: Sequence[int], logits: Sequence[float]) -> None:
        """Make the newest offline model the older one, and begin to correct another.

        Args:
            rows: float64[n, width]: labelled vectors that the new model's fit has not seen, oldest
                first, from which its correction learns before it is asked.
            labels: Theirs.
            logits: What the new model says of them.
        """
        for array in (self._weights, self._squares):
            width = array.shape[1] // kernels.SLOTS
            array[:, OLDER * width :] = array[:, NEWEST * width : OLDER * width]
            array[:, NEWEST * width : OLDER * width] = 0.0
        offsets = np.full(kernels.SLOTS, np.nan)
        for row, label, logit in zip(rows, labels, logits, strict=True):
            offsets[NEWEST] = logit
            self._teach(row, label, offsets)

    def snapshot(self) -> bytes:
        """All learners and the scale; places never touched are left out."""
        used = np.flatnonzero(self._weights.any(axis=1))
        arrays = (self._scale, self._first, used, self._weights[used], self._squares[used])
        return msgspec.msgpack.encode([array.tobytes() for array in arrays])

    def restore(self, state: bytes) -> None:
        """Take the state from `snapshot` of a bank of the same kinds and crosses.

        Raises:
            ValueError: These are not the bytes of such a bank.
        """
        scale, first, used, weights, squares = msgspec.msgpack.decode(
            state, type=tuple[bytes, bytes, bytes, bytes, bytes]
        )
        places = np.frombuffer(used, np.int64)
        if len(places) and (places[0] < 0 or places[-1] >= len(self._weights)):
            msg = f"places must lie below {len(self._weights)}; got {places[0]} to {places[-1]}"
            raise ValueError(msg)
        if (np.diff(places) <= 0).any():
            msg = "places must rise in a bank's state; got some that do not"
            raise ValueError(msg)
        found = [np.frombuffer(part) for part in (scale, first, weights, squares)]
        if not all(np.isfinite(array).all() for array in found):
            msg = "a bank's state must hold finite numbers; got some that are not"
            raise ValueError(msg)
        self._scale[:] = found[0].reshape(self._scale.shape)
        self._first[:] = found[1].reshape(self._first.shape)
        for array, values in ((self._weights, found[2]), (self._squares, found[3])):
            array[:] = 0.0
            array[places] = values.reshape(len(places), array.shape[1])

    def _learn(self, row: Row, label: int, offsets: Row) -> None:
        kernels.rescale(row, self._kinds, self._scale, self._first)
        self._teach(row, label, offsets)

    def _teach(self, row: Row, label: int, offsets: Row) -> None:
        place, value = self._room()
        m, norm = kernels.design(
            row, self._kinds, self._crosses, self._scale, HASHED_PLACES, place, value
        )
        kernels.learn(
            self._weights, self._squares, (place, value, m, norm), float(label), offsets,
            self._rates, np.empty(kernels.SLOTS * MEMBERS),
        )  # fmt: skip

    def _room(self) -> tuple[NDArray[np.int64], Row]:
        """For one design; each call has its own, for threads may predict at once."""
        return np.empty(self._most, np.int64), np.empty(self._most)


def _offsets(offline: tuple[float | None, float | None]) -> Row:
    newest, older = offline
    return np.array([0.0, np.nan if newest is None else newest, np.nan if older is None else older])
