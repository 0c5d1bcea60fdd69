"""The snapshot writer: at each boundary, a partition's new outcomes as one Parquet file."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from operators.messages import Cut
from state.atomic import sweep, write_atomically
from state.columns import table_of
from state.log import Entry, Log
from state.outputs import outcome_type
from state.stream import Stream
from state.topic_rows import decoder_of

TOPIC = "snapshots"
_GROUP_ROWS = 100_000


class Committed(msgspec.Struct, frozen=True):
    """A cut whose file is complete.

    Attributes:
        boundary: What it was made for (µs).
        path: Of the file, below the snapshots' root.
        sha256: Of the file's bytes.
        rows: Outcomes in it.
        since: Lowest event time (µs); the boundary if there are no rows.
        until: Highest event time (µs).
    """

    boundary: int
    path: str
    sha256: str
    rows: int
    since: int
    until: int


class SnapshotWriter:
    """Writes cuts: a pure function of `outcomes`, so writing one twice changes nothing.

    Args:
        log: Holds `outcomes` and `snapshots`, partitioned alike.
        stream: Whose outcomes.
        root: Directory of the files.
    """

    def __init__(self, log: Log, stream: Stream, root: Path) -> None:
        self._log, self._root = log, root
        self._columns, self._decode = decoder_of(outcome_type(stream))

    def write(self, partition: int, cut: Cut) -> None:
        """Write the file of a cut whose outcomes are in the log, then commit it."""
        values: list[bytes] = []
        while cut.first + len(values) < cut.end:
            left = cut.end - cut.first - len(values)
            records = self._log.read(
                "outcomes", partition, cut.first + len(values), max_records=min(left, _GROUP_ROWS)
            )
            values += (record.value for record in records)
        table = table_of(self._columns, [self._decode(value) for value in values])
        content = pa.BufferOutputStream()
        pq.write_table(table, content, compression="zstd", row_group_size=_GROUP_ROWS)
        data = content.getvalue().to_pybytes()
        path = f"{partition}/{cut.boundary}.parquet"
        write_atomically(self._root / path, data)
        sweep((self._root / path).parent)
        times = table["event_time"].cast(pa.int64()).to_numpy() * 1000
        committed = Committed(
            cut.boundary,
            path,
            hashlib.sha256(data).hexdigest(),
            len(values),
            int(times.min(initial=cut.boundary)),
            int(times.max(initial=0)),
        )
        entry = Entry(cut.boundary, b"", msgspec.json.encode(committed))
        self._log.append(TOPIC, partition, [entry], sequence=cut.number)


def cuts_of(log: Log, partition: int, first: int = 0) -> Iterator[Committed]:
    """The committed cuts of a partition from a number on, in order."""
    while records := log.read(TOPIC, partition, first):
        yield from (msgspec.json.decode(record.value, type=Committed) for record in records)
        first += len(records)


class Snapshots:
    """The committed cuts of all partitions, read as they come.

    Args:
        log: Holds `snapshots`.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._cuts: list[list[Committed]] = [[] for _ in range(log.partitions(TOPIC))]

    def refresh(self) -> None:
        """Read what is new."""
        for partition, cuts in enumerate(self._cuts):
            cuts.extend(cuts_of(self._log, partition, len(cuts)))

    def due(self, decided: int) -> int:
        """The first boundary after `decided` that every partition has passed; 0 if none.

        A partition that skipped a boundary, for want of events, has passed it with its next cut.
        """
        pending = sorted({c.boundary for cuts in self._cuts for c in cuts if c.boundary > decided})
        passed = min(cuts[-1].boundary if cuts else 0 for cuts in self._cuts)
        return next((boundary for boundary in pending if boundary <= passed), 0)

    def of(self, boundary: int) -> list[Committed]:
        """The cuts that belong to a boundary: of each partition all up to its first at or after it.

        They are in order of boundary, then partition.
        """
        chosen = []
        for partition, cuts in enumerate(self._cuts):
            last = next((i for i, c in enumerate(cuts) if c.boundary >= boundary), len(cuts) - 1)
            chosen += [(cut.boundary, partition, cut) for cut in cuts[: last + 1]]
        return [cut for _, _, cut in sorted(chosen, key=lambda item: item[:2])]
