"""The blend of the models' answers: an online logistic regression over their logits."""

import msgspec

from models.logits import logit, sigmoid


class Ensemble:
    """P(label is 1) from the three models' probabilities.

    A logistic regression over `[logit(online), logit(offline), logit(residual), 1]` that starts at
    equal weights and takes one AdaGrad step (Duchi et al., 2011) a label. As long as there is no
    offline model it answers what the online model says, and learns nothing.

    Args:
        rate: AdaGrad step.

    Example:
        >>> ensemble = Ensemble()
        >>> round(ensemble.blend(0.6, 0.6, 0.6), 3), ensemble.blend(0.7, None, None)
        (0.6, 0.7)
    """

    def __init__(self, rate: float = 0.02) -> None:
        self._rate = rate
        self._weights = [1 / 3, 1 / 3, 1 / 3, 0.0]
        self._squares = [0.0] * 4

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
        for i, x in enumerate(inputs):
            gradient = error * x
            squares[i] += gradient * gradient
            weights[i] -= self._rate / (squares[i] + 1e-8) ** 0.5 * gradient

    def snapshot(self) -> bytes:
        """Weights and step sizes."""
        return msgspec.msgpack.encode((self._weights, self._squares))

    def restore(self, state: bytes) -> None:
        """Take the state from `snapshot`."""
        self._weights, self._squares = msgspec.msgpack.decode(
            state, type=tuple[list[float], list[float]]
        )
