"""Golden logs: what a format version wrote, and what must still follow from it.

A folder of `tests/golden` is a version. `events.P.jsonl` is partition P as `headwater export
events` writes it, `activations.P.jsonl` its journal, `gbm-1.zip` the model that the journal names;
the other files are what the shards made of them. A change that means to predict otherwise writes
these anew: `python -m tests.golden_log 1`. What a version's events, journal and model are is never
changed: a new format gets a new folder.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from flows.lines import read_lines
from models.mojo import read_mojo
from models.offline import Offline
from operators.boundaries import Boundaries
from operators.decisions import Undecided
from operators.journal import Journal
from operators.live import LivePartition
from operators.messages import Finish
from operators.reader import PartitionReader
from operators.shard import TOPICS, Shard
from operators.snapshots import SnapshotWriter
from state.checkpoints import CheckpointStore
from state.events import HOUR_US
from state.log import EVENTS, Entry
from state.settings import settings_from
from state.sqlite_log import SqliteLog
from tests.golden.trips import stream

GOLDEN = Path(__file__).with_name("golden")
SETTINGS = settings_from(
    {
        "online": {"rate": 0.08},
        "residual": {"rate": 0.01},
        "ensemble": {"rate": 0.005},
        "metrics": {"every": "1h"},
        "clock": {"tolerance": "5m", "span": "1h", "notice": "1s"},
    }
)


def golden_log(folder: Path, root: Path) -> SqliteLog:
    """A log with a version's events and journal."""
    log = SqliteLog(root / "log")
    for topic in (EVENTS, "activations", "snapshots", *TOPICS):
        log.create(topic, stream.partitions)
    for partition in range(stream.partitions):
        lines = read_lines(folder / f"events.{partition}.jsonl")
        entries = [Entry(line.append_time, _key(line.value), line.value) for line in lines]
        log.append(EVENTS, partition, entries)
        journal = (folder / f"activations.{partition}.jsonl").read_bytes().splitlines()
        log.append("activations", partition, [Entry(0, b"", value) for value in journal])
    return log


def _key(value: bytes) -> bytes:
    return stream.peek()(value)[1]


def replay(folder: Path, log: SqliteLog, root: Path, decisions=None) -> None:
    """Let both partitions work to their end, one after the other."""
    mojo = read_mojo((folder / "gbm-1.zip").read_bytes())
    for partition in range(stream.partitions):
        shard = Shard(stream, SETTINGS, partition)
        live = LivePartition(
            shard,
            PartitionReader(
                log,
                Journal(log, partition),
                shard.position,
                partition=partition,
                boundaries=Boundaries(0, HOUR_US),
                decisions=decisions or Undecided(),
                load=_loader(mojo, shard),
                wait=True,
                batch=20,
            ),
            log,
            snapshots=SnapshotWriter(log, stream, root / "snapshots"),
            checkpoints=CheckpointStore(root / "checkpoints"),
            checkpoint_due=lambda: False,
            most_in_flight=10**9,
        )
        while (message := live.read()) is not None:
            live.append(live.score(message))
        live.append(live.score(Finish()))


def _loader(mojo, shard: Shard) -> Callable[[str], Offline]:
    names = [column.name for column in stream.columns]
    return lambda model: Offline(model, mojo, names, shard.levels)


def values(log: SqliteLog, topic: str, partition: int) -> list[bytes]:
    """Of all records."""
    return [record.value for record in log.read(topic, partition, 0, max_records=10**6)]


def make(folder: Path) -> None:
    """Write what follows from a version's log."""
    with TemporaryDirectory() as root:
        log = golden_log(folder, Path(root))
        replay(folder, log, Path(root))
        for topic in TOPICS:
            for partition in range(stream.partitions):
                lines = [value + b"\n" for value in values(log, topic, partition)]
                (folder / f"{topic}.{partition}.jsonl").write_bytes(b"".join(lines))
        log.close()


if __name__ == "__main__":
    make(GOLDEN / sys.argv[1])
