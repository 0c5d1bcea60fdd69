"""The answers of the service as structs; its OpenAPI document is made from them too."""

import math

import msgspec

from flows.scorer import Scorer, Staleness
from flows.scoring.answer import Answer
from models.refit.fit_record import FitRecord
from state.outputs.records import ScoredRequest


class Reason(msgspec.Struct, frozen=True):
    """The effect of a column on an answer: the change of the log odds that its absence undoes."""

    column: str
    value: float | str | None
    change: float


class Scored(ScoredRequest, frozen=True, gc=True):
    """The answer to one request; fields as in the topic `predictions`.

    Attributes:
        as_of: The highest event time that counts (µs UTC).
        unseen: Columns whose level the models have never met; it is scored as an unknown one.
        reasons: If they were asked for, the largest change first.
    """

    as_of: int
    unseen: list[str]
    reasons: list[Reason] | None = None


class InUse(msgspec.Struct, frozen=True):
    """The offline model that answers for a partition, and how far its log is read."""

    partition: int
    model: str | None
    offset: int
    as_of: int


class Models(msgspec.Struct, frozen=True):
    """What answers.

    Attributes:
        stream: Its name.
        in_use: For each partition.
        models: What was published of those.
        behind_s: Since all of the log was last known to be seen; null: never yet.
        behind_records: Not seen yet.
        trouble: Why answers may not be the flow's; null: they are.
    """

    stream: str
    in_use: list[InUse]
    models: dict[str, FitRecord]
    behind_s: float | None
    behind_records: int
    trouble: str | None


class Health(msgspec.Struct, frozen=True):
    """Whether the service is well; if not, why."""

    ok: bool
    detail: str


def scored(answer: Answer, most_reasons: int) -> Scored:
    """An answer as it is sent, with so many reasons."""
    reasons = [Reason(*one) for one in answer.reasons(most_reasons)] if most_reasons else None
    return Scored(**answer.as_dict(), unseen=list(answer.unseen), reasons=reasons)


def models_of(scorer: Scorer) -> Models:
    """The models that answer now, as the scorer knows them: it reads no log for it."""
    in_use, records, behind = scorer.models, scorer.records, scorer.staleness
    return Models(
        scorer.stream.name,
        [InUse(p, in_use[p], offset, time) for p, (time, offset) in scorer.as_of.items()],
        {model: records[model] for model in in_use.values() if model is not None},
        seconds_of(behind),
        behind.records,
        scorer.trouble,
    )


def seconds_of(staleness: Staleness) -> float | None:
    """How long ago the scorer was level with the log; None: it never was."""
    return None if math.isinf(staleness.seconds) else round(staleness.seconds, 3)
