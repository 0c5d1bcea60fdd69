"""The answer to one request."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import UNSET, UnsetType

from models.judging.trust_counts import Trusted
from operators.replica.replica import ColumnEffect
from operators.shard.predictor import Row
from state.outputs.records import ScoredRequest


class Answer(ScoredRequest, frozen=True, gc=True):
    """The flow's answer to a request at one point of the log.

    Attributes:
        trust: `act` if a positive can be trusted by `risk` in the flow's settings, `let_go` if a
            negative can, or `unsure`; UNSET: these have no `risk`, or no refit was due yet.
        as_of: The highest event time before that point (µs UTC).
        vector: The scored feature vector.
        unseen: Levels that no earlier event had, by column; an offline model may still know them.
    """

    trust: Trusted | UnsetType
    as_of: int
    vector: Row
    unseen: Mapping[str, str]
    _explain: Callable[[Row, Mapping[str, str]], list[ColumnEffect]]

    def reasons(self, n: int | None = None) -> list[ColumnEffect]:
        """Effects of the columns on the answer, the largest first.

        Each is computed now, by scoring the vector again with that column missing, by the models in
        use now. Columns with the same information share their effect.

        Args:
            n: Most effects to return; None: all columns.
        """
        found = self._explain(self.vector, self.unseen)
        return sorted(found, key=lambda reason: -abs(reason.change))[:n]

    def as_dict(self) -> dict[str, Any]:
        """The fields of a `predictions` record and `as_of`, as JSON values."""
        values = {name: getattr(self, name) for name in FIELDS}
        return {name: value for name, value in values.items() if value is not UNSET}


FIELDS = Answer.__struct_fields__[:-3]
"""Names of the fields in `Answer.as_dict`."""
