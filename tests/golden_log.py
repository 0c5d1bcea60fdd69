"""Golden logs: what a format version wrote, and what must still follow from it.

A folder of `tests/golden` is a version. `events.P.jsonl` is partition P as `headwater export
events` writes it, `activations.P.jsonl` its journal, `gbm-1.zip` (and from 3 on `gbm-2.zip`) the
models that the journal names; the other files are what the shards made of them. A change that
means to predict otherwise writes these anew: `python -m tests.golden_log 1 2 3 4 5 6`. A version's
events, journal and models are never changed, nor `P.ckpt`, its checkpoint amid them: a new format
gets a new folder.
"""

import shutil
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flows.intake.event_files import read_lines
from models.mojo.model import read_mojo
from models.scoring.bound_model import Offline
from operators.partition.boundaries import Boundaries
from operators.partition.journal import Journal
from operators.partition.ordered_input import OrderedInput, with_model
from operators.partition.partition_runner import PartitionRunner
from operators.partition.recovery import checkpoint_of
from operators.shard.messages import Finish
from operators.shard.shard import TOPICS, Shard
from operators.training.training_cuts import SnapshotWriter
from state.checkpoints.store import CheckpointStore
from state.events import HOUR_US
from state.log import EVENTS, Entry
from state.log.sqlite import SqliteLog
from state.settings import Settings, recorded, settings_from
from tests.golden.trips import stream

GOLDEN = Path(__file__).with_name("golden")
AMID = 60
"""Offset from which on there is a checkpoint."""

SETTINGS = settings_from(
    {
        "metrics": {"every": "1h"},
        "clock": {"tolerance": "5m", "span": "1h", "notice": "1s"},
        "training": {"every": "1h"},
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


def replay(folder: Path, log: SqliteLog, root: Path) -> None:
    """Let both partitions work to their end, one after the other."""
    for partition in range(stream.partitions):
        shard = Shard(stream, SETTINGS, partition)
        runner = PartitionRunner(
            shard,
            ordered_input(log, shard),
            log,
            decider=None,
            load=partial(offline, folder),
            snapshots=SnapshotWriter(log, stream, root / "snapshots"),
            checkpoints=CheckpointStore(root / "checkpoints"),
            most_in_flight=10**9,
        )
        while (message := runner.poll()) is not None:
            runner.commit(runner.process(message))
        runner.commit(runner.process(Finish()))


def ordered_input(log: SqliteLog, shard: Shard) -> OrderedInput:
    """Of a shard's partition, from where it stands."""
    return OrderedInput(
        log,
        Journal(log, shard.partition),
        shard.position,
        settings_of=settings_of,
        batch=20,
        boundaries=Boundaries(0, HOUR_US),
    )


def settings_of(values: dict[str, Any]) -> Settings:
    """Those that an entry of the journal stands for."""
    return recorded(SETTINGS, values)


def offline(folder: Path, model: str, shard: Shard) -> Offline:
    """A version's model, bound to a shard."""
    names = [column.name for column in stream.columns]
    return Offline(model, read_mojo((folder / f"{model}.zip").read_bytes()), names, shard.levels)


def values(log: SqliteLog, topic: str, partition: int) -> list[bytes]:
    """Of all records."""
    return [record.value for record in log.read(topic, partition, 0, max_records=10**6)]


def checkpoint(folder: Path, log: SqliteLog, root: Path) -> None:
    """Write the checkpoint amid each partition's events."""
    for partition in range(stream.partitions):
        shard, load = Shard(stream, SETTINGS, partition), partial(offline, folder)
        source = ordered_input(log, shard)
        while shard.position.offset < AMID and (message := source.poll()) is not None:
            shard.apply(with_model(message, shard, load))
        path = CheckpointStore(root).save(checkpoint_of(shard, at_boundary=False))
        shutil.copy(path, folder / f"{partition}.ckpt")


def make(folder: Path) -> None:
    """Write what follows from a version's log."""
    with TemporaryDirectory() as root:
        log = golden_log(folder, Path(root))
        replay(folder, log, Path(root))
        if not (folder / "0.ckpt").exists() and folder.name != "1":
            checkpoint(folder, log, Path(root) / "amid")
        for topic in TOPICS:
            for partition in range(stream.partitions):
                lines = [value + b"\n" for value in values(log, topic, partition)]
                (folder / f"{topic}.{partition}.jsonl").write_bytes(b"".join(lines))
        log.close()


if __name__ == "__main__":
    for name in sys.argv[1:]:
        make(GOLDEN / name)
