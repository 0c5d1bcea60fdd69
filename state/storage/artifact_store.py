"""Model files named by the hash of their content, so that a name has only one meaning."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from state.atomic_write import sweep, write_atomically
from state.regular_file import read_regular

MAX_ARTIFACT_BYTES = 2**28
"""Limit on the size of a file that is read, in bytes."""

_NAME = re.compile(r"[0-9a-f]{64}")


class ArtifactError(Exception):
    """An artifact is missing, or its content does not match its name."""


class MissingArtifactError(ArtifactError):
    """An artifact was found nowhere."""


class Origin(Protocol):
    """A source of other machines' files; its `str` is shown in messages."""

    def keep(self, sha256: str, content: bytes) -> None:
        """Make a file available to other machines."""

    def find(self, sha256: str) -> bytes | None:
        """Return a file, not verified; None: it does not exist."""


class ArtifactStore:
    """A directory of files named by their sha256; missing files are fetched into it.

    Args:
        root: The directory; created by the first write.
        origins: Sources of missing files, searched in order.
    """

    def __init__(self, root: Path, origins: Sequence[Origin] = ()) -> None:
        self._root, self._origins = root, origins
        self._is_swept = False

    def put(self, content: bytes) -> str:
        """Store bytes durably, and return their sha256; the same bytes are stored once.

        Example:
            >>> import tempfile
            >>> with tempfile.TemporaryDirectory() as root:
            ...     store = ArtifactStore(Path(root))
            ...     store.get(store.put(b"trees"))
            b'trees'
        """
        name = hashlib.sha256(content).hexdigest()
        self._write(self._root / name, content)
        for origin in self._origins:
            origin.keep(name, content)
        return name

    def get(self, sha256: str) -> bytes:
        """Return the bytes with this sha256.

        Raises:
            ArtifactError: They were found nowhere, or have changed.
            OSError: A source cannot be reached.
        """
        if not _NAME.fullmatch(sha256):
            msg = f"artifact must be named by a sha256; got {sha256[:80]!r}"
            raise ArtifactError(msg)
        path = self._root / sha256
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            return self._fetched(path)
        if size > MAX_ARTIFACT_BYTES:
            msg = f"artifact must be at most {MAX_ARTIFACT_BYTES} bytes; got {size} in {path}"
            raise ArtifactError(msg)
        content = read_regular(path)
        _check(sha256, content, path)
        return content

    def _write(self, path: Path, content: bytes) -> None:
        if not self._is_swept:
            sweep(self._root)
            self._is_swept = True
        write_atomically(path, content)

    def _fetched(self, path: Path) -> bytes:
        """Fetch a file from a source, and store it here."""
        for origin in self._origins:
            content = origin.find(path.name)
            if content is not None:
                _check(path.name, content, origin)
                self._write(path, content)
                return content
        places = " nor in ".join(map(str, (self._root, *self._origins)))
        msg = f"artifact {path.name} must be in {places}; got nothing: was it copied along?"
        raise MissingArtifactError(msg)


def _check(sha256: str, content: bytes, place: object) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        msg = f"artifact must have sha256 {sha256}; got {found} in {place}: restore or refit it"
        raise ArtifactError(msg)
