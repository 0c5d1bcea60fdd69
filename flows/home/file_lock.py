"""File locks of a home with an embedded log; with Kafka, fencing takes their place.

One process at a time processes a partition. Ingest, scorer and trainer share a lock on the home's
directory; a repair takes that lock and every partition's exclusively.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flows.home.configuration import ConfigurationError
from state.settings import Settings


def lock_partition(root: Path, partition: int) -> int:
    """Lock a partition, so that this process is the only one that processes it.

    Args:
        root: The home's directory.
        partition: Partition of `events`.

    Returns:
        An open file descriptor; closing it, or ending the process, releases the lock.

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
            f"events/{partition} is already processed by pid {other} ({path}): "
            "stop that process first, or let it go on"
        )
        raise ConfigurationError(msg) from error
    os.truncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def lock_shared(root: Path) -> int:
    """Share the home with other readers, and keep repairs out.

    Args:
        root: The home's directory, which must exist.

    Returns:
        An open file descriptor; closing it, or ending the process, releases the lock.

    Raises:
        ConfigurationError: A repair of the home is running.
    """
    return _locked(root, fcntl.LOCK_SH, "home must not be under repair; got a running repair")


@contextmanager
def locked_shared(settings: Settings, root: Path) -> Iterator[None]:
    """Hold `lock_shared` in a `with` block; with Kafka, do nothing."""
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
    """Lock the whole home for a repair, in a `with` block.

    Args:
        root: The home's directory.
        partitions: Number of partitions of `events`.

    Raises:
        ConfigurationError: A flow, ingest, scorer, trainer or another repair uses the home.
    """
    why = "home must be idle to be repaired; got a running ingest, scorer, trainer or repair"
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
