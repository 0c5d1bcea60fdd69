"""The answers of the service as structs, from which its OpenAPI document is made too."""

import math

import msgspec

from flows.scorer import Scorer, Staleness
from flows.scoring.answer import Answer
from models.judging.trust_counts import Trusted
from models.refit.fit_record import FitRecord
from state.outputs.records import ScoredRequest


class ColumnEffect(msgspec.Struct, frozen=True):
    """The effect of a column on an answer: the log odds minus the log odds without the column."""

    column: str
    value: float | str | None
    change: float


class Score(ScoredRequest, frozen=True, gc=True):
    """The answer to one request; its fields are those of the topic `predictions`.

    Attributes:
        as_of: The highest event time that was counted (µs UTC).
        unseen: Columns with a level that no model has seen; it is scored as an unknown level.
        trust: `act` if a positive can be trusted, `let_go` if a negative can, or `unsure`; absent
            if `risk` is not set, or no refit was due yet.
        reasons: Effects of the columns, the largest first; null unless requested.
    """

    as_of: int
    unseen: list[str]
    trust: Trusted | msgspec.UnsetType = msgspec.UNSET
    reasons: list[ColumnEffect] | None = None


class PartitionModel(msgspec.Struct, frozen=True):
    """The offline model in use for a partition, and the position up to which its log was read."""

    partition: int
    model: str | None
    offset: int
    as_of: int


class ModelsInUse(msgspec.Struct, frozen=True):
    """The models in use, and how fresh they are.

    Attributes:
        stream: Name of the stream.
        in_use: The model in use, by partition.
        models: Published records of these models, by id.
        behind_s: Seconds since all of the log was last known to be read; null: it never was.
        behind_records: Number of records not read yet.
        trouble: The reason why answers may differ from the flow's; null: they do not.
    """

    stream: str
    in_use: list[PartitionModel]
    models: dict[str, FitRecord]
    behind_s: float | None
    behind_records: int
    trouble: str | None


class Health(msgspec.Struct, frozen=True):
    """Whether the service is healthy, and the reason if it is not."""

    ok: bool
    detail: str


def score_of(answer: Answer, most_reasons: int) -> Score:
    """Convert an answer, with at most so many reasons."""
    reasons = [ColumnEffect(*one) for one in answer.reasons(most_reasons)] if most_reasons else None
    return Score(**answer.as_dict(), unseen=list(answer.unseen), reasons=reasons)


def models_of(scorer: Scorer) -> ModelsInUse:
    """The models in use as the scorer knows them; no log is read."""
    in_use, records, behind = scorer.models, scorer.records, scorer.staleness
    return ModelsInUse(
        scorer.stream.name,
        [PartitionModel(p, in_use[p], offset, time) for p, (time, offset) in scorer.as_of.items()],
        {model: records[model] for model in in_use.values() if model is not None},
        seconds_of(behind),
        behind.records,
        scorer.trouble,
    )


def seconds_of(staleness: Staleness) -> float | None:
    """Seconds since the scorer had read all of the log; None: it never had."""
    return None if math.isinf(staleness.seconds) else round(staleness.seconds, 3)
