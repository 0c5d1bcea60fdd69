"""Read regular files only: reading a pipe or device could block forever."""

import os
import stat
from contextlib import suppress
from pathlib import Path


class NotRegularError(OSError):
    """The path is a folder, pipe, socket or device instead of a file."""


_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def read_regular(path: Path, most: int = -1) -> bytes:
    """Return a file's content without waiting for a writer.

    Args:
        path: Path; a link is followed.
        most: Most bytes to read; negative: all.

    Raises:
        NotRegularError: It is not a regular file.
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
    """Refuse a path that would block an ordinary open.

    Raises:
        NotRegularError: It exists and is not a regular file.
        OSError: The status of the file cannot be read.
    """
    with suppress(FileNotFoundError):
        _check(path.stat(), path)


def _check(found: os.stat_result, path: Path) -> None:
    kind = stat.S_IFMT(found.st_mode)
    if kind != stat.S_IFREG:
        msg = f"file must be a regular one; got {_KINDS.get(kind, 'something else')} in {path}"
        raise NotRegularError(msg)
