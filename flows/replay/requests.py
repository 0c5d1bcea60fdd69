"""The requests of a partition, each with its recorded and its replayed answer."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import polars as pl

from state.log import EVENTS, Log, Record, decoded, offset_at
from state.outputs.columns import columns_of, schema_of
from state.outputs.records import Prediction
from state.topics import OUTCOMES, PREDICTIONS

ANSWERS = ("probability", "online", "offline", "residual", "decision", "model")
PLACE = ("partition", "offset")
_FACTS = ("id", "event_time", "key")
_READ_RECORDS = 10_000


class _Labelled(msgspec.Struct, frozen=True):
    """The fields of an outcome that are needed here."""

    offset: int
    label: int


def requests_of(base: Log, branch: Log, partition: int, first: int, end: int) -> pl.DataFrame:
    """One row per request at `events` offsets `first` to `end`, answered on either side.

    If only one side answered it, the other side's columns are null; see `what_if`.

    Args:
        base: The log with the recorded output.
        branch: The log of the branch.
        partition: Partition of both logs.
        first: First offset in `events`.
        end: Offset in `events` after the last one of the branch.
    """

    def rows(
        log: Log, topic: str, kind: type[msgspec.Struct], names: Sequence[str]
    ) -> pl.DataFrame:
        schema = _schema(kind, (*names, "offset"))
        pieces = _pieces(log, topic, kind, schema, partition, first, end)
        return pl.concat(pieces).filter(pl.col("offset").is_between(first, end, closed="left"))

    recorded = rows(base, PREDICTIONS, Prediction, (*_FACTS, *ANSWERS))
    made = rows(branch, PREDICTIONS, Prediction, (*_FACTS, *ANSWERS))
    # Labels depend on the events only; the branch lacks those that came after its end.
    labels = rows(branch, OUTCOMES, _Labelled, ["label"])
    answers = [f"{name}_{side}" for side in ("base", "branch") for name in ANSWERS]
    return (
        recorded.rename({name: f"{name}_base" for name in ANSWERS})
        .join(
            made.rename({name: f"{name}_branch" for name in ANSWERS}),
            on=["offset", *_FACTS],
            how="full",  # one side may have dead-lettered a request that the other answered
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
    log: Log,
    topic: str,
    kind: type[msgspec.Struct],
    schema: pl.Schema,
    partition: int,
    first: int,
    end: int,
) -> Iterator[pl.DataFrame]:
    """Tables of records that may belong to these requests, with the schema's columns only."""
    times = [name for name, of in schema.items() if of == pl.Datetime]
    written = {**schema, **dict.fromkeys(times, pl.Int64())}
    yield schema.to_frame()
    at = _start(log, topic, partition, first)
    while records := log.read(topic, partition, at, max_records=_READ_RECORDS):
        rows = _rows(topic, partition, kind, records, written)
        yield rows.with_columns(pl.from_epoch(name, "us").dt.cast_time_unit("ms") for name in times)
        if topic == PREDICTIONS and rows["offset"][-1] >= end:  # predictions are in request order
            return
        at += len(records)


def _rows(
    topic: str,
    partition: int,
    kind: type[msgspec.Struct],
    records: Sequence[Record],
    schema: Mapping[str, Any],
) -> pl.DataFrame:
    """The fields of a schema, of records of one struct.

    Raises:
        LogError: A record is not as it was written.
    """
    values = b"\n".join([record.value for record in records])
    try:
        rows = pl.read_ndjson(values, schema=schema)
        altered = rows["offset"].null_count()
    except pl.exceptions.ComputeError:
        altered = 1
    for record in records if altered else ():
        decoded(topic, partition, record, kind)
    return rows


def _start(log: Log, topic: str, partition: int, first: int) -> int:
    """First offset to read: outputs have their request's append time or a later one."""
    if first >= log.end(EVENTS, partition):
        return log.end(topic, partition)
    time = log.read(EVENTS, partition, first, max_records=1)[0].append_time
    return offset_at(log, topic, partition, time)
