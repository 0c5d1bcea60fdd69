"""The running hash over a partition's records: whether a log still holds what was read of it."""

from collections.abc import Sequence
from hashlib import blake2b
from struct import Struct

import msgspec

from state.log import Record

START = bytes(16)
"""The hash before the first record."""

_lengths = Struct("<qI").pack


def fold(before: bytes, records: Sequence[Record]) -> bytes:
    """The hash after some more records; where they are cut into pieces means nothing.

    It is the blake2b, 16 bytes long, of the hash before, the append time as 8 and the key's length
    as 4 bytes, little endian, the key and the value.

    Args:
        before: The hash before them, or `START`.
        records: Consecutive, in offset order.

    Example:
        >>> one, two = Record(0, 5, b"JFK", b"{}"), Record(1, 6, b"JFK", b"{}")
        >>> fold(START, [one, two]) == fold(fold(START, [one]), [two])
        True
        >>> unhashed = START + (5).to_bytes(8, "little") + (3).to_bytes(4, "little") + b"JFK{}"
        >>> fold(START, [one]) == blake2b(unhashed, digest_size=16).digest()
        True
    """
    for _, append_time, key, value in records:
        piece = b"".join((before, _lengths(append_time, len(key)), key, value))
        before = blake2b(piece, digest_size=16).digest()
    return before


class Hashed(msgspec.Struct, frozen=True, array_like=True):
    """What was read of a partition, as its hash.

    Attributes:
        first: The offset of the first record that is in it.
        end: The offset after the last.
        hash: Over all of them.
        near: An offset shortly before the end, from which on a look is cheap.
        near_hash: Over the records before `near`.
    """

    first: int
    end: int
    hash: bytes
    near: int
    near_hash: bytes

    @classmethod
    def at(cls, offset: int) -> "Hashed":
        """Nothing read yet: it begins at an offset."""
        return cls(offset, offset, START, offset, START)

    def after(self, records: Sequence[Record]) -> "Hashed":
        """With some more records; begun anew with them where they are not the next ones.

        Example:
            >>> Hashed.at(7).after([Record(7, 5, b"", b"a")]).end
            8
        """
        if not records:
            return self
        begin = records[0].offset
        if begin != self.end:
            return Hashed.at(begin).after(records)
        end = records[-1].offset + 1
        return Hashed(self.first, end, fold(self.hash, records), begin, self.hash)
