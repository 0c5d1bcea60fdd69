"""One replay at a time in a folder."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class InUseError(OSError):
    """Another process has the folder."""


@contextmanager
def held(root: Path, what: str) -> Iterator[None]:
    """Have a folder alone; made if it is not there.

    Args:
        root: Which.
        what: It holds, for the message.

    Raises:
        InUseError: Another process has it.
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
    """Whether a process has a folder; two may look at once."""
    path = root / "lock"
    if not path.exists():
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
