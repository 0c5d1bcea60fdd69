"""The share of labels that came by silence, estimated from a sample of the requests."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import polars as pl

from state.log import EVENTS, Log, OffsetError
from state.stream import Stream

_PLACES, _RECORDS = 8, 150
"""Places of the sample, and records of `events` to read at each."""
_LEAST = 10
_GOLDEN = 0.6180339887498949

NEEDED = ("partition", "offset", "label", "label_time")


class SilentShare(NamedTuple):
    """An estimate of the share of labels that came by silence.

    Attributes:
        value: The share; None: the stream takes silence for no label, or the sample is too small.
        sample: Number of requests of the sample that have the label of silence.
    """

    value: float | None
    sample: int


def silent_share(log: Log, stream: Stream, rows: pl.DataFrame) -> SilentShare:
    """Estimate the share of labels by silence in some rows.

    A label came by silence if it is the label of silence and its time is the request's deadline.
    The share is that of all rows with this label, times the share by silence in a sample of these.

    Args:
        log: Log with `events`.
        stream: The stream.
        rows: Labelled requests by event time, with the columns `NEEDED`.
    """
    silence = stream.label.silence
    alike = rows.filter(pl.col("label") == int(bool(silence)))
    if silence is None or alike.is_empty():
        return SilentShare(None if silence is None or rows.is_empty() else 0.0, 0)
    found = dict(_sample(log, stream, alike))
    if len(found) < min(_LEAST, len(alike)):
        return SilentShare(None, len(found))
    return SilentShare(sum(found.values()) / len(found) * len(alike) / len(rows), len(found))


def _sample(log: Log, stream: Stream, rows: pl.DataFrame) -> Iterator[tuple[tuple[int, int], bool]]:
    """Partition and offset of some of the requests, and whether silence was their label."""
    where = zip(rows["partition"], rows["offset"], strict=True)
    times = dict(zip(where, rows["label_time"].dt.timestamp("ms"), strict=True))
    decode, deadline = stream.decoder().decode, stream.label.deadline
    # Even steps would meet the same hour of each day.
    places = sorted({int(i * _GOLDEN % 1 * len(rows)) for i in range(1, _PLACES + 1)})
    for place in places:
        partition, offset = int(rows["partition"][place]), int(rows["offset"][place])
        try:
            records = log.read(EVENTS, partition, offset, max_records=_RECORDS)
        except OffsetError:  # trimmed
            continue
        for record in records:
            at = (partition, record.offset)
            if at in times:
                try:
                    request = decode(record.value)
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                    continue  # the stream was changed since
                yield at, times[at] == deadline(request) // 1000
