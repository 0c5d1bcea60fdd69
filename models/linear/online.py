"""The models that learn from each label as it arrives: online, and residual on the offline logit.

Both are logistic regressions with AdaGrad over one design: what River's
`StandardScaler | LogisticRegression(AdaGrad)` computes (a test holds them to the same numbers),
compiled, because River's dictionaries cost a hundred times as much. Any River classifier can take
the online model's place. `predict` never changes state.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.linear import online_kernels as kernels
from models.linear.online_kernels import HASHED_PLACES, KINDS, Kind
from models.linear.river_model import RiverModel
from models.logits import MOST_WEIGHT, logit, sigmoid
from models.pointer_tables import LINEAR, Table

Row = NDArray[np.float64]


class OnlineModels:
    """The online and the residual model.

    Args:
        kinds: How each place of the vector is to be seen.
        crosses: Pairs of places of kind `level` whose combinations are learned too.
        rate: AdaGrad step of the online model.
        residual_rate: AdaGrad step of the residual model.
        river: A River classifier for the online model; see `models.linear.river_model`.
    """

    def __init__(
        self,
        kinds: Sequence[Kind],
        crosses: Sequence[tuple[int, int]] = (),
        *,
        rate: float = 0.08,
        residual_rate: float = 0.01,
        river: dict[str, Any] | None = None,
    ) -> None:
        n = len(kinds)
        numbers = np.array([KINDS[kind] for kind in kinds], np.int64)
        pairs = np.array(crosses, np.int64).reshape(-1, 2)
        self._spec = (numbers, pairs, HASHED_PLACES)
        self._most = n + 1 + n + len(pairs)
        self._rates = (rate, residual_rate)
        self._scale = np.zeros((n, 3))
        self._online = np.zeros((n + 1 + HASHED_PLACES, 2))
        self._residual = np.zeros((n + 1 + HASHED_PLACES, 2))
        self._river = None if river is None else RiverModel(river)

    @property
    def is_compiled(self) -> bool:
        """Whether `table` says all: not so if a River classifier has the online model's place."""
        return self._river is None

    def table(self) -> Table:
        """Both models for compiled code, as they are at any time: they stay where they are."""
        kinds, crosses, hashed = self._spec
        arrays = (kinds, crosses, self._scale, self._online, self._residual)
        of = dict(
            zip(
                ("kinds", "crosses", "scale", "online", "residual"),
                (array.ctypes.data for array in arrays),
                strict=True,
            )
        )
        sizes = {"width": len(kinds), "n_crosses": len(crosses), "hashed": hashed}
        return Table(LINEAR, of | sizes, arrays)

    def predict(self, row: Row, offline: float | None) -> tuple[float, float | None]:
        """Probabilities of the online and the residual model.

        Args:
            row: The feature vector, float64, NaN where missing.
            offline: The offline model's probability; without it there is no residual model.
        """
        online, correction = kernels.predict(
            row, self._spec, self._scale, self._online, self._residual, self._room()
        )
        p = sigmoid(online) if self._river is None else self._river.predict(self.design(row))
        return p, None if offline is None else sigmoid(logit(offline) + correction)

    def learn(self, row: Row, label: int, offline: float | None) -> None:
        """Take in one labelled vector.

        Args:
            row: The vector as it was scored.
            label: 0 or 1.
            offline: The offline probability when it was scored; None teaches the online model only.
        """
        offset = np.nan if offline is None else logit(offline)
        kernels.learn(
            row, float(label), offset, self._spec, self._scale,
            (self._online, self._residual), self._rates, self._room(),
        )  # fmt: skip
        if self._river is not None:
            self._river.learn(self.design(row), label)

    def design(self, row: Row) -> dict[int, float]:
        """The design as River takes it: value by place."""
        place, value = self._room()
        m = kernels.design(row, *self._spec[:2], self._scale, self._spec[2], place, value)
        return dict(zip(place[:m].tolist(), value[:m].tolist(), strict=True))

    def _room(self) -> tuple[NDArray[np.int64], Row]:
        """For one design; each call has its own, for threads may predict at once."""
        return np.empty(self._most, np.int64), np.empty(self._most)

    def snapshot(self) -> bytes:
        """Both models and the scaler; weights never touched are left out."""
        parts = [self._scale.tobytes()]
        for weights in (self._online, self._residual):
            used = np.logical_or(weights[:, 0], weights[:, 1]).nonzero()[0]
            parts += [used.tobytes(), weights[used].tobytes()]
        river = b"" if self._river is None else self._river.snapshot()
        return msgspec.msgpack.encode([*parts, river])

    def restore(self, state: bytes, *, river: bool = True) -> None:
        """Take the state from `snapshot` of models of the same kinds and crosses.

        Args:
            state: The bytes.
            river: Whether they are of the same River classifier; else it begins anew.

        Raises:
            ValueError: A length, a place or a number is not one of such models.
            msgspec.DecodeError: It is of another form.
        """
        scale, *vectors, pickled = msgspec.msgpack.decode(
            state, type=tuple[bytes, bytes, bytes, bytes, bytes, bytes]
        )
        self._scale[:] = _scale_of(scale, len(self._scale))
        for weights, used, values in zip(
            (self._online, self._residual), vectors[::2], vectors[1::2], strict=True
        ):
            places, known = _weights_of(used, values, len(weights))
            weights[:] = 0.0
            weights[places] = known
        if self._river is not None and river:
            self._river.restore(pickled)


def _scale_of(content: bytes, width: int) -> NDArray[np.float64]:
    """Counts, means and variances, of which `design` makes finite values only.

    A variance that is no number is that of a column with a number too large to square: it is not
    used any more, whatever its mean is.
    """
    if len(content) != 3 * 8 * width:
        msg = f"scale must be of {width} columns; got {len(content)} bytes"
        raise ValueError(msg)
    scale = np.frombuffer(content).reshape(width, 3)
    counts, means, variances = scale.T
    counted = np.isfinite(counts) & (counts >= 0.0)
    usable = np.isfinite(means) & (variances >= 0.0)
    if not (counted & (usable | np.isnan(variances))).all():
        msg = f"scale must hold counts, finite means and variances; got {content[:48]!r}"
        raise ValueError(msg)
    return scale


def _weights_of(
    used: bytes, values: bytes, size: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Places, and the weight and the sum of squares of each."""
    if len(used) % 8 or len(values) != 2 * len(used):
        msg = f"weights must be two for each place; got {len(values)} bytes for {len(used)}"
        raise ValueError(msg)
    places, weights = np.frombuffer(used, np.int64), np.frombuffer(values).reshape(-1, 2)
    inside = not len(places) or (places[0] >= 0 and places[-1] < size)
    if not inside or (np.diff(places) <= 0).any():
        msg = f"places of weights must ascend below {size}; got {places.tolist()[:6]}"
        raise ValueError(msg)
    small = np.abs(weights) <= MOST_WEIGHT
    if not small.all() or (weights[:, 1] < 0.0).any():
        msg = "weights must be numbers of some size, sums of squares none below 0; got others"
        raise ValueError(msg)
    return places, weights
