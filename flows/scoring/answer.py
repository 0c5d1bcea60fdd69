"""The answer to one request."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from operators.replica.replica import Reason
from operators.shard.predictor import Row


class Answer(msgspec.Struct, frozen=True):
    """What the flow would have answered at one point of the log.

    Attributes:
        id: The request's event id.
        event_time: When it was asked (µs UTC).
        key: Of its partition.
        probability: The ensemble's P(label is 1).
        online: The online model's.
        offline: The offline model's; None while there is none.
        residual: The residual model's; None while there is no offline model.
        decision: Whether `probability` reaches the threshold.
        model: Id of the offline model.
        partition: Of the request.
        offset: The record before which the flow would have answered so: all before it count.
        as_of: The highest event time before it (µs UTC).
        vector: The features that were scored.
        unseen: By column, the level that no event before had; only an offline model may know it.
    """

    id: str
    event_time: int
    key: str
    probability: float
    online: float
    offline: float | None
    residual: float | None
    decision: bool
    model: str | None
    partition: int
    offset: int
    as_of: int
    vector: Row
    unseen: Mapping[str, str]
    _explain: Callable[[Row, Mapping[str, str]], list[Reason]]

    def reasons(self, n: int | None = None) -> list[Reason]:
        """What each column did to the answer, the largest change first.

        Computed when asked, by scoring the vector once more for each column with that column
        missing, by the models as they stand then. Columns that say the same share their effect.

        Args:
            n: Most reasons; None: one for each column.
        """
        found = self._explain(self.vector, self.unseen)
        return sorted(found, key=lambda reason: -abs(reason.change))[:n]

    def as_dict(self) -> dict[str, Any]:
        """The fields of `predictions`, and `as_of`: JSON takes them."""
        return {name: getattr(self, name) for name in FIELDS}


FIELDS = Answer.__struct_fields__[:-3]
"""Names in `Answer.as_dict`."""
