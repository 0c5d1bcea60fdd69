"""What a shard writes to the output topics. Times are µs since 1970 UTC."""

from keyword import iskeyword
from typing import Annotated, Any, Literal, get_args

import msgspec

from state.stream import Stream


class ScoredRequest(msgspec.Struct, frozen=True, gc=False):
    """The probabilities that a request got, and the models that gave them.

    Attributes:
        id: Event id of the request.
        event_time: Time of the request by its source's clock.
        key: Key of its record in `events`.
        probability: P(label is 1) by the ensemble.
        online: P(label is 1) by the online model.
        offline: P(label is 1) by the offline model; None while there is none.
        residual: P(label is 1) by the residual model; None while there is no offline model.
        decision: Whether `probability` reaches the threshold.
        model: Id of the offline model.
        partition: Partition of `events`.
        offset: Offset of the request in `events`. In a scorer: the record before which the flow
            would have answered so; all before it count.
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


class Prediction(ScoredRequest, frozen=True, gc=False):
    """A record of `predictions`.

    Attributes:
        chain: Running hash over the partition's predictions, see
            `state.outputs.prediction_chain`; the last field.
    """

    chain: str = ""


Reason = Literal[
    "malformed", "unknown_type", "invalid", "duplicate", "clock_skew", "late", "unmatched"
]


# The keys are declared for `state.outputs.columns`, which makes a column of each.
ReasonKey = Annotated[str, msgspec.Meta(extra={"keys": get_args(Reason)})]
ModelKey = Annotated[
    str, msgspec.Meta(extra={"keys": ("ensemble", "online", "offline", "residual")})
]


ShareKey = Annotated[
    str,
    msgspec.Meta(
        extra={
            "keys": (
                "online", "residual", "offline", "older_residual", "older_offline", "stacks",
            )
        }
    ),
]  # fmt: skip


class DeadLetter(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record that took no part.

    Attributes:
        reason: Why, one of a few words to count by.
        detail: Why, as a sentence.
        partition: Of the record in `events`, or in `topic`.
        offset: Of the record in `events`, where it stays whole, or in `topic`.
        size: Of the raw record, in bytes; of a foreign one with its key and headers.
        raw: The first 64 KiB of it (base64 in JSON); of a foreign record all, up to 8 MiB together
            with key and headers.
        topic: The foreign topic whose record became no event; empty: `events`.
        timestamp: The foreign record's own (µs).
        key: The foreign record's.
        headers: The foreign record's.
        again: The dead letter of a foreign record that was mapped again in vain: its offset.
    """

    reason: Reason
    detail: str
    partition: int
    offset: int
    size: int
    raw: bytes
    topic: str = ""
    timestamp: int = 0
    key: bytes = b""
    headers: dict[str, bytes] = {}
    again: int | None = None


class Alert(msgspec.Struct, frozen=True):
    """Something a person should look at.

    Attributes:
        kind: What, one of a few words to count by.
        time: Event time or boundary it belongs to.
        message: What happened and what follows from it.
        source: The event source it is about, if one.
    """

    kind: Literal["clock_ahead", "fit_failed", "fit_rejected", "labels_by_silence"]
    time: int
    message: str
    source: str = ""


class Losses(msgspec.Struct, frozen=True):
    """How good one model's probabilities were, over some requests.

    Attributes:
        n: Labels seen for requests that this model scored.
        log_loss: Mean negative log likelihood, natural log.
        brier: Mean squared error.
    """

    n: int
    log_loss: float
    brier: float


class Metrics(msgspec.Struct, frozen=True, omit_defaults=True):
    """One partition's counters and losses at a tick of event time.

    Attributes:
        time: The tick.
        records: Read so far.
        requests: Scored so far.
        labels: Known so far.
        dead_letters: Counted so far, by reason.
        pending: Requests whose label is awaited.
        model: The offline model in use.
        least_lag: Append time less event time (µs) at its least, by source; negative: clock ahead.
        lately: Losses by model since the last tick.
        total: Losses by model since the first record.
        unlabelled: Requests forgotten so far because no label came and silence is none.
        early: Label events that wait for their request.
        older: The offline model before the one in use, as long as it has a share in the answers.
        shares: Who answers with which share, together 1: the online learners, those that correct
            the offline model, that model itself, the same of the older one, and the stacks over
            all these.
    """

    time: int
    records: int
    requests: int
    labels: int
    dead_letters: dict[ReasonKey, int]
    pending: int
    model: str | None
    least_lag: dict[str, int]
    lately: dict[ModelKey, Losses]
    total: dict[ModelKey, Losses]
    unlabelled: int = 0
    early: int = 0
    older: str | None = None
    shares: dict[ShareKey, float] = {}


def outcome_type(stream: Stream) -> type[msgspec.Struct]:
    """The struct of `outcomes`: a prediction without its chain, its label, its vector.

    Args:
        stream: Whose feature columns follow the label: numbers, or level names of categories.
    """
    fields: list[tuple[str, Any]] = [
        (field.name, field.type) for field in msgspec.structs.fields(Prediction)[:-1]
    ]
    fields += [("label", int), ("label_time", int)]
    named: dict[str, str] = {}
    for i, column in enumerate(stream.columns):
        field = field_name(column.name, i)
        if field != column.name:
            named[field] = column.name
        fields.append((field, str | None if column.categorical else float | None))
    return msgspec.defstruct("Outcome", fields, frozen=True, gc=False, rename=named or None)


def field_name(name: str, number: int) -> str:
    """What a field of a struct can be called: the name itself if it can.

    Example:
        >>> field_name("bids", 3), field_name("bids.all", 3), field_name("class", 3)
        ('bids', '_field_3', '_field_3')
    """
    return name if name.isidentifier() and not iskeyword(name) else f"_field_{number}"
