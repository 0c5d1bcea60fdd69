"""On the embedded log one process at a time works on a partition; in Kafka fencing sees to that.

Whoever works on a home beside a flow, an ingest or a scorer, has its directory in common with its
like; a repair has it alone.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flows.configuration import ConfigurationError


def claim(root: Path, partition: int) -> int:
    """Have a partition of a home for this process.

    Args:
        root: Of the home.
        partition: Of `events`.

    Returns:
        A file descriptor; closing it lets go of the partition, as the end of the process does.

    Raises:
        ConfigurationError: Another process has it.
    """
    path = root / "running" / f"{partition}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        other = os.read(descriptor, 20).decode() or "unknown"
        os.close(descriptor)
        msg = (
            f"events/{partition} must have one flow at work on it; got process {other} there "
            f"already, which goes on ({path})"
        )
        raise ConfigurationError(msg) from error
    os.truncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def hold(root: Path) -> int:
    """Keep a repair off a home as long as this process works on it.

    Args:
        root: Of the home; it is there.

    Returns:
        A file descriptor; closing it lets go of the home, as the end of the process does.

    Raises:
        ConfigurationError: It is being repaired.
    """
    return _locked(root, fcntl.LOCK_SH, "home must not be under repair; got one at work")


@contextmanager
def holding(root: Path) -> Iterator[None]:
    """`hold` as long as the block lasts."""
    descriptor = hold(root)
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def alone(root: Path, partitions: int) -> Iterator[None]:
    """Have a whole home for a repair.

    Args:
        root: Of the home.
        partitions: Of `events`.

    Raises:
        ConfigurationError: A flow, an ingest, a scorer or another repair is at work on it.
    """
    why = "home must be at rest to be repaired; got an ingest, a scorer or a trainer at work"
    with ExitStack() as held:
        held.callback(os.close, _locked(root, fcntl.LOCK_EX, why))
        for partition in range(partitions):
            held.callback(os.close, claim(root, partition))
        yield


def _locked(root: Path, how: int, why: str) -> int:
    descriptor = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        msg = f"{why} on {root}: stop it first"
        raise ConfigurationError(msg) from error
    return descriptor
