"""The bank: linear learners that differ only in their step rule, so that no rate must be set.

Each learns from every label when it arrives: alone, and again with the logit of each offline model
as a fixed offset, which corrects that model's current errors. `predict` never changes state.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.linear import bank_kernels as kernels
from models.linear.autostep_kernels import GAIN, KEPT, TRACE
from models.linear.places import HASHED_PLACES, KINDS, Kind
from models.linear.scaling import FARTHEST, FIRST, SEEN, SPREAD
from models.logits import MOST_WEIGHT
from models.pointer_tables import BANK, PointerTable

Row = NDArray[np.float64]

ADAGRAD = (0.01, 0.08)
"""First steps of the learners whose steps fade."""
NORMALISED = (0.1, 0.3, 1.0)
"""Share of its error that a learner with constant steps corrects at once."""
OWN = 0.1
"""Share of its error that the learner with adaptive steps corrects at first."""
MEMBERS = len(ADAGRAD) + len(NORMALISED) + 1
ONLINE, NEWEST, OLDER = range(kernels.SLOTS)
"""Slots: the learners alone, and on the logit of the newest and of the older offline model."""

_SQUARES = len(ADAGRAD)
_MEMORY = _SQUARES + KEPT
_FIRST_ROOM = 1024


class Bank:
    """Learners over one design.

    Args:
        kinds: Treatment of each column of the vector.
        crosses: Pairs of columns of kind `level` whose combinations are learned too.

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
        self._rates = np.array((*ADAGRAD, *NORMALISED, OWN))
        self._most = n + 1 + len(self._crosses)
        self._scale, self._first = np.zeros((n, 3)), np.zeros((n, FIRST))
        self._rows = np.zeros(n + 1 + HASHED_PLACES, np.int32)
        self._taken = np.zeros(1, np.int64)
        self._spec = self._kinds, self._crosses, self._scale, HASHED_PLACES
        self._table = PointerTable(BANK, {}, ())
        self._make(_FIRST_ROOM)

    def _make(self, room: int) -> None:
        """Allocate rows for so many places, and one for all places not learned yet."""
        self._weights = np.zeros((room + 1, kernels.SLOTS * MEMBERS))
        self._memory = np.zeros((room + 1, kernels.SLOTS * _MEMORY))
        self._places = np.zeros(room + 1, np.int64)
        self._held = (
            self._weights, self._memory, self._rows, self._places, self._taken, self._rates,
        )  # fmt: skip
        arrays: dict[str, NDArray[Any]] = {
            "kinds": self._kinds, "crosses": self._crosses, "scale": self._scale,
            "first": self._first, "weights": self._weights, "memory": self._memory,
            "rows": self._rows, "places": self._places, "taken": self._taken, "rates": self._rates,
        }  # fmt: skip
        sizes = {
            "width": len(self._kinds), "n_crosses": len(self._crosses), "hashed": HASHED_PLACES,
            "room": room + 1,
        }  # fmt: skip
        addresses = {name: array.ctypes.data for name, array in arrays.items()}
        self._table.change(addresses | sizes, tuple(arrays.values()))

    def make_room(self) -> None:
        """Make sure that one more vector can be learned; the table stays valid."""
        taken = int(self._taken[0])
        if taken + self._most < len(self._weights):
            return
        had = self._weights, self._memory, self._places
        self._make(2 * (len(self._weights) - 1))
        for own, before in zip((self._weights, self._memory, self._places), had, strict=True):
            own[: len(before)] = before

    def table(self) -> PointerTable:
        """The bank for compiled code, always current."""
        return self._table

    def predict(self, row: Row, offline: tuple[float | None, float | None]) -> Row:
        """Logits of all learners, float64[slots, members]; NaN for a slot without an offline model.

        Args:
            row: The feature vector, float64, NaN for a missing value.
            offline: Logits of the newest and the older offline model.
        """
        place, value, m, _ = self._entries(row)
        sums = np.empty(kernels.SLOTS * MEMBERS)
        kernels.respond(self._weights, self._rows, place, value, m, sums)
        return sums.reshape(kernels.SLOTS, MEMBERS) + _offsets(offline)[:, np.newaxis]

    def learn(self, row: Row, label: int, offline: tuple[float | None, float | None]) -> None:
        """Learn from one labelled vector.

        Args:
            row: The scored vector.
            label: 0 or 1.
            offline: Logits of the two offline models when it was scored; a slot without one is
                skipped.
        """
        self.make_room()
        kernels.rescale(row, self._kinds, self._scale, self._first)
        kernels.learn(self._held, self._entries(row), float(label), _offsets(offline))

    def activate(self, newest: int | None = None, older: int | None = NEWEST) -> None:
        """Begin to correct another offline model.

        Of a model that is new, the learners whose steps never fade forget how they corrected the
        one before; those whose steps fade keep it, for what is wrong for long is so with the next
        model too. (Quotes .4875, where all keep it .4887; flights .4303, where none does .4309.)
        How long its steps are at each place is kept by the one that finds that out itself; from the
        learner alone, where no model has been corrected there.

        Args:
            newest: Slot that has corrected it so far; None: it is a new model.
            older: Slot that has corrected the model that becomes the older; None: there is none.
        """
        weights, memory = (
            array.reshape(len(array), kernels.SLOTS, -1) for array in (self._weights, self._memory)
        )
        before = [
            array[:, NEWEST if newest is None else newest].copy() for array in (weights, memory)
        ]
        if newest is None:
            before[0][:, _SQUARES:] = 0.0
            own = before[1][:, _SQUARES:]
            own[:] = np.where(own[:, [GAIN]] == 0.0, memory[:, ONLINE, _SQUARES:], own)
            own[:, TRACE] = 0.0
        for array, begun in zip((weights, memory), before, strict=True):
            array[:, OLDER] = 0.0 if older is None else array[:, older].copy()
            array[:, NEWEST] = begun

    def warm(self, rows: Row, labels: NDArray[np.int64], logits: Row) -> None:
        """Train the newest slot on labelled vectors that the model's fit has not seen.

        Args:
            rows: float64[n, width]: labelled vectors, oldest first.
            labels: int64[n]: their labels.
            logits: float64[n]: the model's logits for them; NaN if it gives none.
        """
        for i in range(len(rows)):
            self.make_room()
            one = slice(i, i + 1)
            kernels.warm(self._held, self._spec, rows[one], labels[one], logits[one], NEWEST)

    def design(self, row: Row) -> dict[int, float]:
        """The design in River's form: value by place."""
        place, value, m, _ = self._entries(row)
        return dict(zip(place[:m].tolist(), value[:m].tolist(), strict=True))

    def snapshot(self) -> bytes:
        """Encode all learners and the scale, without places never learned."""
        taken = int(self._taken[0])
        order = np.argsort(self._places[1 : taken + 1]) + 1
        arrays = (self._scale, self._first, self._places[order], self._weights[order])
        content = [array.tobytes() for array in (*arrays, self._memory[order])]
        return msgspec.msgpack.encode(content)

    def restore(self, state: bytes) -> None:
        """Restore a `snapshot` of a bank with the same kinds and crosses.

        Raises:
            ValueError: A length, a place or a number is invalid.
            msgspec.DecodeError: The bytes have another form.
        """
        scale, first, used, weights, memory = msgspec.msgpack.decode(
            state, type=tuple[bytes, bytes, bytes, bytes, bytes]
        )
        n = len(self._kinds)
        places = _array(used, np.int64, (-1,), "places")
        rising = len(places) == 0 or (places[0] >= 0 and places[-1] < len(self._rows))
        if not rising or (np.diff(places) <= 0).any():
            msg = f"places of weights must ascend below {len(self._rows)}; got others"
            raise ValueError(msg)
        read = [
            _array(scale, np.float64, (n, 3), "scale"),
            _array(first, np.float64, (n, FIRST), "first values"),
            _array(weights, np.float64, (len(places), self._weights.shape[1]), "weights"),
            _array(memory, np.float64, (len(places), self._memory.shape[1]), "memory"),
        ]
        _check_scale(read[0], read[1])
        if not all((np.abs(array) <= MOST_WEIGHT).all() for array in read[2:]):
            msg = "weights must be numbers of some size; got others"
            raise ValueError(msg)
        kept = read[3].reshape(len(places), kernels.SLOTS, _MEMORY)
        if (np.delete(kept, _SQUARES + TRACE, axis=2) < 0.0).any():
            msg = "sums of squares, gains and spans must not be below 0; got one that is"
            raise ValueError(msg)
        self._scale[:], self._first[:] = read[:2]
        room = _FIRST_ROOM
        while room < len(places) + self._most:
            room *= 2
        self._rows[self._places] = 0
        self._make(room)
        taken = slice(1, len(places) + 1)
        self._places[taken], self._weights[taken], self._memory[taken] = places, *read[2:]
        self._rows[places] = np.arange(1, len(places) + 1)
        self._taken[0] = len(places)

    def _entries(self, row: Row) -> tuple[NDArray[np.int64], Row, int, float]:
        """Compute a design in an array of its own, as several threads may predict at once."""
        place, value = np.empty(self._most, np.int64), np.empty(self._most)
        kinds, crosses, scale, size = self._spec
        m, norm = kernels.design(row, kinds, crosses, scale, size, place, value)
        return place, value, m, norm


def _array(content: bytes, kind: type[np.generic], shape: tuple[int, ...], what: str) -> Any:
    """Make an array of a shape from its bytes.

    Raises:
        ValueError: The number of bytes does not fit.
    """
    try:
        return np.frombuffer(content, kind).reshape(shape)
    except ValueError:
        msg = f"{what} of a bank must be of shape {shape}; got {len(content)} bytes"
        raise ValueError(msg) from None


def _check_scale(scale: Row, first: Row) -> None:
    """Refuse an invalid centre, spread or count; numbers are divided by the spread.

    Raises:
        ValueError: A number is invalid.
    """
    seen = scale[:, SEEN]
    counted = (seen >= 0.0) & (seen == np.floor(seen))
    learned = (seen < FIRST) | (scale[:, SPREAD] > 0.0)
    small = all((np.abs(array) <= FARTHEST).all() for array in (scale, first))
    if not (small and counted.all() and learned.all()):
        msg = f"scale must hold centres, spreads above 0 and counts; got {scale.tolist()}"
        raise ValueError(msg[:200])


def _offsets(offline: tuple[float | None, float | None]) -> Row:
    newest, older = offline
    return np.array([0.0, np.nan if newest is None else newest, np.nan if older is None else older])
