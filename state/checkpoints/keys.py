"""Signatures of checkpoints outside the home: only a key holder can make one that is loaded."""

import hmac
from collections.abc import Sequence

VARIABLE = "HEADWATER_CHECKPOINT_KEY"
"""The environment variable that holds the keys."""

LEAST_CHARACTERS = 32
"""A shorter key could be guessed offline by anyone who can read the store."""

_MAGIC = b"headwater signed checkpoint 1\n"
_DIGEST_BYTES = 32
ADDED_BYTES = len(_MAGIC) + _DIGEST_BYTES
"""Number of bytes that a signature adds to a file."""


class SignatureError(ValueError):
    """A file has no signature by any of the keys for its place."""


class CheckpointKeys:
    """Signs files with HMAC-SHA256 (RFC 2104), and verifies them.

    The signature covers the file's place, so that no file can replace another one. An old file in
    its own place does no harm: the log decides whether a checkpoint belongs to it, and from an old
    one more of the log is replayed to the same state.

    Args:
        keys: The first one signs, all of them verify. To change the key, put the new one first and
            keep the old one as long as files signed with it are needed.

    Raises:
        ValueError: There is no key, or one is too short.

    Example:
        >>> keys = CheckpointKeys.parse("n" * 32 + "," + "o" * 32)
        >>> signed = CheckpointKeys.parse("o" * 32).signed("0/a.ckpt", b"state")
        >>> bytes(keys.verified("0/a.ckpt", signed)), len(signed) - len(b"state") == ADDED_BYTES
        (b'state', True)
    """

    def __init__(self, keys: Sequence[str]) -> None:
        for key in keys or [""]:
            if len(key) < LEAST_CHARACTERS:
                msg = (
                    f"{VARIABLE} must be a key of {LEAST_CHARACTERS} characters or more, or "
                    f"several with commas; got one of {len(key)}: `openssl rand -hex 32` makes one"
                )
                raise ValueError(msg)
        self._keys = [key.encode() for key in keys]

    @classmethod
    def parse(cls, text: str) -> "CheckpointKeys":
        """Parse the comma-separated keys of an environment variable; raises as the class does."""
        return cls([key.strip() for key in text.split(",")])

    def __len__(self) -> int:
        return len(self._keys)

    def signed(self, place: str, content: bytes) -> bytes:
        """Sign a file's content.

        Args:
            place: Place at which it will be stored.
            content: Content of the file.
        """
        return b"".join((_MAGIC, _digest(self._keys[0], place, content), content))

    def verified(self, place: str, file: bytes) -> memoryview:
        """Verify a signed file, and return its content without copying it.

        Args:
            place: Place at which the file was found.
            file: The whole file.

        Raises:
            SignatureError: No key has signed it for this place.
        """
        if not file.startswith(_MAGIC):
            msg = "it must be signed; got no signature"
            raise SignatureError(msg)
        digest, content = file[len(_MAGIC) : ADDED_BYTES], memoryview(file)[ADDED_BYTES:]
        found = [hmac.compare_digest(digest, _digest(key, place, content)) for key in self._keys]
        if not any(found):
            msg = f"its signature must be by a key of {VARIABLE} and for this place; got another"
            raise SignatureError(msg)
        return content


def unsigned(file: bytes) -> memoryview:
    """The content of a signed or unsigned file, not verified: for a trusted store."""
    return memoryview(file)[ADDED_BYTES if file.startswith(_MAGIC) else 0 :]


def _digest(key: bytes, place: str, content: bytes | memoryview) -> bytes:
    name = place.encode()
    one = hmac.new(key, _MAGIC + len(name).to_bytes(8, "little") + name, "sha256")
    one.update(content)
    return one.digest()
