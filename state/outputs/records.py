"""Records that a shard writes to the output topics. Times are µs since 1970 UTC."""

from keyword import iskeyword
from typing import Annotated, Any, Literal, get_args

import msgspec

from state.stream import Stream


class ScoredRequest(msgspec.Struct, frozen=True, gc=False):
    """The probabilities of a request, and the models that gave them.

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
        offset: Offset of the request in `events`. In a scorer: offset of the next record, before
            which the flow would have given this answer.
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
        trust: Whether the answer can be trusted by `risk` in the settings: `act` on a positive,
            `let_go` a negative, or `unsure`; absent without thresholds.
        chain: Running hash over the partition's predictions, see
            `state.outputs.prediction_chain`; the last field.
    """

    trust: Literal["act", "let_go", "unsure"] | msgspec.UnsetType = msgspec.UNSET
    chain: str = ""


OUTCOME_FIELDS = len(ScoredRequest.__struct_fields__)
"""Number of the first fields of a prediction that its outcome has too."""

DeadLetterReason = Literal[
    "malformed", "unknown_type", "invalid", "duplicate", "clock_skew", "late", "unmatched"
]


# The keys are declared for `state.outputs.columns`, which makes a column of each.
ReasonKey = Annotated[str, msgspec.Meta(extra={"keys": get_args(DeadLetterReason)})]
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
    """A record that was not processed.

    Attributes:
        reason: The reason, as one of a few words to count by.
        detail: The reason, as a sentence.
        partition: Partition of the record, in `events` or in `topic`.
        offset: Offset of the record in `events`, which still holds all of it, or in `topic`.
        size: Size of the raw record in bytes; a foreign one includes key and headers.
        raw: The first 64 KiB of the record (base64 in JSON); a foreign record is whole, up to 8 MiB
            with its key and headers.
        topic: Foreign topic whose record could not be mapped to an event; empty: `events`.
        timestamp: Timestamp of the foreign record (µs).
        key: Key of the foreign record.
        headers: Headers of the foreign record.
        again: Offset of the dead letter whose foreign record was retried and failed again.
    """

    reason: DeadLetterReason
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


class DeadLetterCount(msgspec.Struct, frozen=True, gc=False):
    """The field of a dead letter that is counted; the others are not decoded."""

    reason: str


class Alert(msgspec.Struct, frozen=True):
    """An event that a person should look at.

    Attributes:
        kind: Kind of the alert, as one of a few words to count by.
        time: Event time or boundary of the alert.
        message: The event and its consequence.
        source: Source of the events that caused it, if there is one.
    """

    kind: Literal[
        "clock_ahead", "data_quality", "data_quality_recovered", "drift", "fit_failed",
        "fit_rejected", "labels_by_silence", "metric", "metric_recovered", "model_dismissed",
        "title_returned",
    ]  # fmt: skip
    time: int
    message: str
    source: str = ""


class Losses(msgspec.Struct, frozen=True):
    """Losses of one model's probabilities over some requests.

    Attributes:
        n: Number of labels of requests that this model scored.
        log_loss: Mean negative log likelihood, natural log.
        brier: Mean squared error.
    """

    n: int
    log_loss: float
    brier: float


class MetricState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A metric over its window, and its line in the settings `alerts`.

    Attributes:
        n: Number of labelled requests in the window.
        value: The metric; None: see `lacks`.
        low: Lower end of its 95 % interval.
        high: Upper end of it.
        fires: Whether the alert is on: the line was crossed, and the metric is not back yet.
        lacks: The labels that are missing for a value; empty: there are enough.
    """

    n: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    fires: bool = False
    lacks: str = ""


_Runs = list[list[Annotated[int, msgspec.Meta(ge=0, le=2**53)]]]


class Ahead(msgspec.Struct, frozen=True, omit_defaults=True):
    """The newest requests, from the oldest that waits for its label on, and the expected AUC.

    Attributes:
        n: Number of these requests, but for those that get no label.
        counts: Their number by decision and column, see `models.judging.estimates.to_runs`; from
            these all expected metrics follow, also those of several partitions.
        auc: The AUC to be expected; None: too few labels of one kind are expected.
        low: Lower end of its 95 % interval.
        high: Upper end of it.
        trusted: Whether nothing speaks against it.
        doubt: Reason against it: `no offline model`, `too few labels` for the watch for drift, or
            `drift`; empty: there is none.
    """

    n: int
    counts: _Runs
    auc: float | None = None
    low: float | None = None
    high: float | None = None
    trusted: bool = True
    doubt: str = ""


class JudgedEstimate(msgspec.Struct, frozen=True, omit_defaults=True):
    """Requests of which an estimate was made, and what came of them.

    Attributes:
        n: Number of these requests.
        counts: Their number by label, decision and column, see `models.judging.estimates.to_runs`.
        since: Tick of the first estimate.
        until: Tick at which the last label was known.
        expected: The AUC that was to be expected; None: see `Ahead`.
        realised: The AUC that came; None: there is only one label.
        trusted: Whether the estimate was trusted.
    """

    n: int
    counts: _Runs
    since: int
    until: int
    expected: float | None = None
    realised: float | None = None
    trusted: bool = True


class ColumnState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A column that stands out against the training window of the champion.

    Attributes:
        rows: Number of requests in the live window.
        psi: Population stability index of its values, against the same hours of the week.
        critical: The index that chance exceeds in one of a thousand windows.
        importance: Share of the column in the importance of all columns.
        nulls: Share of nulls.
        nulls_before: Share of nulls in the training window.
        beyond: Share of values that training did not have: new levels, or numbers out of range.
        faults: Kinds of its faults, and since when (event time, µs).
    """

    rows: int
    psi: float = 0.0
    critical: float = 0.0
    importance: float = 0.0
    nulls: float = 0.0
    nulls_before: float = 0.0
    beyond: float = 0.0
    faults: dict[str, int] = {}


class Metrics(msgspec.Struct, frozen=True, omit_defaults=True):
    """Counters and losses of one partition at a tick of event time.

    Attributes:
        time: Time of the tick.
        records: Number of records read so far.
        requests: Number of requests scored so far.
        labels: Number of labels known so far.
        dead_letters: Number of dead letters so far, by reason.
        pending: Number of requests that wait for their label.
        model: Id of the offline model in use.
        least_lag: Smallest append time minus event time (µs), by source; negative: clock ahead.
        lately: Losses since the last tick, by model.
        total: Losses since the first record, by model.
        unlabelled: Number of requests dropped so far without a label, if silence is not a label.
        early: Number of label events that wait for their request.
        older: Id of the previous offline model, while it has a share in the answers.
        shares: Weights in the ensemble, with sum 1: the online learners, the residual learners of
            the offline model, that model itself, both of the older model, and the stacks over all
            of these.
        champion: Id of the one of both offline models that has the title; None: there are not two.
        better: Evidence that the newest model is better than the older one, since both answer and
            the title was given; 1 says nothing. None: there are not two models.
        worse: Evidence that it is worse.
        compared: Number of labels behind this evidence.
        gain: Mean log-loss of the older model minus that of the newest one on these; None: as
            with `better`.
        alerts: State of each metric that has a line in the settings `alerts`.
        ahead: The newest requests, whose labels are not known yet; None: there are fewer than 20.
        estimated: The newest group of requests of which an estimate was made and that have got
            their labels since; None: there is none.
        columns: The columns that stand out against the training window, the first one most: all
            with faults, and up to twelve in all.
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
    champion: str | None = None
    better: float | None = None
    worse: float | None = None
    compared: int = 0
    gain: float | None = None
    alerts: dict[str, MetricState] = {}
    ahead: Ahead | None = None
    estimated: JudgedEstimate | None = None
    columns: dict[str, ColumnState] = {}


def outcome_type(stream: Stream) -> type[msgspec.Struct]:
    """The struct of `outcomes`: a prediction up to its offset, then its label and its vector.

    Args:
        stream: Stream whose columns follow the label: numbers, or level names of categories.
    """
    fields: list[tuple[str, Any]] = [
        (field.name, field.type) for field in msgspec.structs.fields(Prediction)[:OUTCOME_FIELDS]
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
    """The field name for a column: its own name if that is an identifier.

    Example:
        >>> field_name("bids", 3), field_name("bids.all", 3), field_name("class", 3)
        ('bids', '_field_3', '_field_3')
    """
    return name if name.isidentifier() and not iskeyword(name) else f"_field_{number}"
