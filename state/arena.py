"""Blocks of float64 in one growing pool, found by key: where the rolling features live.

A table maps the keys of one feature to their blocks. The first cell of a block is the event time
at which it was last touched; that is what `forget` goes by.
"""

from collections.abc import Hashable

import msgspec
import numpy as np
from numpy.typing import NDArray

NOWHERE = -1
"""The address of a key that has no block."""


class Arena:
    """The pool and its tables.

    Attributes:
        pool: All blocks; kernels read and write it by address. It moves when it grows.
    """

    def __init__(self) -> None:
        self.pool: NDArray[np.float64] = np.zeros(1024)
        self.tables: list[Table] = []
        self._end = 0

    def table(self, block_size: int, forget_us: int) -> "Table":
        """A new table of equal blocks whose keys are forgotten `forget_us` after their last use."""
        table = Table(self, block_size, forget_us)
        self.tables.append(table)
        return table

    def forget(self, now: int) -> None:
        """Free every block that was last touched longer ago than its table remembers."""
        for table in self.tables:
            table.forget(now)

    def take(self, size: int) -> int:
        """The address of `size` fresh zeros at the end of the pool."""
        address, self._end = self._end, self._end + size
        if self._end > len(self.pool):
            grown = np.zeros(max(self._end, 2 * len(self.pool)))
            grown[:address] = self.pool[:address]
            self.pool = grown
        return address

    def snapshot(self) -> bytes:
        """All blocks, keys and free lists."""
        tables = [(list(t.blocks.items()), t.free) for t in self.tables]
        return msgspec.msgpack.encode((self.pool[: self._end].tobytes(), tables))

    def restore(self, state: bytes) -> None:
        """Take the state from `snapshot` of an arena with the same tables."""
        pool, tables = msgspec.msgpack.decode(
            state, type=tuple[bytes, list[tuple[list[tuple[_Key, int]], list[int]]]]
        )
        self.pool = np.frombuffer(pool).copy()
        self._end = len(self.pool)
        for table, (blocks, free) in zip(self.tables, tables, strict=True):
            table.blocks.clear()
            table.blocks.update((_hashable(key), address) for key, address in blocks)
            table.free[:] = free


_Part = str | int | float | bool | None
_Key = _Part | list[_Part]


class Table:
    """Blocks of one size, one for each key.

    Attributes:
        blocks: Address by key, in order of creation.
        free: Addresses to use again, last freed first.
    """

    __slots__ = ("_arena", "_forget_us", "_size", "blocks", "free")

    def __init__(self, arena: Arena, size: int, forget_us: int) -> None:
        self._arena, self._size, self._forget_us = arena, size, forget_us
        self.blocks: dict[Hashable, int] = {}
        self.free: list[int] = []

    def add(self, key: Hashable) -> int:
        """The address of a new block of zeros for `key`."""
        if self.free:
            address = self.free.pop()
            self._arena.pool[address : address + self._size] = 0.0
        else:
            address = self._arena.take(self._size)
        self.blocks[key] = address
        return address

    def forget(self, now: int) -> None:
        """Free the blocks last touched before `now` less what this table remembers."""
        if not self.blocks:
            return
        touched = self._arena.pool[np.fromiter(self.blocks.values(), np.int64, len(self.blocks))]
        old = (touched < now - self._forget_us).nonzero()[0]
        if len(old) == 0:
            return
        keys = list(self.blocks)
        for index in old:
            self.free.append(self.blocks.pop(keys[index]))


def _hashable(key: _Key) -> Hashable:
    return tuple(key) if isinstance(key, list) else key
