"""Files of which only the content matters: a pipe or a device in their place would never end."""

import os
import stat
from contextlib import suppress
from pathlib import Path


class NotRegularError(OSError):
    """A folder, a pipe, a socket or a device is where a file should be."""


_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def read_regular(path: Path, most: int = -1) -> bytes:
    """What is in a file; it never waits for a writer.

    Args:
        path: A link is followed.
        most: Bytes to read; negative: all.

    Raises:
        NotRegularError: It is no regular file.
        OSError: It cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _check(os.fstat(descriptor), path)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(most)
    finally:
        os.close(descriptor)


def check_regular(path: Path) -> None:
    """Refuse what others would open and wait at.

    Raises:
        NotRegularError: It is there and no regular file.
        OSError: It cannot be looked at.
    """
    with suppress(FileNotFoundError):
        _check(path.stat(), path)


def _check(found: os.stat_result, path: Path) -> None:
    kind = stat.S_IFMT(found.st_mode)
    if kind != stat.S_IFREG:
        msg = f"file must be a regular one; got {_KINDS.get(kind, 'something else')} in {path}"
        raise NotRegularError(msg)
