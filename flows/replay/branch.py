"""Branches of a home: each a home of its own below it, that shares the base's past."""

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
from flows.replay.replay_range import Span
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
    """A branch is not there, or cannot be gone on with."""


class Branch(msgspec.Struct, frozen=True, kw_only=True):
    """What `branch.json` says of one.

    Attributes:
        name: From the range and the settings: the same what-if has the same name.
        since: Append time (µs UTC) from which on results are compared; None: all.
        until: Append time before which the branch ends; None: where the log ended when it was made.
        changes: Settings that are other than the base's, by dotted key.
        models: Where its offline models are from.
        boundary: Where it leaves the base (µs UTC); 0: at the head of the log.
        begins: The same by partition, in `events`.
        forks: From where on it is on its own, by topic and partition.
        shape: Of its shards, see `Shard.shape`.
        done: Whether it has been replayed to its end.
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


def branches_of(base: Home) -> list[Branch]:
    """All of a home, by name."""
    found = [_read(path.parent) for path in sorted(_root(base).glob("*/branch.json"))]
    return [branch for branch in found if branch is not None]


def find_branch(base: Home, name: str) -> Branch | None:
    """The branch of a name, if it was made."""
    return _read(home_of(base, name).root)


def home_of(base: Home, name: str) -> Home:
    """Where a branch keeps what is its own.

    Raises:
        BranchError: No branch has such a name; as a path it could lead anywhere.
    """
    if not _NAME.fullmatch(name):
        have = ", ".join(branch.name for branch in branches_of(base)) or "none"
        msg = f"branch must be one of this home's ({have}); got {name!r}"
        raise BranchError(msg)
    return Home(_root(base) / name)


def log_of(log: Log, base: Home, branch: Branch) -> BranchLog:
    """A branch's log; closing it closes the base's."""
    # It need not outlive a loss of power: it is made again from the newest checkpoint that fits.
    own = SqliteLog(home_of(base, branch.name).root / "log", durable=False)
    return BranchLog(log, own, branch.forks)


def make(log: Log, base: Home, branch: Branch, checkpoints: Sequence[Checkpoint]) -> None:
    """Set a branch up; broken off and called again, it completes it.

    Args:
        log: The base's.
        base: Gives its models and snapshots, which are linked and not copied.
        branch: What to make.
        checkpoints: With which its partitions begin.
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
    """Write what is known of a branch."""
    path = home_of(base, branch.name).root / "branch.json"
    write_atomically(path, msgspec.json.format(msgspec.json.encode(branch)))


def remove(base: Home, name: str) -> None:
    """Remove a branch and all that is its own.

    Raises:
        BranchError: There is none, or it is in use.
    """
    root = home_of(base, name).root
    if not root.is_dir():
        have = ", ".join(branch.name for branch in branches_of(base)) or "none"
        msg = f"branch must be one of this home's ({have}); got {name!r}"
        raise BranchError(msg)
    with held(root, "branch"):
        (root / "branch.json").unlink(missing_ok=True)
        shutil.rmtree(root)


def caught_up(log: Log, base: Home, branch: Branch, span: Span) -> Branch:
    """A branch that goes by the recorded models, with what was recorded since it was made."""
    if branch.models != "reused":
        return branch
    span = span._replace(ends=branch.forks[EVENTS])  # the base may have more events by now
    own, now = home_of(base, branch.name).log(), forks_of(log, span, [], "reused")
    forks = {topic: list(of) for topic, of in branch.forks.items()}
    places = [(JOURNAL, p) for p in range(len(span.ends))]
    for topic, p in [*places, (MODELS, 0), (ALERTS, len(span.ends))]:
        if not own.end(topic, p):  # else the branch is at its end there, and on its own
            forks[topic][p] = now[topic][p]
    own.close()
    found = msgspec.structs.replace(branch, forks=forks)
    save(base, found)
    return found


def needs(base: Home) -> list[dict[str, int]]:
    """By partition, the first offset of each topic of the base that some branch reads."""
    found: list[dict[str, int]] = []
    for branch in branches_of(base):
        found += [{} for _ in branch.begins[len(found) :]]
        for partition, of in enumerate(found):
            firsts = {topic: max(0, branch.forks[topic][partition] - 1) for topic in TOPICS}
            for topic, first in {**firsts, EVENTS: branch.begins[partition]}.items():
                of[topic] = min(first, of.get(topic, first))
    return found


def size_bytes(base: Home, name: str) -> int:
    """Of the files that only this branch has."""
    files = [path.stat() for path in home_of(base, name).root.rglob("*") if path.is_file()]
    return sum(of.st_size for of in files if of.st_nlink == 1)


def _root(base: Home) -> Path:
    return base.root / "branches"


def _read(folder: Path) -> Branch | None:
    return read_note(folder / "branch.json", Branch)


def _link(path: Path, target: Path) -> None:
    """Safe to share: files of a home are never written in place, only replaced."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.link(path, target)
