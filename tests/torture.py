"""Kill the flow at a hundred moments of one run; its output must be that of a run left alone.

`just torture` or `python -m tests.torture --kills 100 --seed 1`. Nothing of the harness touches
the log while the flow runs: it looks at files from outside and kills when the one it waits for
changes. A short form runs with the tests.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from flows.home.home import ALL_TOPICS, Home
from models.refit.fit_record import FitRecord
from state.log import Record
from tests.flow_processes import Group, Shape, fill

SETTINGS = """
[training]
every = "1h"
validation = "20m"
min_rows = 300
[metrics]
every = "10m"
[checkpoints]
every = "300ms"
[reading]
batch = 25
[h2o]
memory = "512m"
"""
WITHOUT_H2O = SETTINGS.replace("[training]", '[training]\ntrainer = "external"\nwait = false')
SHAPES = [Shape(1), Shape(2), Shape(3), Shape(processes=2)]
# Files under the home that change at each awaited moment.
PLACES = {
    "append": "log/[opma]*/*.db-wal",
    "activation": "log/activations/*.db-wal",
    "decision": "log/models/*.db-wal",
    "snapshot": "snapshots/*/*",
    "checkpoint": "checkpoints/*/.*",
}
KINDS = ["random", "append", "append", "append", "checkpoint", "snapshot", "activation", "decision"]
PATIENCE_S = 120.0
LOOK_EVERY_S = 0.002
KILLED_IN_FIT = 0.85
"""Of the lives that meet a fit while they wait for something else."""

Say = Callable[[str], None]


class Torture:
    """One run, killed again and again.

    Args:
        root: Directory of the home.
        seed: Seed of the moments and shapes.
        h2o: Fit models in H2O.
        say: Called with a line about each kill.

    Attributes:
        survived: Kills by kind.
    """

    def __init__(self, root: Path, seed: int, *, h2o: bool, say: Say):
        self._root, self._say = root, say
        self._random = random.Random(seed)
        self._kinds = [kind for kind in KINDS if h2o or kind != "decision"]
        self._complete = False
        self.survived: Counter[str] = Counter()

    def kill(self, number: int) -> None:
        """Start the flow, in another shape than before perhaps, and kill it."""
        shape = SHAPES[number % len(SHAPES)]
        started = time.monotonic()
        group = Group(self._root, shape)
        kind = self._wait(group)
        if group.ended():
            self._check(group)
            self._complete = True
            self._drop_checkpoints("*")
            self._say("       the run is at its end: all checkpoints deleted, begun again")
            return
        group.signal(signal.SIGKILL)
        group.wait(10)
        self.survived[kind] += 1
        self._say(
            f"{self.survived.total():>5}  {kind:<10} {shape!s:<10} "
            f"after {time.monotonic() - started:4.1f} s  {self._read():>7,} events"
        )
        if self._random.random() < 0.1:
            whose = self._random.choice([*"01234567", "*"])
            self._drop_checkpoints(whose)
            self._say(f"       checkpoints deleted: {'all' if whose == '*' else whose}")

    def finish(self) -> None:
        """Let the run come to its end."""
        group = Group(self._root)
        group.wait(600)
        self._check(group)

    def _wait(self, group: Group) -> str:
        """Until the moment has come; what moment it was."""
        kind = self._random.choice(["random", "checkpoint"] if self._complete else self._kinds)
        if kind == "random":
            _pause(group, self._random.uniform(0.0, 6.0))
            return kind
        changes = self._random.randint(1, {"append": 25, "checkpoint": 6}.get(kind, 2))
        before, seen = _stamps(self._root, PLACES[kind]), 0
        old = self._h2o()
        in_fit = self._random.random() < KILLED_IN_FIT
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end and not group.ended():
            now = _stamps(self._root, PLACES[kind])
            seen += sum(before.get(path) != stamp for path, stamp in now.items())
            if seen >= changes:
                return kind
            if in_fit and self._h2o() - old:
                _pause(group, self._random.uniform(0.0, 9.0))
                return "fit"
            before = now
            time.sleep(LOOK_EVERY_S)
        return "random"

    def _h2o(self) -> set[Path]:
        """The folders of H2O, those of earlier lives included: they go when the next one starts."""
        return set(self._root.glob("tmp/headwater-h2o-*"))

    def _check(self, group: Group) -> None:
        codes = group.wait(60)
        if any(codes):
            msg = f"the flow must end with 0; got {codes}:\n{group.output()[-3000:]}"
            raise AssertionError(msg)

    def _drop_checkpoints(self, partition: str) -> None:
        for path in self._root.glob(f"checkpoints/{partition}/*"):
            path.unlink()

    def _read(self) -> int:
        """Events behind the newest checkpoints."""
        folders = self._root.glob("checkpoints/*")
        offsets = ([int(p.name[:15]) for p in folder.glob("[0-9]*")] for folder in folders)
        return sum(max(found, default=0) for found in offsets)


def _pause(group: Group, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not group.ended():
        time.sleep(LOOK_EVERY_S)


def _stamps(root: Path, pattern: str) -> dict[Path, tuple[int, int]]:
    """Size and time of change of files that match, some of which may be going."""
    stamps = {}
    for path in root.glob(pattern):
        try:
            found = path.stat()
        except FileNotFoundError:
            continue
        stamps[path] = found.st_size, found.st_mtime_ns
    return stamps


def compare(one: Path, other: Path) -> dict[str, int]:
    """How many records each topic has, and files the snapshots, after comparing every byte.

    Raises:
        AssertionError: A record or a file differs.
    """
    logs = Home(one).log(), Home(other).log()
    compared = {}
    for topic in ALL_TOPICS:
        compared[topic] = 0
        for partition in range(logs[0].partitions(topic)):
            ours, theirs = (_all(log, topic, partition) for log in logs)
            for offset, (mine, yours) in enumerate(zip(ours, theirs, strict=False)):
                assert mine == yours, f"{topic}/{partition} at {offset}:\n{mine}\n{yours}"
            ends = len(ours), len(theirs)
            assert ends[0] == ends[1], f"{topic}/{partition} must end alike; got {ends}"
            compared[topic] += ends[0]
    for log in logs:
        log.close()
    files, others = (
        {p.relative_to(root): p.read_bytes() for p in root.glob("snapshots/*/*")}
        for root in (one, other)
    )
    assert files == others, "the snapshots differ"
    return compared | {"snapshot files": len(files)}


def _all(log, topic: str, partition: int) -> list[Record]:
    found: list[Record] = []
    while records := log.read(topic, partition, len(found), max_records=10_000):
        found += records
    if topic == "models":
        return [record._replace(value=_computing(record.value)) for record in found]
    return found


def _computing(value: bytes) -> bytes:
    """A decision without the size and hash of the archive: H2O puts the moment into it.

    The model's id stays, and that is the hash of all that it computes with.
    """
    decision = msgspec.json.decode(value, type=FitRecord)
    return msgspec.json.encode(msgspec.structs.replace(decision, sha256="", size_bytes=0))


def torture(
    folder: Path, *, kills: int, seed: int, hours: float, h2o: bool, say: Say
) -> tuple[Counter[str], dict[str, int]]:
    """Kills survived by kind, and records compared by topic.

    Raises:
        AssertionError: The output of the killed run is not that of the other.
    """
    alone, killed = folder / "alone", folder / "killed"
    events = fill(alone, SETTINGS if h2o else WITHOUT_H2O, hours)
    shutil.copytree(alone, killed)
    say(f"{events:,} events; first a run that is left alone")
    Torture(alone, seed, h2o=h2o, say=say).finish()
    run = Torture(killed, seed, h2o=h2o, say=say)
    number = 0
    while run.survived.total() < kills:
        run.kill(number)
        number += 1
    say("now to its end")
    run.finish()
    left = [str(path) for path in killed.glob("tmp/*")]
    assert not left, f"nothing of H2O must be left; got {left}"
    return run.survived, compare(alone, killed)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="headwater-torture-"))
    print(f"homes in {folder}, kept if they differ")
    survived, compared = torture(
        folder,
        kills=arguments.kills,
        seed=arguments.seed,
        hours=8.0,
        h2o=True,
        say=lambda line: print(line, flush=True),
    )
    shutil.rmtree(folder)
    table = Table(title=f"kill -9 survived: {survived.total()}", title_justify="left", box=None)
    for heading in ("moment", "kills", "topic", "records, byte for byte the same"):
        table.add_column(heading, justify="right" if heading == "kills" else "left")
    rows = max(len(survived), len(compared))
    kinds = [(kind, str(n)) for kind, n in survived.most_common()]
    topics = [(topic, f"{n:,}") for topic, n in compared.items()]
    for i in range(rows):
        table.add_row(*(kinds[i : i + 1] or [("", "")])[0], *(topics[i : i + 1] or [("", "")])[0])
    Console().print(table)
    print(f"in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
