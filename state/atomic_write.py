"""Write files so that they appear whole or not at all."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from glob import escape
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to; at the end of the block it replaces `path`, durably.

    A crash leaves the old file or the new one, and a part that the next write or `sweep` deletes.
    An error, such as a full disk or a signal, leaves only the old file.

    Raises:
        OSError: The folder cannot be created or written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "deep" / "file"
        ...     with replacing(path) as part:
        ...         _ = part.write_text("whole")
        ...         before = path.exists()
        ...     before, path.read_text()
        (False, 'whole')
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_parts(path.parent, escape(path.name))
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with ExitStack() as stack:
        stack.callback(part.unlink, missing_ok=True)
        stack.enter_context(_held(part))
        os.utime(part, (0, 0))
        yield part
        if part.stat().st_mtime_ns == 0:
            msg = f"file must be written before it takes its place; got nothing for {path}"
            raise FileNotFoundError(msg)
        sync(part)
        part.replace(path)
    sync(path.parent)


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path`; see `replacing`."""
    with replacing(path) as part:
        part.write_bytes(content)


def sweep(folder: Path) -> None:
    """Delete parts of files that crashes left in a folder, but not those being written."""
    _remove_parts(folder, "*")


def _remove_parts(folder: Path, name: str) -> None:
    for part in folder.glob(f".{name}.*.part"):
        with suppress(OSError), part.open("rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink(missing_ok=True)


@contextmanager
def _held(part: Path) -> Iterator[None]:
    """Create a part and lock it against deletion; the kernel unlocks it when the process ends."""
    while True:
        with part.open("ab") as file:
            with suppress(OSError):  # not every file system has locks
                fcntl.flock(file, fcntl.LOCK_EX)
            if part.exists() and part.stat().st_ino == os.fstat(file.fileno()).st_ino:
                yield
                return


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, durable."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
