"""A whole system in one process, driven step by step by a seed: ingest, flow, trainer, scorers.

Each part is made of the product's own classes, has its own way to the log, dies of what is injected
into it and begins anew from what is on the disks. A step is the smallest thing that a part does
between two looks of the others: a message read, scored or appended, a fit begun or ended.
"""

import random
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

from flows.home.home import create_topics
from flows.home.kafka import role_in
from flows.runtime.partitions import Partitions
from models.refit.fit_record import FitRecord
from operators.partition.ordered_input import EntryBehindError, with_model
from operators.partition.partition_runner import Processed
from operators.partition.recovery import recover
from operators.partition.retention import first_kept
from operators.replica.follower import Follower
from operators.replica.replica import Replica
from operators.shard.messages import Message, Records
from operators.shard.shard import RefusedError, Shard
from operators.training.model_registry import ModelRegistry
from operators.training.titles import Titles
from operators.training.trainer import Fit, Trainer
from state.events import MINUTE_US
from state.ingest.positions import IngestWriter
from state.log import EVENTS, LogError, OffsetError, SequenceConflictError
from state.settings import Settings, changed, settings_from
from tests.golden.trips import Asked, stream
from tests.simulation.faults import Crash, Faults
from tests.simulation.simulated_log import FencedError, SimulatedLog, Store
from tests.simulation.world import (
    JUMPS_US,
    SOURCES,
    Clock,
    SimulatedHome,
    Sources,
    StandInFit,
    is_injected,
)

PARTITIONS = range(stream.partitions)
RATES = {
    "killed before": 8.0,
    "killed after": 8.0,
    "power loss": 8.0,
    "torn": 20.0,
    "lost reply": 8.0,
    "late": 12.0,
    "refused": 5.0,
    "unreadable": 0.5,
    "meanwhile": 40.0,
}
"""Faults in a thousand calls of a kind."""

_ACTIONS = {
    "flow": 60, "source": 12, "ingest": 10, "trainer": 8, "scorer": 22, "begin": 8, "clock": 14,
    "kill": 1.4, "power": 0.4, "jump": 0.5, "full": 0.3, "has room": 2.0, "stall": 0.6, "trim": 0.8,
    "roll back": 0.5, "zombie": 0.8, "arrive": 2.0, "forget": 0.3, "tear": 0.5,
}  # fmt: skip
"""Next actions by weight; the actions after the clock are in some seeds only."""

_OTHERS = ("source", "ingest", "flow", "flow", "trainer", "clock")
"""Actions that may happen during another action."""

_ALWAYS = ("flow", "source", "ingest", "trainer", "scorer", "begin", "clock", "has room", "arrive")


class BrokenPromiseError(AssertionError):
    """Something that must hold does not."""


class Flow:
    """The main flow's process: both partitions, each with what is under way in it."""

    def __init__(self, system: "System", settings: Settings) -> None:
        self.log = SimulatedLog(system.store, system.faults)
        self._system = system
        opened = Partitions(
            settings, stream, self.log, system.home, clock=system.clock.monotonic
        )  # fmt: skip
        self.lives = {p: opened.open(p) for p in PARTITIONS}
        self._read: dict[int, deque[Message]] = {p: deque() for p in PARTITIONS}
        self._processed: dict[int, deque[Processed]] = {p: deque() for p in PARTITIONS}

    def step(self, partition: int, kind: str) -> bool:
        """Read, score or append one message; whether there was one."""
        live, read, processed = (
            of[partition] for of in (self.lives, self._read, self._processed)
        )  # fmt: skip
        if kind == "append" and processed:
            live.commit(processed.popleft())
            return True
        if kind == "score" and read:
            processed.append(live.process(read.popleft()))
            return True
        if kind == "read" and len(read) < 3 and (message := live.poll()) is not None:
            read.append(message)
            if isinstance(message, Records) and message.records:
                reached = self._system.reached
                reached[partition] = max(reached[partition], message.records[-1].offset + 1)
            return True
        return False

    def drain(self, partition: int) -> bool:
        """Do all there is to do; whether there was something."""
        moved = False
        while any(self.step(partition, kind) for kind in ("append", "score", "read")):
            moved = True
        return moved


class Training:
    """The trainer's process; a fit ends when the schedule says so."""

    def __init__(self, system: "System") -> None:
        log = SimulatedLog(system.store, system.faults)
        fit = StandInFit(log, system.home)
        self._fits: list[Callable[[], None]] = []
        registry, settings = ModelRegistry(log), system.settings
        titles = Titles(log, registry, settings.promotion, live=not settings.training.wait)
        clock = system.clock.monotonic
        self._trainer = Trainer(
            log, registry, fit, threading.Event(), self._begin, titles=titles, clock=clock
        )

    def step(self, *, ends: bool) -> bool:
        """Look for what is due; whether a fit is running after that."""
        if ends and self._fits:
            self._fits.pop()()
        return self._trainer.poll()

    def _begin(self, fit: Fit, boundary: int, cuts: Any, earlier: Any) -> "Future[FitRecord]":
        running: Future[FitRecord] = Future()

        def end() -> None:
            try:
                running.set_result(fit(boundary, cuts, earlier))
            except OSError as error:
                running.set_exception(error)

        self._fits.append(end)
        return running


class Ingest:
    """The process that takes foreign records."""

    def __init__(self, system: "System") -> None:
        self._system = system
        self._intake = IngestWriter(SimulatedLog(system.store, system.faults), "by zone")
        self._next = {source: self._intake.position(source) or 0 for source in SOURCES}

    def step(self, most: int) -> bool:
        """Take in some records; whether there were any."""
        system = self._system
        batch = [
            one
            for source in SOURCES
            for one in system.sources.after(source, self._next[source], most, system.clock.now_us)
        ]
        for one in batch:
            self._next[one.source] = one.offset + 1
        if batch:
            self._intake.append(batch)
        else:
            self._intake.settle()
        return bool(batch)


class Scoring:
    """A scorer's process: a replica of each partition, which begins anew where it fails."""

    def __init__(self, system: "System") -> None:
        self._system = system
        self._log = SimulatedLog(system.store, system.faults)
        self._opened = Partitions(
            system.settings, stream, self._log, system.home, clock=system.clock.monotonic
        )
        self.replicas = {p: self._open(p) for p in PARTITIONS}

    def step(self, partition: int) -> bool:
        """Take one message; whether there was one."""
        return self.replicas[partition].advance(int)

    def _open(self, partition: int) -> Replica:
        opened, store = self._opened, self._system.home.checkpoints()
        left = recover(
            lambda of: opened.shard(partition, of),
            partition,
            store,
            self._log,
            opened.models.offline,
        )
        left.is_silent = True
        follower = Follower(
            self._log, left, store, opened.settings_of, 5, self._system.clock.monotonic
        )
        while (message := follower.poll()) is not None:
            left.apply(with_model(message, left, opened.models.offline))
        right = Shard(stream, left.settings, partition)
        right.is_silent = True
        right.restore(left.snapshot(), lambda model: opened.models.offline(model, right))
        return Replica(left, right, follower, opened.models.offline)


class System:
    """All parts, what they stand on, and the schedule.

    Args:
        seed: Of everything; in every third the flow is mostly at its end, events come in bursts of
            one key, and answers are late more often.
        root: An empty folder.

    Attributes:
        reached: By partition, the record before which the flow has read all, ever: a decision that
            it takes later is of no record before that one.
        tears_snapshots: Files of outcomes may be torn: all that they follow from stays.
        went_back: Append times of one partition may be before those of another that came first.
        is_misled: A checkpoint that a scorer followed may have been lost, or may be of a flow that
            another had replaced: the next flow may decide before it, and the scorer is built again.
        answers: Scorers' answers by partition, offset and model.
    """

    def __init__(self, seed: int, root: Path) -> None:
        self.seed, self.chance = seed, random.Random(seed)
        remote = self.chance.random() < 0.5
        self._odd = seed % 3 == 0
        self.faults = Faults(self.chance, RATES | ({"late": 100.0} if self._odd else {}))
        self.store = Store(remote=remote, role_of=partial(role_in, lambda: stream.partitions))
        self.home = SimulatedHome(root, faults=self.faults)
        self.clock, self.sources = Clock(), Sources(self.chance, in_bursts=self._odd)
        self.settings = self._drawn_settings()
        self.faults.tell(f"{'remote' if remote else 'local'}, {self._said(self.settings)}")
        create_topics(SimulatedLog(self.store), stream.partitions)
        self.flow: Flow | None = None
        self.zombies: list[Flow | Training] = []
        self.trainer: Training | None = None
        self.ingest: Ingest | None = None
        self.scorer: Scoring | None = None
        self.reached = dict.fromkeys(PARTITIONS, 0)
        self.answers: dict[tuple[int, int, str | None], float] = {}
        self.went_back = self.is_misled = False
        self._stalled: set[str] = set()
        self._weights = {
            name: weight if name in _ALWAYS or self.chance.random() < 0.6 else 0.0
            for name, weight in _ACTIONS.items()
        }
        self.tears_snapshots = not self._weights["trim"]
        self._at_work: list[str] = []
        self.faults.meanwhile = self._meanwhile

    def run(self, steps: int) -> None:
        """So many steps of the schedule, then all come to rest without faults.

        Raises:
            BrokenPromiseError: A part stopped for no fault, or never comes to rest.
        """
        names, weights = zip(*self._weights.items(), strict=True)
        for name in self.chance.choices(names, weights, k=steps):
            self._do(name)
        self._calm_down()

    def _do(self, name: str) -> None:
        match name:
            case "flow" if self.flow is not None:
                self._flow_step()
            case "source":
                self.sources.go_on(self.clock.true_us, self.chance.randrange(2, 14))
            case "ingest" if self.ingest is not None and name not in self._stalled:
                self._in("ingest", lambda of: of.step(self.chance.randrange(1, 14)))
            case "trainer" if self.trainer is not None and name not in self._stalled:
                self._in("trainer", lambda of: of.step(ends=self.chance.random() < 0.5))
            case "scorer" if self.scorer is not None:
                self._in("scorer", self._score)
            case "begin":
                self._begin(self.chance.choice(["flow", "flow", "trainer", "ingest", "scorer"]))
            case "clock":
                self.clock.true_us += self.chance.randrange(1, 6 * MINUTE_US)
            case "hour":
                self.clock.true_us += self.chance.randrange(6 * MINUTE_US, 66 * MINUTE_US)
            case _:
                self._disturb(name)

    def _disturb(self, name: str) -> None:
        chance = self.chance
        match name:
            case "kill":
                self._end(chance.choice(["flow", "trainer", "ingest", "scorer"]), "killed")
            case "power":
                self._lose_power()
            case "jump":
                self.clock.wrong_us = 0 if self.clock.wrong_us else chance.choice(JUMPS_US)
                self.went_back = True
                self.faults.tell(f"clock {self.clock.wrong_us // MINUTE_US:+d} min")
            case "full":
                self.faults.is_disk_full = True
                self.faults.tell("disk full")
            case "has room" if self.faults.is_disk_full:
                self.faults.is_disk_full = False
                self.faults.tell("disk has room")
            case "stall":
                what = chance.choice(["flow 0", "flow 1", "trainer", "ingest"])
                self._stalled ^= {what}
                self.faults.tell(f"{what} {'stalls' if what in self._stalled else 'goes on'}")
            case "trim":
                self._operate("trim", self._trim)
            case "forget" | "tear":
                self._lose_files(name)
            case "roll back":
                self._operate("roll back", self._roll_back)
            case "zombie" if self.store.remote:
                self._cut_off(chance.choice(["flow", "flow", "trainer"]))
            case "arrive" if self.store.late:
                one = self.store.late.pop(chance.randrange(len(self.store.late)))
                arrived = self.store.arrive(one)
                self.went_back = self.went_back or (arrived and one.role == "ingest")
                self.faults.tell(
                    f"late {one.role}/{one.partition} {'counts' if arrived else 'is void'}"
                )

    def _flow_step(self) -> None:
        partition = self.chance.choice(list(PARTITIONS))
        kind = self.chance.choice(["read", "score", "append"])
        if self.zombies and not self.faults.is_calm and self.chance.random() < 0.3:
            self._zombie_step(partition, kind)
        elif f"flow {partition}" not in self._stalled:
            catches_up = self._odd and self.chance.random() < 0.3
            self._in(
                "flow", lambda of: of.drain(partition) if catches_up else of.step(partition, kind)
            )

    def _zombie_step(self, partition: int, kind: str) -> None:
        zombie = self.zombies[0]
        name = f"the {type(zombie).__name__.lower()} that was cut off"
        try:
            if isinstance(zombie, Flow):
                zombie.step(partition, kind)
            else:
                zombie.step(ends=kind == "append")
        except (Crash, LogError) as error:
            # The writer of `models` is told of its successor by what that one has written, too.
            fenced = isinstance(error, Crash | FencedError | SequenceConflictError)
            # Its records may have been trimmed by the checkpoints of its successor.
            trimmed = type(error) is OffsetError and self._is_trimmed(partition)
            if not (fenced or trimmed or is_injected(error)):
                raise self._broken(name, error) from error
            self.zombies.remove(zombie)
            self.faults.tell(f"{name} ends: {type(error).__name__}")
            if isinstance(error, Crash) and error.power:
                self._lose_power()

    def _score(self, scorer: Scoring) -> None:
        partition = self.chance.choice(list(PARTITIONS))
        scorer.step(partition)
        replica = scorer.replicas[partition]
        if replica.offset > self.reached[partition]:
            msg = (
                f"scorer must not be ahead of the flow, at {self.reached[partition]}; "
                f"got {replica.offset} in events/{partition}"
            )
            raise BrokenPromiseError(msg)
        records = self.store.at(EVENTS, partition).records
        if replica.offset < len(records):
            self._ask(replica, partition, records[replica.offset].value)

    def _ask(self, replica: Replica, partition: int, value: bytes) -> None:
        """Score the next event, if it is a request, before or after the flow answers it."""
        try:
            event = stream.decoder().decode(value)
            if not isinstance(event, Asked):
                return
            score = replica.score(event, lambda: event.time)
        except (RefusedError, ValueError):
            return
        if not all(isfinite(one) for one in score.blend if one is not None):
            msg = f"probabilities must be finite; got {score.blend}"
            raise BrokenPromiseError(msg)
        self.answers[partition, replica.offset, score.model] = score.blend.probability

    def _in(self, name: str, step: Callable[[Any], object]) -> bool:
        """Have a part do something; it ends where something is injected into it."""
        self._at_work.append(name)
        try:
            return bool(step(getattr(self, name)))
        except Crash as crash:
            self._end(name, str(crash))
            if crash.power:
                self._lose_power()
        except OSError as error:
            if not is_injected(error) and not (name == "scorer" and self._must_begin_anew(error)):
                raise self._broken(name, error) from error
            if name != "scorer" or not is_injected(error):  # that one reads again
                self._end(name, "stopped")
        finally:
            self._at_work.pop()
        return True

    def _meanwhile(self) -> None:
        """Another part does something, and nothing goes wrong in it."""
        if len(self._at_work) != 1:
            return
        before, self.faults.is_calm = self.faults.is_calm, True
        try:
            count = self.chance.randrange(1, 20)
            names = self.chance.choices(_OTHERS, k=count)
            drawn = self.chance.random()
            if drawn < 0.4:
                names = [names[0]] * count
            elif drawn < 0.8:
                names = ["source", "ingest", "hour", "source", "ingest"]
            for name in names:
                if name not in self._at_work:
                    self._do(name)
        finally:
            self.faults.is_calm = before

    def _must_begin_anew(self, error: OSError) -> bool:
        misled = self.is_misled and isinstance(error, EntryBehindError)
        return misled or self._is_trimmed_away()

    def _is_trimmed_away(self) -> bool:
        """Whether the log has deleted a scorer's next record, so that it must be rebuilt."""
        replicas = {} if self.scorer is None else self.scorer.replicas
        return any(one.offset < self.store.at(EVENTS, p).start for p, one in replicas.items())

    @staticmethod
    def _broken(name: str, error: BaseException) -> BrokenPromiseError:
        return BrokenPromiseError(f"{name} must go on; got {type(error).__name__}: {error}")

    def _begin(self, name: str) -> None:
        """Start a part that is not there."""
        if getattr(self, name) is not None:
            return
        if name == "flow" and self.chance.random() < 0.3:
            self.settings = self._drawn_settings(self.settings)
        make: dict[str, Callable[[], object]] = {
            "flow": lambda: Flow(self, self.settings),
            "trainer": lambda: Training(self),
            "ingest": lambda: Ingest(self),
            "scorer": lambda: Scoring(self),
        }
        said = f", {self._said(self.settings)}" if name == "flow" else ""
        self.faults.tell(f"{name} begins{said}")
        self._in(name, lambda _: setattr(self, name, make[name]()))

    def _end(self, name: str, why: str) -> None:
        if getattr(self, name) is not None:
            self.faults.tell(f"{name} {why}")
        setattr(self, name, None)

    def _lose_power(self) -> None:
        self.faults.tell("power lost")
        self.flow = self.trainer = self.ingest = self.scorer = None
        self.zombies = []
        self.store.lose_power(self.chance)

    def _operate(self, what: str, do: Callable[[SimulatedLog], object]) -> None:
        """Run a user's command in a process of its own."""
        self.faults.tell(what)
        try:
            do(SimulatedLog(self.store, self.faults))
        except Crash as crash:
            if crash.power:
                self._lose_power()
        except OSError as error:
            if not is_injected(error):
                raise self._broken(what, error) from error

    def _trim(self, log: SimulatedLog) -> None:
        before = self.clock.now_us - 3 * 60 * MINUTE_US
        shape = Shard(stream, self.settings, 0).shape
        for p, kept in enumerate(first_kept(log, self.home.checkpoints(), shape, before)):
            for topic, first in kept.items():
                log.trim(topic, p, min(first, max(log.end(topic, p) - 1, 0)))

    def _lose_files(self, name: str) -> None:
        if name == "forget":
            self._forget_checkpoints(self.chance.choice(list(PARTITIONS)))
        elif self.tears_snapshots:
            self._tear_snapshot()

    def _is_trimmed(self, partition: int) -> bool:
        parts = (of[partition] for of in self.store.topics.values() if partition < len(of))
        return any(part.start for part in parts)

    def _forget_checkpoints(self, partition: int) -> None:
        """Lose those of a partition, where the log has all that they save reading."""
        if self.flow is None and not self.zombies and not self._is_trimmed(partition):
            self.faults.tell(f"checkpoints of {partition} are lost")
            self.is_misled = True
            for path in self.home.root.glob(f"checkpoints/{partition}/*"):
                path.unlink()

    def _cut_off(self, name: str) -> None:
        """Leave a part where it is, to go on some time, beside the one that takes its place."""
        part = getattr(self, name)
        if part is not None:
            self.zombies = [*self.zombies[-1:], part]
            self.is_misled = self.is_misled or name == "flow"
            setattr(self, name, None)
            self.faults.tell(f"{name} is cut off, and lives")

    def _tear_snapshot(self) -> None:
        """Cut a file of outcomes short, or lose it."""
        paths = sorted(self.home.snapshots.rglob("*.parquet"))
        if not paths:
            return
        path = self.chance.choice(paths)
        content = path.read_bytes()
        kept = self.chance.randrange(-len(content), len(content))
        self.faults.tell(f"{path.relative_to(self.home.root)} is {'torn' if kept > 0 else 'lost'}")
        self.faults.counts["torn snapshot"] += 1
        path.unlink()
        if kept > 0:
            path.write_bytes(content[:kept])

    def _roll_back(self, log: SimulatedLog) -> None:
        published = ModelRegistry(log)
        try:
            published.roll_back(None, self.clock.now_us)
        except ValueError:
            self.faults.tell("  there is no model before")

    def _drawn_settings(self, before: Settings | None = None) -> Settings:
        chance = self.chance
        if before is not None:
            changes = (
                {"decision": {"threshold": chance.choice([0.4, 0.5, 0.6])}},
                {"training": {"every": chance.choice(["20m", "1h"])}},
                {"metrics": {"every": chance.choice(["30m", "2h"])}},
                {"clock": {"tolerance": chance.choice(["1m", "5m"])}},
            )
            return changed(before, chance.choice(changes))
        return settings_from({
            "stream": "tests.golden.trips:stream",
            "training": {"every": chance.choice(["20m", "1h"]), "wait": chance.random() < 0.5},
            "metrics": {"every": "30m"},
            "promotion": {"alpha": 0.9, "watch": 20},
            "clock": {"tolerance": "5m", "span": "1h"},
            "checkpoints": {"every": chance.choice(["1m", "10m", "1h"])},
            "reading": {
                "batch": chance.choice([1, 4, 20]), "in_flight": chance.choice([300, 10**6]),
            },
        })  # fmt: skip

    def _said(self, settings: Settings) -> str:
        training = settings.training
        return (
            f"refit every {training.every}, wait {training.wait}, metrics every "
            f"{settings.metrics.every}, threshold {settings.decision.threshold}, clock tolerance "
            f"{settings.clock.tolerance}, batch {settings.reading.batch}"
        )

    def _calm_down(self) -> None:
        """Let all that is under way come to its end without faults."""
        self.faults.tell("calm")
        self.faults.is_calm, self.faults.is_disk_full = True, False
        self._stalled.clear()
        self.zombies = []
        self.clock.wrong_us = 0
        for one in self.store.late:
            self.went_back = (self.store.arrive(one) and one.role == "ingest") or self.went_back
        self.store.late = []
        for name in ("ingest", "trainer", "flow"):
            self._begin(name)
        rest = 0
        for _ in range(2_000):
            self.clock.true_us += 2 * MINUTE_US if rest < 40 else 0
            moved = self._all_step()
            rest = 0 if moved else rest + 1
            if rest > 60:
                break
        else:
            msg = "all parts must come to rest; they do not"
            raise BrokenPromiseError(msg)
        if self.is_misled or self._is_trimmed_away():
            self.scorer = None
        self._begin("scorer")
        assert self.scorer is not None
        for p in PARTITIONS:
            while self.scorer.step(p):
                pass

    def _all_step(self) -> bool:
        assert self.flow is not None
        assert self.trainer is not None
        assert self.ingest is not None
        moved = [self._in("ingest", lambda of: of.step(50))]
        moved += [self._in("flow", lambda of, p=p: of.drain(p)) for p in PARTITIONS]
        moved.append(self._in("trainer", lambda of: of.step(ends=True)))
        return any(moved)
