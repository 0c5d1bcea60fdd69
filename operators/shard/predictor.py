"""Answer a request with a shard's models, without changing the shard."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.mojo import model as mojo
from models.scoring.blend import Blend, CompiledModels, Serving
from models.scoring.bound_model import Offline
from state.stream import Stream
from state.stream_functions import raise_blamed
from state.user_code import USER_CODE_ERRORS
from state.vector import kernels as feature_kernels
from state.vector.feature_state import FeatureState
from state.vector.levels import Levels

Row = NDArray[np.float64]
NOTHING_NEW: Mapping[str, str] = MappingProxyType({})
ASKED = "in a request that is not in the log"
"""Place of a request outside the log, for messages."""


class Predictor:
    """Computes vectors and probabilities from a shard's current state.

    It has its own working memory: one per thread, and only while nothing changes the shard.

    Args:
        features: The shard's features.
        models: Compiled models of the shard, for this thread.
        stream: The shard's stream.

    Attributes:
        models: The compiled models.
    """

    def __init__(self, features: FeatureState, models: CompiledModels, stream: Stream) -> None:
        self._unseen: list[tuple[Levels, str]] = []
        self._stream, self._hooks = stream, features.hooks
        self._read = features.reader(self._unseen)
        self.models = models
        self._levels = features.levels
        self._names = [column.name for column in stream.columns]
        self._places = {of: place for place, of in self._levels.items()}

    @property
    def width(self) -> int:
        """Length of a vector."""
        return len(self._names)

    def vector(self, request: Any, row: Row | None = None) -> Row:
        """Compute a request's feature vector, in `row` or in a new array.

        Raises:
            StreamFunctionError: A hook of the stream raised an error.
        """
        if row is None:
            row = np.empty(len(self._names))
        self._unseen.clear()
        try:
            self._read(request, row)
        except USER_CODE_ERRORS as error:
            raise_blamed(self._stream, error, ASKED, self._hooks)
            raise
        return row

    def unseen(self) -> Mapping[str, str]:
        """New levels in the last computed vector, by column."""
        if not self._unseen:
            return NOTHING_NEW
        return {self._names[self._places[of]]: name for of, name in self._unseen}

    def again(self, row: Row, unseen: Mapping[str, str]) -> Row:
        """Copy an earlier vector, with the current numbers of levels that were new then.

        Args:
            row: The vector; only read.
            unseen: Levels that were new in it, by column.
        """
        self._unseen.clear()
        row = row.copy()
        for column, name in unseen.items():
            place = self._names.index(column)
            row[place] = self._levels[place].peeking(self._unseen)(name)
        return row

    def knowing(self, serving: Serving) -> Serving:
        """The offline models, extended by the new levels of the last computed vector.

        The shard adds levels before it scores, and a model may know a level that is new to its
        shard.
        """
        if not self._unseen:
            return serving
        newest, older = (self._bound(offline) for offline in serving[:2])
        return serving._replace(newest=newest, older=older)

    def _bound(self, offline: Offline | None) -> Offline | None:
        if offline is None:
            return None
        new = {self._places[of]: name for of, name in self._unseen}
        if not any(offline.knows(place, name) for place, name in new.items()):
            return offline
        levels = {
            place: [*of.names, new[place]] if place in new else of.names
            for place, of in self._levels.items()
        }
        return offline.bound_to(self._names, levels)

    def blend(self, row: Row, serving: Serving) -> Blend:
        """All probabilities for a vector, with these offline models."""
        return self.models.predict(row, serving)

    def blend_many(self, rows: Row, serving: Serving) -> list[Blend]:
        """`blend` for each row."""
        return self.models.predict_many(rows, serving)

    def warm_up(self, serving: Serving) -> None:
        """Compile, or load, the kernels for requests, events, labels and new models."""
        feature_kernels.warm()
        mojo.warm()
        self.models.warm_up(serving)
