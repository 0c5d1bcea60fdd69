"""The answer to one request."""

from collections.abc import Callable, Mapping
from typing import Any

from operators.replica.replica import Reason
from operators.shard.predictor import Row
from state.outputs.records import ScoredRequest


class Answer(ScoredRequest, frozen=True, gc=True):
    """The answer of the flow to a request at one point of the log.

    Attributes:
        as_of: The highest event time before that point (µs UTC).
        vector: The features that were scored.
        unseen: By column, the level that no event before had; only an offline model may know it.
    """

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
