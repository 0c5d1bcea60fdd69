"""Branches of a home: each a home of its own below it, that shares the base's past."""

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from flows.home import ALL_TOPICS, Home
from flows.replay.fork import Models
from state.atomic import write_atomically
from state.branch_log import BranchLog
from state.checkpoints import Checkpoint
from state.log import EVENTS, Log


class BranchError(OSError):
    """A branch is not there, or in use."""


class Branch(msgspec.Struct, frozen=True, kw_only=True):
    """What `branch.json` says of one.

    Attributes:
        name: From the range and the settings: the same what-if has the same name.
        since: Append time (µs UTC) from which on results are compared; None: all.
        until: Append time before which the branch ends; None: where the log ended when it was made.
        changes: Settings that are other than the base's, by dotted key.
        models: Where its offline models are from.
        boundary: Where it leaves the base (µs UTC); 0: at the head of the log.
        forks: The same by topic and partition.
        done: Whether it has been replayed to its end.
    """

    name: str
    since: int | None
    until: int | None
    changes: dict[str, Any]
    models: Models
    boundary: int
    forks: dict[str, list[int]]
    done: bool = False


def branches_of(base: Home) -> list[Branch]:
    """All of a home, by name."""
    found = [_read(path.parent) for path in sorted(_root(base).glob("*/branch.json"))]
    return [branch for branch in found if branch is not None]


def find_branch(base: Home, name: str) -> Branch | None:
    """The branch of a name, if it was made."""
    return _read(_root(base) / name)


def home_of(base: Home, name: str) -> Home:
    """Where a branch keeps what is its own."""
    return Home(_root(base) / name)


def log_of(log: Log, base: Home, branch: Branch) -> BranchLog:
    """A branch's log; closing it closes the base's."""
    return BranchLog(log, home_of(base, branch.name).log(), branch.forks)


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
    for topic in ALL_TOPICS:
        if topic != EVENTS:
            own.create(topic, log.partitions(topic))
    own.close()
    save(base, branch)


def save(base: Home, branch: Branch) -> None:
    """Write what is known of a branch."""
    path = home_of(base, branch.name).root / "branch.json"
    write_atomically(path, msgspec.json.format(msgspec.json.encode(branch)))


@contextmanager
def held(base: Home, name: str) -> Iterator[None]:
    """Have a branch alone.

    Raises:
        BranchError: Another process has it.
    """
    root = home_of(base, name).root
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            msg = f"branch must be free; got {name!r} in use by another replay in {root}"
            raise BranchError(msg) from None
        yield


def is_running(base: Home, name: str) -> bool:
    """Whether a process has a branch."""
    try:
        with held(base, name):
            return False
    except BranchError:
        return True


def remove(base: Home, name: str) -> None:
    """Remove a branch and all that is its own.

    Raises:
        BranchError: There is none, or it is in use.
    """
    root = home_of(base, name).root
    if Path(name).name != name or not root.is_dir():
        have = ", ".join(branch.name for branch in branches_of(base)) or "none"
        msg = f"branch must be one of this home's ({have}); got {name!r}"
        raise BranchError(msg)
    with held(base, name):
        (root / "branch.json").unlink(missing_ok=True)
        shutil.rmtree(root)


def size_bytes(base: Home, name: str) -> int:
    """Of the files that only this branch has."""
    files = [path.stat() for path in home_of(base, name).root.rglob("*") if path.is_file()]
    return sum(of.st_size for of in files if of.st_nlink == 1)


def _root(base: Home) -> Path:
    return base.root / "branches"


def _read(folder: Path) -> Branch | None:
    path = folder / "branch.json"
    return msgspec.json.decode(path.read_bytes(), type=Branch) if path.exists() else None


def _link(path: Path, target: Path) -> None:
    """Safe to share: files of a home are never written in place, only replaced."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.link(path, target)
