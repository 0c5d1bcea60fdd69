"""What a shard's models say of a request, with the shard left as it is."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.compiled import Blend, CompiledBlend
from models.ensemble import Ensemble
from models.offline import Offline
from models.online import OnlineModels
from state import feature_kernels
from state.levels import Levels
from state.stream import Stream
from state.vector import FeatureState

Row = NDArray[np.float64]


class Predictor:
    """Reads a shard's vector and asks its models, as they stand at each call.

    It has working memory of its own: one for each thread, while nothing changes the shard.

    Args:
        features: Of the shard.
        models: Of the shard.
        ensemble: Of the shard.
        stream: Of the shard.
    """

    def __init__(
        self, features: FeatureState, models: OnlineModels, ensemble: Ensemble, stream: Stream
    ) -> None:
        self._unseen: list[tuple[Levels, str]] = []
        self._read = features.reader(self._unseen)
        self._blend = CompiledBlend(models, ensemble)
        self._levels = features.levels
        self._names = [column.name for column in stream.columns]

    @property
    def width(self) -> int:
        """Of a vector."""
        return len(self._names)

    def vector(self, request: Any, row: Row | None = None) -> Row:
        """The request's feature vector, in `row` or else in a new array."""
        if row is None:
            row = np.empty(len(self._names))
        self._unseen.clear()
        self._read(request, row)
        return row

    def knowing(self, offline: Offline | None) -> Offline | None:
        """The model with the levels that were new with the request whose vector came last.

        The shard adds them before it scores, and a model may know what its shard has yet to see.
        """
        if offline is None or not self._unseen:
            return offline
        levels = {
            place: [*of.names, *(name for new, name in self._unseen if new is of)]
            for place, of in self._levels.items()
        }
        return offline.bound_to(self._names, levels)

    def blend(self, row: Row, offline: Offline | None) -> Blend:
        """All probabilities of a vector, with this offline model."""
        return self._blend.predict(row, offline)

    def blend_many(self, rows: Row, offline: Offline | None) -> list[Blend]:
        """What `blend` says of each row."""
        return self._blend.predict_many(rows, offline)

    def warm_up(self, offline: Offline | None) -> None:
        """Compile all that a request, an event and a label need, or load it from the disk."""
        feature_kernels.warm()
        OnlineModels(["identity"]).learn(np.zeros(1), 0, None)
        self._blend.warm(offline)
