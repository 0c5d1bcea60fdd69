"""The blend of the models' answers: an online logistic regression over their logits."""

from collections.abc import Sequence

import msgspec

from models.logits import MOST_WEIGHT, logit, sigmoid

BLENDED = ("online", "offline", "residual")
"""The models that can be blended, in the order of the weights."""


class Ensemble:
    """P(label is 1) from the three models' probabilities.

    A logistic regression over `[logit(online), logit(offline), logit(residual), 1]` that starts at
    equal weights and takes one AdaGrad step (Duchi et al., 2011) a label. As long as there is no
    offline model it answers what the online model says, and learns nothing.

    Args:
        rate: AdaGrad step.
        models: Which of the three are blended; the others' weights stay 0.

    Example:
        >>> ensemble = Ensemble()
        >>> round(ensemble.blend(0.6, 0.6, 0.6), 3), ensemble.blend(0.7, None, None)
        (0.6, 0.7)
        >>> round(Ensemble(models=["offline"]).blend(0.6, 0.8, 0.7), 3)
        0.8
    """

    def __init__(self, rate: float = 0.005, models: Sequence[str] = BLENDED) -> None:
        self._rate = rate
        self._weights = [1 / len(models) if name in models else 0.0 for name in BLENDED] + [0.0]
        self._squares = [0.0] * 4
        self._learned = [*(i for i, name in enumerate(BLENDED) if name in models), len(BLENDED)]

    @property
    def weights(self) -> tuple[float, ...]:
        """Weights of online, offline, residual and the constant."""
        return tuple(self._weights)

    def blend(self, online: float, offline: float | None, residual: float | None) -> float:
        """The ensemble's probability; changes nothing."""
        if offline is None or residual is None:
            return online
        a, b, c, d = self._weights
        return sigmoid(a * logit(online) + b * logit(offline) + c * logit(residual) + d)

    def learn(
        self, online: float, offline: float | None, residual: float | None, label: int
    ) -> None:
        """Take one step toward what would have been the better blend.

        Args:
            online: Probability when the request was scored.
            offline: Likewise; None where there was no offline model.
            residual: Likewise.
            label: 0 or 1.
        """
        if offline is None or residual is None:
            return
        inputs = (logit(online), logit(offline), logit(residual), 1.0)
        weights, squares = self._weights, self._squares
        error = sigmoid(sum(w * x for w, x in zip(weights, inputs, strict=True))) - label
        for i in self._learned:
            gradient = error * inputs[i]
            squares[i] += gradient * gradient
            weights[i] -= self._rate / (squares[i] + 1e-8) ** 0.5 * gradient

    def snapshot(self) -> bytes:
        """Weights and step sizes."""
        return msgspec.msgpack.encode((self._weights, self._squares))

    def restore(self, state: bytes) -> None:
        """Take the state from `snapshot`; weights of a blend of other models mean nothing here.

        Raises:
            ValueError: They are not as many, or not finite.
            msgspec.DecodeError: It is of another form.
        """
        weights, squares = msgspec.msgpack.decode(state, type=tuple[list[float], list[float]])
        small = all(abs(of) <= MOST_WEIGHT for of in (*weights, *squares))
        as_many = len(weights) == len(squares) == len(self._weights)
        if not (as_many and small and min(squares) >= 0.0):
            msg = f"weights must be {len(self._weights)} numbers of some size; got {state[:99]!r}"
            raise ValueError(msg)
        if _used(weights, squares) == _used(self._weights, self._squares):
            self._weights, self._squares = weights, squares


def _used(weights: Sequence[float], squares: Sequence[float]) -> list[bool]:
    """Which models a blend is of: the others have neither weight nor gradients."""
    return [bool(w or s) for w, s in zip(weights, squares, strict=True)][:-1]
