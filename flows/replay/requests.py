"""The requests of a partition, each as it was answered on both sides."""

from collections.abc import Iterator, Sequence

import msgspec
import polars as pl

from state.log import EVENTS, Log, offset_at
from state.outputs.columns import columns_of, schema_of
from state.outputs.records import Prediction
from state.topics import OUTCOMES, PREDICTIONS

ANSWERS = ("probability", "online", "offline", "residual", "decision", "model")
PLACE = ("partition", "offset")
_FACTS = ("id", "event_time", "key")
_READ_RECORDS = 10_000


class _Labelled(msgspec.Struct, frozen=True):
    """What is needed of an outcome."""

    offset: int
    label: int


def requests_of(base: Log, branch: Log, partition: int, first: int, end: int) -> pl.DataFrame:
    """A row for each request of `events` from `first` up to `end` that either side answered.

    What the other side buried has nulls for its answers, see `what_if`.

    Args:
        base: What was recorded.
        branch: What was made of it.
        partition: Of both.
        first: Offset in `events`.
        end: Offset in `events` that the branch does not go beyond.
    """

    def rows(
        log: Log, topic: str, kind: type[msgspec.Struct], names: Sequence[str]
    ) -> pl.DataFrame:
        schema = _schema(kind, (*names, "offset"))
        pieces = _pieces(log, topic, schema, partition, first, end)
        return pl.concat(pieces).filter(pl.col("offset").is_between(first, end, closed="left"))

    recorded = rows(base, PREDICTIONS, Prediction, (*_FACTS, *ANSWERS))
    made = rows(branch, PREDICTIONS, Prediction, (*_FACTS, *ANSWERS))
    # Labels follow from the events alone; the branch has none that came after its end.
    labels = rows(branch, OUTCOMES, _Labelled, ["label"])
    answers = [f"{name}_{side}" for side in ("base", "branch") for name in ANSWERS]
    return (
        recorded.rename({name: f"{name}_base" for name in ANSWERS})
        .join(
            made.rename({name: f"{name}_branch" for name in ANSWERS}),
            on=["offset", *_FACTS],
            how="full",  # one side may have buried what the other answered
            coalesce=True,
        )
        .join(labels, on="offset", how="left")
        .with_columns(partition=pl.lit(partition, pl.Int64))
        .select(*_FACTS, *PLACE, "label", *answers)
    )


def _schema(kind: type[msgspec.Struct], names: Sequence[str]) -> pl.Schema:
    columns = [column for column in columns_of(kind) if column.name in names]
    return pl.DataFrame(schema_of(columns).empty_table()).schema


def _pieces(
    log: Log, topic: str, schema: pl.Schema, partition: int, first: int, end: int
) -> Iterator[pl.DataFrame]:
    """Tables of what may be about these requests; fields that the schema lacks are not decoded."""
    times = [name for name, kind in schema.items() if kind == pl.Datetime]
    written = {**schema, **dict.fromkeys(times, pl.Int64())}
    yield schema.to_frame()
    at = _start(log, topic, partition, first)
    while records := log.read(topic, partition, at, max_records=_READ_RECORDS):
        rows = pl.read_ndjson(b"\n".join([record.value for record in records]), schema=written)
        yield rows.with_columns(pl.from_epoch(name, "us").dt.cast_time_unit("ms") for name in times)
        if topic == PREDICTIONS and rows["offset"][-1] >= end:  # in the requests' order
            return
        at += len(records)


def _start(log: Log, topic: str, partition: int, first: int) -> int:
    """Where to begin: an output is appended with its request's append time or a later one's."""
    if first >= log.end(EVENTS, partition):
        return log.end(topic, partition)
    time = log.read(EVENTS, partition, first, max_records=1)[0].append_time
    return offset_at(log, topic, partition, time)
