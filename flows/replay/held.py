"""A lock on a folder: one replay at a time works in it."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class InUseError(OSError):
    """Another process holds the lock."""


@contextmanager
def held(root: Path, what: str) -> Iterator[None]:
    """Lock a folder in a `with` block; create it if it is missing.

    Args:
        root: Folder to lock.
        what: Name of its content, for the message.

    Raises:
        InUseError: Another process holds the lock.
    """
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            msg = f"{what} must be free; got {root.name!r} in use by another replay in {root}"
            raise InUseError(msg) from None
        yield


def is_held(root: Path) -> bool:
    """Whether a process holds the lock; several processes may ask at once."""
    path = root / "lock"
    if not path.exists():
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
