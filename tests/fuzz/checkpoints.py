"""Checkpoints with a valid digest and anything inside: each is refused or used.

Used means that a thousand further events and a snapshot go well, and that no probability is other
than a number. They are restored in child processes, so that no crash goes unseen. A seed repeats.
"""

import argparse
import gc
import hashlib
import logging
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import msgspec
import pyarrow as pa

from flows.intake.event_files import read_lines
from operators.partition.journal import TOPIC as JOURNAL
from operators.partition.journal import Activated, JournalWriter
from operators.partition.recovery import checkpoint_of, reached, recover
from operators.shard.messages import Activation, Records
from operators.shard.shard import TOPICS, Shard
from state.checkpoints.keys import CheckpointKeys
from state.checkpoints.names import is_checkpoint, name_of, offset_of
from state.checkpoints.remote import SharedCheckpoints
from state.checkpoints.store import CheckpointHead, CheckpointStore
from state.log import EVENTS, Entry, Record
from state.log.sqlite import SqliteLog
from state.outputs.records import Prediction
from state.storage.object_store import ObjectStore
from tests import golden_log, rides
from tests.fuzz.mutations import Packed, mutated, packed, unpacked
from tests.golden import trips
from tests.golden_log import GOLDEN
from tests.operators.shard_runs import SETTINGS, Run

FURTHER = 1000
MOST_MIB, MOST_S = 600, 60
TOGETHER = 25
KEYS = CheckpointKeys(["k" * 32])
_MAGIC = b"headwater checkpoint 1\n"
_ZEROS = 2**30

Fresh = Callable[[dict[str, Any] | None], Shard]
Load = Callable[[str, Shard], Any]


class World(NamedTuple):
    """A log, two checkpoints of its shard, and the events that come after the newer one."""

    log: SqliteLog
    log_root: Path
    fresh: Fresh
    load: Load
    older: Path
    newer: Path
    tree: bytes
    further: list[Record]


def world_of(root: Path, fresh: Fresh, load: Load, records: list[Record], at: tuple[int, int],
             activated: int | None) -> World:  # fmt: skip
    """A flow has read the records up to the second offset, and saved at both."""
    log = SqliteLog(root / "log")
    for topic in (EVENTS, JOURNAL, *TOPICS):
        log.create(topic, 1)
    log.append(EVENTS, 0, [Entry(*record[1:]) for record in records])
    run, store, paths = Run(fresh(None)), CheckpointStore(root / "saved"), []
    for end in at:
        start = run.shard.position.offset
        if activated is not None and start <= activated < end:
            run.take(Records(records[start:activated]))
            JournalWriter(log, 0).write(Activated(activated, "gbm-1", None), 0)
            run.take(Activation(0, "gbm-1", load("gbm-1", run.shard)))
            start = activated
        run.take(Records(records[start:end]))
        paths.append(store.save(checkpoint_of(run.shard, at_boundary=False)))
    for topic, entries in run.written.items():
        log.append(topic, 0, entries)
    state = msgspec.msgpack.encode(next(store.newest_first(0)))
    return World(log, root / "log", fresh, load, paths[0], paths[1], state, records[at[1] :])


def worlds(root: Path) -> list[World]:
    """One of a stream with features of every kind, one with an offline model."""

    def no_model(model: str, shard: Shard) -> None:
        raise AssertionError(model, shard)

    lines = read_lines(GOLDEN / "1/events.0.jsonl")
    entries = [Entry(line.append_time, b"", line.value) for line in lines]
    entries += _again(entries, FURTHER)
    return [
        world_of(
            root / "rides",
            lambda _: Shard(rides.stream, SETTINGS, 0),
            no_model,
            rides.records(700 + FURTHER),
            (300, 700),
            None,
        ),
        world_of(
            root / "trips",
            lambda _: Shard(trips.stream, golden_log.SETTINGS, 0),
            lambda model, shard: golden_log.offline(GOLDEN / "1", model, shard),
            rides.numbered(entries),
            (60, 120),
            30,
        ),
    ]


def _again(entries: list[Entry], most: int) -> Iterator[Entry]:
    """Later events like these, with ids and times of their own."""
    decode, encode = trips.stream.decoder().decode, msgspec.json.encode
    span = entries[-1].append_time - entries[0].append_time
    made = 0
    for turn in count(1):
        for entry in entries:
            try:
                event: Any = decode(entry.value)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue
            later = {"id": f"{event.id}-{turn}", "time": event.time + turn * span}
            if hasattr(event, "of"):
                later["of"] = f"{event.of}-{turn}"
            value = encode(msgspec.structs.replace(event, **later))
            yield Entry(entry.append_time + turn * span, b"", value)
            made += 1
            if made == most:
                return


class Outcome(msgspec.Struct):
    """Result of a case: its number, its mutation, and the outcome."""

    number: int
    what: str
    how: str


class Case(NamedTuple):
    """A mutated checkpoint."""

    name: str
    content: bytes
    said: str


def case_of(world: World, chance: random.Random) -> Case:
    """One mutation, with a valid digest."""
    tree = unpacked(world.tree)
    if chance.random() < 0.05:
        return _odd_file(world, chance)
    said = mutated(tree, chance)
    if chance.random() < 0.7:
        _agree(tree)
    state = packed(tree)
    try:
        head = msgspec.msgpack.decode(state, type=CheckpointHead)
        name = name_of(head.offset, head.boundary, at_boundary=head.at_boundary)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        name = world.newer.name
    if not is_checkpoint(name) or chance.random() < 0.05:
        name = world.newer.name
    return Case(name, filed(len(state), pa.compress(state, codec="zstd", asbytes=True)), said)


def filed(size: int, body: bytes) -> bytes:
    """A file with a valid digest."""
    content = size.to_bytes(8, "little") + body
    return _MAGIC + hashlib.sha256(content).digest() + content


def _odd_file(world: World, chance: random.Random) -> Case:
    """The mutation is in the packing."""
    body = pa.compress(world.tree, codec="zstd", asbytes=True)
    size = len(world.tree)
    sizes = (0, 1, size - 1, size + 1, 2**31, 2**40, 2**63, 2**64 - 1)
    odd = chance.choice(
        (
            *((f"size {of}", of, body) for of in sizes),
            ("cut off", size, body[: chance.randrange(len(body))]),
            ("followed", size, body + b"x"),
            ("noise", size, chance.randbytes(len(body))),
            ("nothing", 0, b""),
            ("bomb", _ZEROS, _bomb()),
        )
    )
    return Case(world.newer.name, filed(odd[1], odd[2]), odd[0])


@cache
def _bomb() -> bytes:
    bomb: bytes = pa.compress(bytes(_ZEROS), codec="zstd", asbytes=True)
    return bomb


def _agree(tree: Packed) -> None:
    """Let the head say what the state does, as far as that has its form."""
    head = tree.tree
    try:
        _, position, counts, *_ = head["shard"].tree
        offset, boundary, activations = (
            position.get(n, 0) for n in ("offset", "boundary", JOURNAL)
        )
        own = {"offset": offset, "boundary": boundary, "chain": counts["chain"]}
        counters = counts["sequences"] | {JOURNAL: activations}
    except (AttributeError, KeyError, TypeError, ValueError):
        return
    head |= own | {"counters": counters}


def outcomes_of(
    all_worlds: list[World], seed: int, numbers: Sequence[int], root: Path
) -> list[Outcome]:
    """Results of some cases in a child process; if a case ends it, of those up to that one."""
    said = root / "said"
    said.write_bytes(b"")
    child = os.fork()
    if not child:
        try:
            _restore_all(all_worlds, seed, numbers, root)
        finally:  # or it would go on as its parent
            os._exit(1)
    _, status = os.waitpid(child, 0)
    lines = said.read_bytes().splitlines()
    found = [msgspec.json.decode(line, type=Outcome) for line in lines]
    if status:
        number = numbers[len(found)]
        case = case_of(all_worlds[number % len(all_worlds)], random.Random(f"{seed}/{number}"))
        how = "ended before it was done"
        if os.WIFSIGNALED(status):
            how = f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
        found.append(Outcome(number, case.said, how))
    return found


def _restore_all(
    all_worlds: list[World], seed: int, numbers: Sequence[int], root: Path
) -> NoReturn:
    """In the child: never returns."""
    warnings: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: warnings.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("headwater").handlers = [handler]
    with (root / "said").open("ab", buffering=0) as file:
        for number in numbers:
            signal.alarm(MOST_S)
            before = _used_mib()
            world = all_worlds[number % len(all_worlds)]
            case = case_of(world, random.Random(f"{seed}/{number}"))
            warnings.clear()
            try:
                how = _outcome(world, case, root / "case", warnings, signed=number % 8 >= 6)
            except Exception:  # noqa: BLE001 - it is what is looked for
                how = traceback.format_exc()
            if _used_mib() - before > MOST_MIB:
                how = f"memory grew by {_used_mib() - before} MiB; {how}"
            file.write(msgspec.json.encode(Outcome(number, case.said, how)) + b"\n")
    os._exit(0)


def _outcome(world: World, case: Case, folder: Path, warnings: list[str], *, signed: bool) -> str:
    """`used`, `refused`, `not of this log`, or what is wrong."""
    shutil.rmtree(folder, ignore_errors=True)
    place = folder / ("store" if signed else "home") / "0"
    place.mkdir(parents=True)
    for name, content in ((world.older.name, world.older.read_bytes()), (case.name, case.content)):
        (place / name).write_bytes(KEYS.signed(f"0/{name}", content) if signed else content)
    shared = SharedCheckpoints(ObjectStore((folder / "store").as_uri()), 3600, KEYS)
    store = CheckpointStore(folder / "home", shared if signed else None)
    with closing(SqliteLog(world.log_root)) as log:
        shard = recover(world.fresh, 0, store, log, world.load)
        is_of_log = all(reached(one, log) for one in store.heads(0)) if not warnings else True
    older = offset_of(world.older.name)
    if shard.position.offset == older:
        if len(warnings) == 1 and case.name in warnings[0] and warnings[0].isprintable():
            return "refused"
        if not warnings and (offset_of(case.name) < older or not is_of_log):
            return "not of this log"
        return f"passed over with {warnings}"
    if warnings:
        return f"used with {warnings}"
    return _went_on(world, shard)


def _went_on(world: World, shard: Shard) -> str:
    records = [one for one in world.further if one.offset >= shard.position.offset]
    if records and records[0].offset == shard.position.offset:
        for i in range(0, len(records), 100):
            emitted = shard.apply(Records(records[i : i + 100]))
            for entry in emitted.entries.get("predictions", (0, []))[1]:
                msgspec.json.decode(entry.value, type=Prediction)
    shard.snapshot()
    return "used"


def _used_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


class Found(NamedTuple):
    """Result of a fuzzing run.

    Attributes:
        outcomes: Number of cases, by outcome.
        failures: All that were neither refused nor used.
    """

    outcomes: Counter[str]
    failures: list[Outcome]


def fuzz(
    root: Path, seed: int, numbers: range, until: float, say: Callable[[str], object] = print
) -> Found:
    """Restore one checkpoint after the other.

    Args:
        root: An empty folder.
        seed: Seed of all cases.
        numbers: Numbers of the cases to run.
        until: When to stop (monotonic seconds).
        say: Called with each failure.
    """
    all_worlds = worlds(root)
    for world in all_worlds:  # compiled once, in the parent
        shutil.copytree(world.newer.parent, root / "home" / "0", dirs_exist_ok=True)
        store = CheckpointStore(root / "home")
        _went_on(world, recover(world.fresh, 0, store, world.log, world.load))
        shutil.rmtree(root / "home")
        world.log.close()
    gc.freeze()  # a child need not copy what it would only count
    found, at = Found(Counter(), []), 0
    while at < len(numbers) and time.monotonic() < until:
        some = outcomes_of(all_worlds, seed, numbers[at : at + TOGETHER], root)
        at += len(some)
        for one in some:
            good = one.how in {"used", "refused", "not of this log"}
            found.outcomes[one.how if good else "failed"] += 1
            if not good:
                found.failures.append(one)
                say(f"--seed {seed} --only {one.number}: {one.what}\n{one.how}")
    return found


def main() -> int:
    """Print what came of it; 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=1e6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="this one of the seed again")
    given = parser.parse_args()
    numbers = range(given.iterations) if given.only is None else range(given.only, given.only + 1)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="headwater-fuzz-") as root:
        found = fuzz(Path(root), given.seed, numbers, started + 60 * given.minutes)
    print(f"{found.outcomes.total():,} checkpoints of seed {given.seed} in "
          f"{time.monotonic() - started:.0f} s: {dict(found.outcomes)}")  # fmt: skip
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main())
