"""What a shard's models say of a request, with the shard left as it is."""

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
from state.vector import kernels as feature_kernels
from state.vector.feature_state import FeatureState
from state.vector.levels import Levels

Row = NDArray[np.float64]
NOTHING_NEW: Mapping[str, str] = MappingProxyType({})
ASKED = "in a request that is not in the log"
"""The place of an event that is only asked about, for messages."""


class Predictor:
    """Reads a shard's vector and asks its models, as they stand at each call.

    It has working memory of its own: one for each thread, while nothing changes the shard.

    Args:
        features: The shard's features.
        models: The shard's models, for the thread of this one.
        stream: The problem.

    Attributes:
        models: Those.
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
        """Of a vector."""
        return len(self._names)

    def vector(self, request: Any, row: Row | None = None) -> Row:
        """The request's feature vector, in `row` or else in a new array.

        Raises:
            StreamFunctionError: A hook of the stream raised.
        """
        if row is None:
            row = np.empty(len(self._names))
        self._unseen.clear()
        try:
            self._read(request, row)
        except Exception as error:
            raise_blamed(self._stream, error, ASKED, self._hooks)
            raise
        return row

    def unseen(self) -> Mapping[str, str]:
        """The levels that were new with the request whose vector came last, by column."""
        if not self._unseen:
            return NOTHING_NEW
        return {self._names[self._places[of]]: name for of, name in self._unseen}

    def again(self, row: Row, unseen: Mapping[str, str]) -> Row:
        """A vector of before, as if it came last: levels that were new then have numbers of now.

        Args:
            row: The vector; stays as it is.
            unseen: What was new with it.
        """
        self._unseen.clear()
        row = row.copy()
        for column, name in unseen.items():
            place = self._names.index(column)
            row[place] = self._levels[place].peeking(self._unseen)(name)
        return row

    def knowing(self, serving: Serving) -> Serving:
        """The models with the levels that were new with the request whose vector came last.

        The shard adds them before it scores, and a model may know what its shard has yet to see.
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
        """All probabilities of a vector, with these offline models."""
        return self.models.predict(row, serving)

    def blend_many(self, rows: Row, serving: Serving) -> list[Blend]:
        """What `blend` says of each row."""
        return self.models.predict_many(rows, serving)

    def warm_up(self, serving: Serving) -> None:
        """Compile all that a request, an event, a label and a new model need, or load it."""
        feature_kernels.warm()
        mojo.warm()
        self.models.warm_up(serving)
