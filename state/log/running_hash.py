"""Running hash over a partition's records, to check that a log still holds what was read."""

from collections.abc import Sequence
from hashlib import blake2b
from struct import Struct

import msgspec

from state.log import Record

START = bytes(16)
"""The hash before the first record."""

_lengths = Struct("<qI").pack


def fold(before: bytes, records: Sequence[Record]) -> bytes:
    """The hash after some more records, however they are split into calls.

    It is the blake2b (16 bytes) of the previous hash, the append time as 8 bytes and the key's
    length as 4 bytes (both little endian), the key, and the value.

    Args:
        before: Hash before these records, or `START`.
        records: Consecutive records, in offset order.

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
    """The hash of the records that were read from a partition.

    Attributes:
        first: Offset of the first record in the hash.
        end: Offset after the last record in the hash.
        hash: Hash of all these records.
        near: Offset shortly before the end, from which a check is cheap.
        near_hash: Hash of the records before `near`.
    """

    first: int
    end: int
    hash: bytes
    near: int
    near_hash: bytes

    @classmethod
    def at(cls, offset: int) -> "Hashed":
        """The hash of no records, starting at an offset."""
        return cls(offset, offset, START, offset, START)

    def after(self, records: Sequence[Record]) -> "Hashed":
        """Add records; if they are not the next ones, start again with them.

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
