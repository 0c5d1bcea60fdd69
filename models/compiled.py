"""The models of a shard as one function from a vector to all probabilities.

It says what `OnlineModels.predict`, `Offline.predict` and `Ensemble.blend` say, to the last bit (a
test holds it to that), and changes nothing, so that any number of threads may ask at once.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models import compiled_kernels as kernels
from models.ensemble import Ensemble
from models.offline import NO_TABLE, Offline
from models.online import OnlineModels


class Blend(NamedTuple):
    """P(label is 1) of the ensemble and of each model; None where there is no offline model."""

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
        """
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
                return self.predict(row, offline)
        return Blend(p, online, tree, residual)

    def predict_many(self, rows: NDArray[np.float64], offline: Offline | None) -> list[Blend]:
        """All probabilities of each of many vectors, as `predict` has them.

        Args:
            rows: float64[n, width], C order.
            offline: As for `predict`.
        """
        if offline is None or not self._compiled:
            return [self.predict(row, offline) for row in rows]
        given = offline.predict_many(rows)
        found = kernels.blend_many(rows, self._linear.address, given, self._ensemble.weights)
        return [Blend(*one) for one in found.tolist()]

    def warm(self, offline: Offline | None = None) -> None:
        """Compile, or load what was compiled before, so that no request has to wait for it."""
        row = np.full(self._linear.row["width"][0], np.nan)
        self.predict(row, offline)
        self.predict_many(row[np.newaxis], offline)
        if self._compiled:
            kernels.blend_many(row[np.newaxis], self._linear.address, np.zeros(1), (0.0,) * 4)

    def _in_parts(self, row: NDArray[np.float64], offline: Offline | None) -> Blend:
        tree = None if offline is None else offline.predict(row)
        online, residual = self._models.predict(row, tree)
        return Blend(self._ensemble.blend(online, tree, residual), online, tree, residual)
