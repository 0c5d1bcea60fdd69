"""The models of a shard as one function from a vector to all probabilities.

It says what `OnlineModels.predict`, `Offline.predict` and `Ensemble.blend` say, to the last bit (a
test holds it to that), and changes nothing, so that any number of threads may ask at once. Every
probability is finite: where arithmetic on extreme numbers gives the offline model none, the answer
is as if there were no offline model.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.ensemble import Ensemble
from models.linear.online import OnlineModels
from models.scoring import blend_kernels as kernels
from models.scoring.bound_model import NO_TABLE, Offline


class NotFiniteError(ArithmeticError):
    """The models would give a probability that is not finite: their state is damaged."""

    def __init__(self, probability: float) -> None:
        super().__init__(
            f"probability must be finite; got {probability} from the models' state: "
            "`headwater doctor` checks the home"
        )


class Blend(NamedTuple):
    """P(label is 1) of the ensemble and of each model; None where no offline model gives one."""

    probability: float
    online: float
    offline: float | None
    residual: float | None


class CompiledBlend:
    """Asks the models as they stand at each call, while nothing changes them.

    Args:
        models: Online and residual.
        ensemble: What blends.
    """

    def __init__(self, models: OnlineModels, ensemble: Ensemble) -> None:
        self._models, self._ensemble = models, ensemble
        self._linear = models.table()
        self._compiled = models.is_compiled

    def predict(self, row: NDArray[np.float64], offline: Offline | None) -> Blend:
        """All probabilities.

        Args:
            row: The vector, float64, C order, NaN where missing.
            offline: The offline model, if there is one.

        Raises:
            NotFiniteError: The models' state is damaged.
        """
        blend = self._predict(row, offline)
        if not blend.probability >= 0.0:
            raise NotFiniteError(blend.probability)
        return blend

    def _predict(self, row: NDArray[np.float64], offline: Offline | None) -> Blend:
        if not self._compiled:
            return self._in_parts(row, offline)
        linear = self._linear.address
        if offline is None:
            p, online, *_ = kernels.blend(row, linear, NO_TABLE.address, 0.0, 0.0, 0.0, 0.0, 0.0)
            return Blend(p, online, None, None)
        table = offline.table
        given = 0.0 if offline.is_compiled else offline.predict(row)
        weights = self._ensemble.weights
        p, online, tree, residual, beyond = kernels.blend(
            row, linear, table.address, given, *weights
        )
        if beyond:
            offline.learn_levels()
            if offline.table is not table:
                return self._predict(row, offline)
        if math.isnan(tree):
            return Blend(p, online, None, None)
        return Blend(p, online, tree, residual)

    def predict_many(self, rows: NDArray[np.float64], offline: Offline | None) -> list[Blend]:
        """All probabilities of each of many vectors, as `predict` has them.

        Args:
            rows: float64[n, width], C order.
            offline: As for `predict`.

        Raises:
            NotFiniteError: As `predict`.
        """
        if offline is None or not self._compiled:
            return [self.predict(row, offline) for row in rows]
        given = offline.predict_many(rows)
        found = kernels.blend_many(rows, self._linear.address, given, self._ensemble.weights)
        if np.isnan(found[:, 0]).any():
            raise NotFiniteError(math.nan)
        return list(map(_blend_of, found.tolist()))

    def warm(self, offline: Offline | None = None) -> None:
        """Compile, or load what was compiled before, so that no request has to wait for it."""
        row = np.full(self._linear.row["width"][0], np.nan)
        self.predict(row, offline)
        self.predict_many(row[np.newaxis], offline)
        if self._compiled:
            kernels.blend_many(row[np.newaxis], self._linear.address, np.zeros(1), (0.0,) * 4)

    def _in_parts(self, row: NDArray[np.float64], offline: Offline | None) -> Blend:
        tree = None if offline is None else offline.predict(row)
        if tree is not None and not math.isfinite(tree):
            tree = None
        online, residual = self._models.predict(row, tree)
        return Blend(self._ensemble.blend(online, tree, residual), online, tree, residual)


def _blend_of(found: Iterable[float]) -> Blend:
    p, online, tree, residual = found
    return Blend(p, online, None, None) if math.isnan(tree) else Blend(p, online, tree, residual)
