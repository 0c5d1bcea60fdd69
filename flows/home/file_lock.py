"""File locks of a home with an embedded log; with Kafka, fencing takes their place.

One process at a time processes a partition. Ingest, scorer and trainer share a lock on the home's
directory; a repair takes that lock and every partition's exclusively.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from state.process_lock import LockedError, acquire, locked
from state.regular_file import read_regular
from state.settings import Settings


def lock_partition(root: Path, partition: int) -> int:
    """Lock a partition, so that this process is the only one that processes it.

    Args:
        root: The home's directory.
        partition: Partition of `events`.

    Returns:
        An open file descriptor; closing it, or ending the process, releases the lock.

    Raises:
        LockedError: Another flow holds the lock.
    """
    path = root / "running" / f"{partition}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = acquire(path, f"events/{partition} is already processed")
    except LockedError as error:
        other = read_regular(path, 20).decode(errors="replace") or "unknown"
        msg = f"{error} by pid {other} ({path}): stop that process first, or let it go on"
        raise LockedError(msg) from None
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
        LockedError: A repair of the home is running.
    """
    refusal = f"home must not be under repair; got a running repair on {root}: stop it first"
    return acquire(root, refusal, shared=True)


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
        LockedError: A flow, ingest, scorer, trainer or another repair uses the home.
    """
    refusal = (
        "home must be idle to be repaired; got a running ingest, scorer, trainer or repair "
        f"on {root}: stop it first"
    )
    with ExitStack() as held:
        held.enter_context(locked(root, refusal))
        for partition in range(partitions):
            held.callback(os.close, lock_partition(root, partition))
        yield
