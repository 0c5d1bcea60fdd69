"""Locks between processes, on files and folders.

The kernel keeps them (`flock`): they end with the process that holds them, however it ends.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class LockedError(OSError):
    """Somebody else holds the lock."""


def acquire(path: Path, refusal: str, *, shared: bool = False) -> int:
    """Lock a file or a folder, or refuse at once.

    Args:
        path: A folder, or a file that is created if it is missing and the lock is exclusive.
        refusal: Message of the error if somebody else holds the lock.
        shared: Allow other shared locks beside this one; needs read access only.

    Returns:
        An open file descriptor; closing it, or ending the process, releases the lock.

    Raises:
        LockedError: Somebody else holds the lock.
        OSError: The file cannot be opened, or its file system has no locks.
    """
    try:
        return _lock(path, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LockedError(refusal) from None


@contextmanager
def locked(path: Path, refusal: str | None = None) -> Iterator[None]:
    """Hold an exclusive lock in a `with` block.

    Args:
        path: See `acquire`.
        refusal: See `acquire`; None: wait until the lock is free.
    """
    descriptor = _lock(path, fcntl.LOCK_EX) if refusal is None else acquire(path, refusal)
    try:
        yield
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether somebody holds an exclusive lock; several processes may ask at once."""
    if not path.exists():
        return False
    try:
        os.close(_lock(path, fcntl.LOCK_SH | fcntl.LOCK_NB))
    except BlockingIOError:
        return True
    return False


def _lock(path: Path, how: int) -> int:
    only_read = how & fcntl.LOCK_SH or path.is_dir()
    mode = os.O_RDONLY if only_read else os.O_RDWR | os.O_CREAT
    descriptor = os.open(path, mode | os.O_NONBLOCK, 0o644)  # else a pipe waits for a writer
    try:
        fcntl.flock(descriptor, how)
    except OSError as error:
        os.close(descriptor)
        error.filename = str(path)
        raise
    return descriptor
