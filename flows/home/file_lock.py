"""Locks of a home with an embedded log; in Kafka fencing does this.

One process at a time works on a partition. An ingest, a scorer and a trainer share a lock on the
home's directory; a repair takes that lock and every partition's for itself.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flows.home.configuration import ConfigurationError
from state.settings import Settings


def lock_partition(root: Path, partition: int) -> int:
    """Make this process the only one that works on a partition of a home.

    Args:
        root: The home's directory.
        partition: Of `events`.

    Returns:
        A file descriptor; closing it releases the lock, as the end of the process does.

    Raises:
        ConfigurationError: Another process holds the lock.
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


def lock_shared(root: Path) -> int:
    """Keep repairs away from a home while this process works on it.

    Args:
        root: The home's directory; it exists.

    Returns:
        A file descriptor; closing it releases the lock, as the end of the process does.

    Raises:
        ConfigurationError: It is being repaired.
    """
    return _locked(root, fcntl.LOCK_SH, "home must not be under repair; got a repair at work")


@contextmanager
def locked_shared(settings: Settings, root: Path) -> Iterator[None]:
    """`lock_shared` for the length of a block, where the home has the log."""
    if settings.log != "sqlite":
        yield
        return
    descriptor = lock_shared(root)
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def lock_alone(root: Path, partitions: int) -> Iterator[None]:
    """Make this process the only one that works on a home: for a repair.

    Args:
        root: The home's directory.
        partitions: Of `events`.

    Raises:
        ConfigurationError: A flow, an ingest, a scorer, a trainer or another repair works on it.
    """
    why = "home must be idle to be repaired; got an ingest, scorer, trainer or repair at work"
    with ExitStack() as held:
        held.callback(os.close, _locked(root, fcntl.LOCK_EX, why))
        for partition in range(partitions):
            held.callback(os.close, lock_partition(root, partition))
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
