"""Files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write to the path that this gives; when the block ends it takes the place of `path`, durably.

    A crash leaves the old file or the new; an error, a full disk among them, the old one, and
    nothing beside it.

    Raises:
        OSError: The folder cannot be made or written.

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
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        _sync(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    _sync(path.parent)


def write_atomically(path: Path, content: bytes) -> None:
    """Put `content` at `path`; see `replacing`."""
    with replacing(path) as part:
        part.write_bytes(content)


def sweep(folder: Path) -> None:
    """Remove the parts of files that crashes left in a folder; it has one writer, the caller."""
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
