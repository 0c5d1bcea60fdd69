"""Model files under the name of their content: a name never means two things."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from state.atomic_write import sweep, write_atomically
from state.regular_file import read_regular

MAX_ARTIFACT_BYTES = 2**28
"""The largest file that is read, wherever it lies."""

_NAME = re.compile(r"[0-9a-f]{64}")


class ArtifactError(Exception):
    """An artifact is missing or not what its name says."""


class MissingArtifactError(ArtifactError):
    """An artifact is nowhere."""


class Origin(Protocol):
    """Where other machines' files come from; `str` of it is for people."""

    def keep(self, sha256: str, content: bytes) -> None:
        """Make a file available to other machines."""

    def find(self, sha256: str) -> bytes | None:
        """A file as it came, not verified; None: not there."""


class ArtifactStore:
    """A directory of files named by their sha256; what it lacks is fetched into it.

    Args:
        root: The directory; made when the first file comes.
        origins: Where to look for what is not there, in order.
    """

    def __init__(self, root: Path, origins: Sequence[Origin] = ()) -> None:
        self._root, self._origins = root, origins
        self._is_swept = False

    def put(self, content: bytes) -> str:
        """Keep bytes, durably, and return their sha256; the same bytes are kept once.

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
        """The bytes of this sha256.

        Raises:
            ArtifactError: They are nowhere, or they changed.
            OSError: Where they might be cannot be reached.
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
        """A file brought here, so that it is there the next time."""
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
