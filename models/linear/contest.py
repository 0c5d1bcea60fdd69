"""The contest of the two offline models that answer: evidence on live requests, in request order.

Each is judged by what it says itself. With the learners that correct it, the older one would be
better for a while even if both were the same, as its learners know it longer. See
`models.judging.betting` for the evidence.
"""

import math
from typing import Any, NamedTuple

import msgspec
import numpy as np

from models.judging import betting
from models.judging.betting import STAKES, compare, jit
from models.linear.mixture import NEWEST_OFFLINE, OLDER_OFFLINE
from models.linear.places import sigmoid
from models.logits import LEAST

STAKED = len(STAKES)
SHAPE = (2, STAKED + 1)
"""The capitals of two bets, that the newest model is better and that it is worse; in the last
column the number of labels, and the sum of the older model's log-loss minus the newest one's."""

_LARGEST = -2.0 * math.log(LEAST)
"""More than the difference of two log-losses."""


class Evidence(NamedTuple):
    """Evidence between two models; 1 says nothing, and 1/α is reached by chance with probability α.

    Attributes:
        better: Evidence that the newest model is better than the one before.
        worse: Evidence that it is worse.
        labels: Number of labels.
        gain: Mean log-loss of the older model minus that of the newest one.
    """

    better: float
    worse: float
    labels: int
    gain: float


class Contest:
    """The evidence between the newest offline model and the one before.

    Attributes:
        address: Address of its state, for compiled code.
    """

    def __init__(self) -> None:
        self._state = np.ones(SHAPE)
        self.address: int = self._state.ctypes.data
        self.restart()

    def restart(self) -> None:
        """Forget all evidence, as one of the models is another, or the title has changed."""
        self._state[:] = 1.0
        self._state[:, STAKED] = 0.0

    @property
    def evidence(self) -> Evidence:
        """The evidence since the last restart."""
        better, worse = self._state[:, :STAKED].mean(axis=1).tolist()
        labels, gains = self._state[:, STAKED].tolist()
        return Evidence(better, worse, int(labels), gains / max(labels, 1.0))

    def snapshot(self) -> bytes:
        """Encode the evidence."""
        return msgspec.msgpack.encode(self._state.tobytes())

    def restore(self, state: bytes) -> None:
        """Restore a `snapshot`.

        Raises:
            ValueError: A length or a number is invalid.
            msgspec.DecodeError: The bytes have another form.
        """
        content = msgspec.msgpack.decode(state, type=bytes)
        if len(content) != self._state.nbytes:
            msg = f"evidence must be of {self._state.nbytes} bytes; got {len(content)}"
            raise ValueError(msg)
        read = np.frombuffer(content).reshape(SHAPE)
        capitals, (labels, gains) = read[:, :STAKED], read[:, STAKED]
        counted = 0 <= labels < 2**53 and labels % 1 == 0 and abs(gains) <= labels * _LARGEST
        within = (capitals >= betting.LEAST).all() and (capitals <= betting.MOST).all()
        if not (counted and within):
            msg = f"evidence must be of capitals, labels and their gain; got {read.tolist()}"
            raise ValueError(msg[:200])
        self._state[:] = read


@jit
def contend(parts: Any, label: int, state: Any) -> None:
    """Let both bets of a contest bet on one label; a request with one model only is no bet.

    Args:
        parts: float64[parts]: logits of a request's answer.
        label: 0 or 1.
        state: float64[SHAPE], changed in place.
    """
    newest, older = parts[NEWEST_OFFLINE], parts[OLDER_OFFLINE]
    if np.isnan(newest) or np.isnan(older):
        return
    gain = compare(state[0, :STAKED], state[1, :STAKED], label, _chance(newest), _chance(older))
    state[0, STAKED] += 1.0
    state[1, STAKED] += gain


@jit
def _chance(logit: float) -> Any:
    return min(max(sigmoid(logit), LEAST), 1.0 - LEAST)
