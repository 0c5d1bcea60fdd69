"""Training cuts: at each boundary, a partition's new outcomes are written to one Parquet file."""

import hashlib
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from operators.shard.messages import Cut
from state.atomic_write import replacing, sweep
from state.log import Entry, Log, LogError, OffsetError, decoded
from state.outputs.columns import schema_of, table_of
from state.outputs.records import outcome_type
from state.outputs.topic_rows import decoder_of
from state.stream import Stream
from state.topics import OUTCOMES, SNAPSHOTS

TOPIC = SNAPSHOTS
_GROUP_ROWS = 100_000


class TrainingCut(msgspec.Struct, frozen=True, omit_defaults=True):
    """A training cut whose file is complete.

    Attributes:
        boundary: Boundary of the cut (µs).
        path: Path of the file, below the snapshots' root.
        sha256: Hash of the file's bytes.
        rows: Number of outcomes.
        since: Lowest event time (µs); the boundary if there are no rows.
        until: Highest event time (µs).
        change: Event time since which the answers were off (µs); 0: they were not.
    """

    boundary: int
    path: str
    sha256: str
    rows: int
    since: int
    until: int
    change: int = 0


class SnapshotError(Exception):
    """The file of a cut is not as committed, and can no longer be written again."""


class _Written(NamedTuple):
    """A file of outcomes: its hash, and its lowest and highest event time (µs) if it has rows."""

    sha256: str
    since: int | None
    until: int | None


class SnapshotWriter:
    """Writes training cuts; a cut depends on `outcomes` only, so writing it twice changes nothing.

    Memory holds one row group, however long the cut is.

    Args:
        log: Log with `outcomes` and `snapshots`, partitioned alike.
        stream: Stream of the outcomes.
        root: Directory of the files.
    """

    def __init__(self, log: Log, stream: Stream, root: Path) -> None:
        self._log, self._root = log, root
        self._columns, self._decode = decoder_of(outcome_type(stream))

    def write(self, partition: int, cut: Cut) -> None:
        """Write the file of a cut whose outcomes are in the log, then commit the cut."""
        path = _path_of(partition, cut.boundary)
        sha256, since, until = self._write(self._root / path, partition, cut.first, cut.end)
        sweep((self._root / path).parent)
        committed = TrainingCut(
            cut.boundary,
            path,
            sha256,
            cut.end - cut.first,
            cut.boundary if since is None else min(since, cut.boundary),
            0 if until is None else until,
            cut.change,
        )
        entry = Entry(cut.boundary, b"", msgspec.json.encode(committed))
        self._log.append(TOPIC, partition, [entry], sequence=cut.number)

    def mend(self, cut: TrainingCut) -> Path:
        """The file of a committed cut; written again from `outcomes` if it is not as committed.

        Raises:
            SnapshotError: It is not, and the outcomes were deleted or have changed.
        """
        path = self._root / cut.path
        if path.is_file() and _sha256(path) == cut.sha256:
            return path
        before = takewhile(lambda one: one != cut, cuts_of(self._log, _partition(cut)))
        return self._made_again(cut, sum(one.rows for one in before))

    def _made_again(self, cut: TrainingCut, first: int) -> Path:
        path = self._root / cut.path
        try:
            sha256 = self._write(path, _partition(cut), first, first + cut.rows).sha256
        except OffsetError as error:
            msg = f"snapshot must be unchanged, or its outcomes must exist; got {error} for {path}"
            raise SnapshotError(msg) from error
        if sha256 != cut.sha256:
            msg = f"snapshot must have sha256 {cut.sha256}; got {sha256} of its outcomes in {path}"
            raise SnapshotError(msg)
        return path

    def _write(self, path: Path, partition: int, first: int, end: int) -> _Written:
        times = []
        schema = schema_of(self._columns)
        with (
            replacing(path) as part,
            pq.ParquetWriter(part, schema, compression="zstd") as writer,
        ):
            for values in self._groups(partition, first, end):
                table = table_of(self._columns, [self._decode(value) for value in values])
                writer.write_table(table, row_group_size=_GROUP_ROWS)
                found = pc.min_max(table["event_time"].cast(pa.int64())).as_py()
                times += [found["min"] * 1000, found["max"] * 1000]
            writer.close()
            sha256 = _sha256(part)
        return _Written(sha256, min(times, default=None), max(times, default=None))

    def _groups(self, partition: int, first: int, end: int) -> Iterator[list[Any]]:
        """Read the outcomes between two sequences, one row group at a time."""
        while first < end:
            values: list[bytes] = []
            most = min(end - first, _GROUP_ROWS)
            while len(values) < most:
                records = self._log.read(
                    OUTCOMES, partition, first + len(values), max_records=most - len(values)
                )
                if not records:
                    msg = f"outcomes/{partition} must go up to {end}; got {first + len(values)}"
                    raise OffsetError(msg)
                values += (record.value for record in records)
            yield values
            first += most


def _path_of(partition: int, boundary: int) -> str:
    return f"{partition}/{boundary}.parquet"


def _partition(cut: TrainingCut) -> int:
    return int(cut.path.partition("/")[0])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cuts_of(log: Log, partition: int, first: int = 0) -> Iterator[TrainingCut]:
    """The committed cuts of a partition, in order, from number `first` on.

    Raises:
        LogError: A record is not a valid cut.
    """
    while records := log.read(TOPIC, partition, first):
        for record in records:
            cut = decoded(TOPIC, partition, record, TrainingCut)
            path = _path_of(partition, cut.boundary)
            if cut.path != path:
                place = f"{TOPIC}/{partition} at offset {record.offset}"
                msg = f"path of a cut must be {path!r}; got {cut.path[:200]!r} in {place}"
                raise LogError(msg)
            yield cut
        first += len(records)


def newest_boundary(log: Log) -> int:
    """The newest boundary (µs) at which any partition has committed a cut; 0: there is none."""
    newest = 0
    for partition in range(log.partitions(TOPIC)):
        if end := log.end(TOPIC, partition):
            newest = max(newest, *(cut.boundary for cut in cuts_of(log, partition, end - 1)))
    return newest


class TrainingCuts:
    """The committed cuts of all partitions, read as they come.

    Args:
        log: Log with `snapshots`.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._cuts: list[list[TrainingCut]] = [[] for _ in range(log.partitions(TOPIC))]

    def refresh(self) -> None:
        """Read new cuts."""
        for partition, cuts in enumerate(self._cuts):
            cuts.extend(cuts_of(self._log, partition, len(cuts)))

    def due(self, decided: int) -> int:
        """The first boundary after `decided` that every partition has passed; 0: there is none.

        A partition that skipped a boundary, for lack of events, has passed it with its next cut.
        """
        pending = sorted({c.boundary for cuts in self._cuts for c in cuts if c.boundary > decided})
        passed = min(cuts[-1].boundary if cuts else 0 for cuts in self._cuts)
        return next((boundary for boundary in pending if boundary <= passed), 0)

    def of(self, boundary: int) -> list[TrainingCut]:
        """The cuts of a boundary: those of each partition up to its first at or after the boundary.

        They are ordered by boundary, then partition.
        """
        chosen = []
        for partition, cuts in enumerate(self._cuts):
            last = next((i for i, c in enumerate(cuts) if c.boundary >= boundary), len(cuts) - 1)
            chosen += [(cut.boundary, partition, cut) for cut in cuts[: last + 1]]
        return [cut for _, _, cut in sorted(chosen, key=lambda item: item[:2])]
