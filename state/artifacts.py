"""Model files under the name of their content: a name never means two things."""

import hashlib
from pathlib import Path

from state.atomic import write_atomically


class ArtifactError(Exception):
    """An artifact is missing or not what its name says."""


class ArtifactStore:
    """A directory of files named by their sha256.

    Args:
        root: The directory; made when the first file comes.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

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
        write_atomically(self._root / name, content)
        return name

    def get(self, sha256: str) -> bytes:
        """The bytes of this sha256.

        Raises:
            ArtifactError: They are not there, or they changed.
        """
        path = self._root / sha256
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            msg = f"artifact {sha256} must be in {self._root}; got nothing: was it copied along?"
            raise ArtifactError(msg) from None
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            msg = f"artifact must have sha256 {sha256}; got {found} in {path}: restore or refit it"
            raise ArtifactError(msg)
        return content
