"""Branches of a home: each is a home below it that shares the base's log up to the fork."""

import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from flows.home.home import Home, read_note
from flows.replay.fork import Models, forks_of
from flows.replay.held import held
from flows.replay.replay_range import ReplayRange
from operators.partition.journal import TOPIC as JOURNAL
from operators.shard.shard import TOPICS
from operators.training.training_cuts import TOPIC as SNAPSHOTS
from state.atomic_write import write_atomically
from state.checkpoints.store import Checkpoint
from state.log import EVENTS, Log
from state.log.branch import BranchLog
from state.log.sqlite import SqliteLog
from state.topics import ALERTS, MODELS, ROLLBACKS

_NAME = re.compile(r"[0-9a-f]{10}")


class BranchError(OSError):
    """The branch does not exist, or cannot be continued."""


class Branch(msgspec.Struct, frozen=True, kw_only=True):
    """Content of a branch's `branch.json`.

    Attributes:
        name: Hash of the range and the settings: the same what-if has the same name.
        since: Append time (µs UTC) from which results are compared; None: all.
        until: Append time (µs UTC) before which the branch ends; None: the log's end at its
            creation.
        changes: Settings that differ from the base's, by dotted key.
        models: Source of its offline models.
        boundary: Boundary (µs UTC) at which it leaves the base; 0: at the head of the log.
        begins: Offset in `events` of that boundary, by partition.
        forks: First offset that is the branch's own, by topic and partition.
        shape: `Shard.shape` of the branch's shards.
        done: True once it has been replayed to its end.
        early: The base's boundaries before their time (µs UTC), which are the branch's too.
    """

    name: str
    since: int | None
    until: int | None
    changes: dict[str, Any]
    models: Models
    boundary: int
    begins: list[int]
    forks: dict[str, list[int]]
    shape: str
    done: bool = False
    early: list[int] = []


def branches_of(base: Home) -> list[Branch]:
    """All branches of a home, by name."""
    found = [_read(path.parent) for path in sorted(_root(base).glob("*/branch.json"))]
    return [branch for branch in found if branch is not None]


def find_branch(base: Home, name: str) -> Branch | None:
    """The branch with a name; None: it does not exist."""
    return _read(home_of(base, name).root)


def home_of(base: Home, name: str) -> Home:
    """The home of a branch.

    Raises:
        BranchError: The name is invalid; used as a path, it could lead anywhere.
    """
    if not _NAME.fullmatch(name):
        have = ", ".join(branch.name for branch in branches_of(base)) or "none"
        msg = f"branch must be one of this home's ({have}); got {name!r}"
        raise BranchError(msg)
    return Home(_root(base) / name)


def log_of(log: Log, base: Home, branch: Branch) -> BranchLog:
    """The log of a branch; closing it closes the base's log too."""
    # It may be lost in a power failure: the replay continues from the newest usable checkpoint.
    own = SqliteLog(home_of(base, branch.name).root / "log", durable=False)
    return BranchLog(log, own, branch.forks)


def make(log: Log, base: Home, branch: Branch, checkpoints: Sequence[Checkpoint]) -> None:
    """Create a branch; if a call was interrupted, another call completes it.

    Args:
        log: The base's log.
        base: The base, whose models and training cuts are hard-linked, not copied.
        branch: The branch to create.
        checkpoints: Checkpoints at which its partitions begin.
    """
    home = home_of(base, branch.name)
    for kind in ("artifacts", "snapshots"):
        for path in (base.root / kind).glob("**/[!.]*"):
            if path.is_file():
                _link(path, home.root / path.relative_to(base.root))
    for checkpoint in checkpoints:
        home.checkpoints().save(checkpoint)
    own = home.log()
    for topic in (JOURNAL, SNAPSHOTS, *TOPICS, MODELS):
        own.create(topic, log.partitions(topic))
    own.create(ROLLBACKS, 1)
    own.close()
    save(base, branch)


def save(base: Home, branch: Branch) -> None:
    """Write `branch.json`."""
    path = home_of(base, branch.name).root / "branch.json"
    write_atomically(path, msgspec.json.format(msgspec.json.encode(branch)))


def remove(base: Home, name: str) -> None:
    """Delete a branch and its own files.

    Raises:
        BranchError: It does not exist, or it is in use.
    """
    root = home_of(base, name).root
    if not root.is_dir():
        have = ", ".join(branch.name for branch in branches_of(base)) or "none"
        msg = f"branch must be one of this home's ({have}); got {name!r}"
        raise BranchError(msg)
    with held(root, "branch"):
        (root / "branch.json").unlink(missing_ok=True)
        shutil.rmtree(root)


def caught_up(log: Log, base: Home, branch: Branch, span: ReplayRange) -> Branch:
    """Extend a branch that reuses the recorded models by records made since its creation."""
    if branch.models != "reused":
        return branch
    span = span._replace(ends=branch.forks[EVENTS])  # the base may have more events now
    own, now = home_of(base, branch.name).log(), forks_of(log, span, [], "reused")
    forks = {topic: list(of) for topic, of in branch.forks.items()}
    places = [(JOURNAL, p) for p in range(len(span.ends))]
    for topic, p in [*places, (MODELS, 0), (ALERTS, len(span.ends))]:
        if not own.end(topic, p):  # else the branch has written records of its own there
            forks[topic][p] = now[topic][p]
    own.close()
    found = msgspec.structs.replace(branch, forks=forks)
    save(base, found)
    return found


def needs(base: Home) -> list[dict[str, int]]:
    """The first offset of each base topic that any branch still reads, by partition."""
    found: list[dict[str, int]] = []
    for branch in branches_of(base):
        found += [{} for _ in branch.begins[len(found) :]]
        for partition, of in enumerate(found):
            firsts = {topic: max(0, branch.forks[topic][partition] - 1) for topic in TOPICS}
            for topic, first in {**firsts, EVENTS: branch.begins[partition]}.items():
                of[topic] = min(first, of.get(topic, first))
    return found


def size_bytes(base: Home, name: str) -> int:
    """Size of the files that only this branch has."""
    files = [path.stat() for path in home_of(base, name).root.rglob("*") if path.is_file()]
    return sum(of.st_size for of in files if of.st_nlink == 1)


def _root(base: Home) -> Path:
    return base.root / "branches"


def _read(folder: Path) -> Branch | None:
    return read_note(folder / "branch.json", Branch)


def _link(path: Path, target: Path) -> None:
    """Hard-link a file; this is safe, as files of a home are replaced and never edited in place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.link(path, target)
