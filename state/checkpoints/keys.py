"""Signatures of checkpoints that leave a home: only a key holder can make one that is read."""

import hmac
from collections.abc import Sequence

VARIABLE = "HEADWATER_CHECKPOINT_KEY"
"""The environment variable that holds the keys."""

LEAST_CHARACTERS = 32
"""A shorter key could be guessed offline by a reader of the store."""

_MAGIC = b"headwater signed checkpoint 1\n"
_DIGEST_BYTES = 32
ADDED_BYTES = len(_MAGIC) + _DIGEST_BYTES
"""How much longer a file is once it is signed."""


class SignatureError(ValueError):
    """A file is not signed with any of the keys for its place."""


class CheckpointKeys:
    """Signs files with HMAC-SHA256 (RFC 2104), and verifies what was signed.

    The signature covers a file's place too, so that no file can take the place of another. An old
    file in its own place does no harm: the log decides whether a checkpoint is its own and how far
    it has come, and from an old one the way to the same state is longer.

    Args:
        keys: The first signs, each of them verifies: so a new key comes before the old one for as
            long as what the old one signed is needed.

    Raises:
        ValueError: There is none, or one is short.

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
        """The keys that an environment variable holds, with commas; errors as for the class."""
        return cls([key.strip() for key in text.split(",")])

    def __len__(self) -> int:
        return len(self._keys)

    def signed(self, place: str, content: bytes) -> bytes:
        """A file as it is to be stored.

        Args:
            place: Where it will be.
            content: What it holds.
        """
        return b"".join((_MAGIC, _digest(self._keys[0], place, content), content))

    def verified(self, place: str, file: bytes) -> memoryview:
        """What was signed, not copied.

        Args:
            place: Where the file was found.
            file: As it came.

        Raises:
            SignatureError: It is not signed with any of the keys for this place.
        """
        if not file.startswith(_MAGIC):
            msg = "it must be signed; got no signature"
            raise SignatureError(msg)
        digest, content = file[len(_MAGIC) : ADDED_BYTES], memoryview(file)[ADDED_BYTES:]
        found = [hmac.compare_digest(digest, _digest(key, place, content)) for key in self._keys]
        if not any(found):
            msg = f"its signature must be by a key of {VARIABLE} and for this place; it is not"
            raise SignatureError(msg)
        return content


def unsigned(file: bytes) -> memoryview:
    """The content of a file, signed or not: for a store that is trusted."""
    return memoryview(file)[ADDED_BYTES if file.startswith(_MAGIC) else 0 :]


def _digest(key: bytes, place: str, content: bytes | memoryview) -> bytes:
    name = place.encode()
    one = hmac.new(key, _MAGIC + len(name).to_bytes(8, "little") + name, "sha256")
    one.update(content)
    return one.digest()
