"""The share of labels that came by silence, from a sample of the requests."""

import msgspec
import polars as pl

from models.judging.intervals import Counted
from state.log import EVENTS, Log, OffsetError
from state.stream import Stream

_SAMPLE = 1_000
"""Records of `events` to read around the middle of the rows."""

NEEDED = ("partition", "offset", "label", "label_time")


def labels_by_silence(log: Log, stream: Stream, rows: pl.DataFrame) -> Counted:
    """Count labels by silence among neighbouring requests in the middle of some rows.

    A label came by silence if it is the label of silence and its time is the request's deadline.

    Args:
        log: Log with `events`.
        stream: The stream.
        rows: Labelled requests by event time, with the columns `NEEDED`.

    Returns:
        Number of these, and of the requests looked at; 0 of 0 if silence is no label here, or if
        the events were deleted.
    """
    if stream.label.silence is None or rows.is_empty():
        return Counted(0, 0)
    middle = rows.row(len(rows) // 2, named=True)
    partition = int(middle["partition"])
    there = rows.filter(pl.col("partition") == partition)
    times = there["label_time"].dt.timestamp("ms").to_list()
    known = dict(
        zip(there["offset"].to_list(), zip(there["label"], times, strict=True), strict=True)
    )
    try:
        records = log.read(EVENTS, partition, int(middle["offset"]), max_records=_SAMPLE)
    except OffsetError:  # trimmed
        return Counted(0, 0)
    decode = stream.decoder().decode
    silent = looked_at = 0
    for record in records:
        if record.offset in known:
            try:
                request = decode(record.value)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue  # the stream was changed since
            label, time = known[record.offset]
            deadline = stream.label.deadline(request) // 1000
            looked_at += 1
            silent += label == stream.label.silence and time == deadline
    return Counted(silent, looked_at)
