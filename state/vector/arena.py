"""Blocks of float64 in one growing pool, found by key: the memory of the rolling features.

A table maps the keys of one feature to their blocks. The first cell of a block is the event time of
its last use, by which `forget` decides. If blocks of a table can grow, the second cell counts how
often this one has grown. A directory finds the blocks of one key in all tables with the same key
fields by one look-up.
"""

import weakref
from collections.abc import Hashable, Iterable, Sequence
from itertools import count

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.events import HOUR_US, MINUTE_US
from state.restored import MOST_US, Count, check, floats

NOWHERE = -1
"""The address of a key without a block, and the place of a key without a block in any table."""

LARGE = 2**16
"""Number of blocks from which a table forgets more often than once an hour."""

_AT_ONCE = 10_000
"""Number of keys restored without a pause for other threads: a millisecond or two."""


class Arena:
    """The pool of blocks, and the tables that own them.

    Attributes:
        pool: All blocks; kernels access it by address. It is reallocated when it grows.
        slots: Addresses of blocks, found by a directory's places. It is reallocated too.
    """

    def __init__(self) -> None:
        self.pool: NDArray[np.float64] = np.zeros(1024)
        self.slots: NDArray[np.int64] = np.full(256, NOWHERE)
        self.tables: list[Table] = []
        self._end = self._slots_end = 0

    def directory(self) -> "Directory":
        """Make a directory; all its tables must be made before its first key."""
        return Directory(self)

    def table(
        self, sizes: tuple[int, ...], forget_us: int, directory: "Directory | None" = None
    ) -> "Table":
        """Make a table whose keys are forgotten `forget_us` after their last use.

        Args:
            sizes: Cells of a block, at first and after each growth.
            forget_us: Time after which an unused key is forgotten, µs.
            directory: Directory of its keys; default: one of its own.
        """
        table = Table(self, sizes, forget_us, directory or self.directory())
        self.tables.append(table)
        return table

    def forget(self, now: int) -> None:
        """Free the blocks whose last use is longer ago than their table remembers."""
        for table in self.tables:
            table.forget(now)

    @property
    def turn_us(self) -> int:
        """Shortest interval at which a table must forget (µs of event time)."""
        return min((table.turn_us for table in self.tables), default=HOUR_US)

    def forget_in_turn(self, since: int, until: int, now: int) -> None:
        """Call `forget` on the large tables that are due between two event times.

        Args:
            since: Event time (µs) of the previous call.
            until: Event time (µs) of this call.
            now: See `forget`.
        """
        for table in self.tables:
            has_turn = since // table.turn_us < until // table.turn_us
            if has_turn and len(table.blocks) >= LARGE:
                table.forget(now)

    def take(self, size: int) -> int:
        """Allocate `size` zeros at the end of the pool, and return their address."""
        address, self._end = self._end, self._end + size
        if self._end > len(self.pool):
            grown = np.zeros(max(self._end, 2 * len(self.pool)))
            grown[:address] = self.pool[:address]
            self.pool = grown
        return address

    def take_slots(self, size: int) -> int:
        """Allocate `size` empty slots, and return the place of the first."""
        place, self._slots_end = self._slots_end, self._slots_end + size
        if self._slots_end > len(self.slots):
            grown = np.full(max(self._slots_end, 2 * len(self.slots)), NOWHERE)
            grown[:place] = self.slots[:place]
            self.slots = grown
        return place

    def snapshot(self) -> bytes:
        """Encode all blocks, keys and free lists."""
        tables = [(list(t.blocks.items()), t.free) for t in self.tables]
        return msgspec.msgpack.encode((self.pool[: self._end].tobytes(), tables))

    def restore(self, state: bytes) -> None:
        """Restore a `snapshot` of an arena with the same tables.

        Raises:
            ValueError: A block is not at an address that its table can have; kernels rely on that.
            msgspec.DecodeError: The bytes have another form.
        """
        pool, tables = msgspec.msgpack.decode(
            state, type=tuple[bytes, list[tuple[list[tuple[_Key, Count]], list[list[Count]]]]]
        )
        check(len(tables) == len(self.tables), f"tables must be {len(self.tables)}", len(tables))
        self.pool = floats(pool, "pool").copy()
        self._end = len(self.pool)
        for table in self.tables:
            table.clear()
        for table, (blocks, free) in zip(self.tables, tables, strict=True):
            for i in range(0, len(blocks), _AT_ONCE):
                table.put_all(blocks[i : i + _AT_ONCE])
            check(len(table.blocks) == len(blocks), "keys must be unique", len(blocks))
            check(len(free) == len(table.sizes), f"sizes must be {len(table.sizes)}", len(free))
            table.free[:] = free
        self._check_blocks()

    def _check_blocks(self) -> None:
        """Check that used and free blocks fill the pool without gaps or overlaps.

        `take` allocates them so; hence all are inside the pool, aligned, and owned once.

        Raises:
            ValueError: They do not, or a block's time is invalid.
        """
        none = np.empty(0, np.int64)
        begins, sizes = [none], [none]
        for table in self.tables:
            begins.append(table.addresses())
            sizes.append(table.sizes_at(begins[-1]))
            for size, free in zip(table.sizes, table.free, strict=True):
                begins.append(np.array(free, np.int64))
                sizes.append(np.full(len(free), size))
        self._check_filled(np.concatenate(begins), np.concatenate(sizes))
        for table in self.tables:
            touched = self.pool[table.addresses()]
            check(
                ((touched >= 0.0) & (touched <= MOST_US)).all(),
                "blocks must begin with the time of their last touch",
                touched.min(initial=0.0),
            )

    def _check_filled(self, begins: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
        order = np.argsort(begins)
        begins = begins[order]
        ends = begins + sizes[order]
        fill = np.array_equal(np.append(begins, self._end), np.insert(ends, 0, 0))
        check(fill, f"blocks must fill the pool of {self._end} cells side by side", len(begins))


_Part = str | int | float | bool | None
_Key = _Part | tuple[_Part, ...]


class Directory:
    """Place of each key's slots: one slot per table, in order, `NOWHERE` without a block.

    Attributes:
        places: Index in `Arena.slots` of a key's first slot, for keys with a block in any table.
    """

    __slots__ = ("_arena", "_free", "places", "width")

    def __init__(self, arena: Arena) -> None:
        self._arena: Arena = weakref.proxy(arena)
        self._free: list[int] = []
        self.width = 0
        self.places: dict[Hashable, int] = {}

    def join(self) -> int:
        """Add a table, and return the number of its slot."""
        assert not self.places
        self.width += 1
        return self.width - 1

    def put(self, key: Hashable, slot: int, address: int) -> None:
        """Set the address of a key's block."""
        place = self.places.get(key)
        if place is None:
            place = self._free.pop() if self._free else self._arena.take_slots(self.width)
            self.places[key] = place
        self._arena.slots[place + slot] = address

    def put_all(self, blocks: Sequence[tuple[Hashable, int]], slot: int) -> None:
        """Set the addresses of many keys' blocks, in a tenth of the time of single calls."""
        keys, addresses = zip(*blocks, strict=True)
        new = [key for key in keys if key not in self.places]
        first = self._arena.take_slots(len(new) * self.width)
        self.places.update(zip(new, count(first, self.width), strict=False))
        places = np.fromiter(map(self.places.__getitem__, keys), np.int64, len(keys))
        self._arena.slots[places + slot] = addresses

    def drop(self, keys: Iterable[Hashable], slot: int) -> None:
        """Remove the blocks of keys, and keys that have no other block."""
        slots, keys = self._arena.slots, list(keys)
        places = np.fromiter((self.places[key] for key in keys), np.int64, len(keys))
        slots[places + slot] = NOWHERE
        empty = (slots[places[:, None] + np.arange(self.width)] == NOWHERE).all(axis=1)
        self._free.extend(self.places.pop(key) for key, one in zip(keys, empty, strict=True) if one)


class Table:
    """The blocks of one feature, one for each key.

    Attributes:
        blocks: Address by key, in order of creation.
        free: Free addresses of each size, the last freed last.
        turn_us: Interval between calls of `forget`, µs: a quarter of `forget_us`, 1 min to 1 h.
        directory: Directory of the keys.
        sizes: Cells of a block, at first and after each growth.
        slot: Number of this table's slot in the directory.
    """

    __slots__ = (
        "_arena",
        "_forget_us",
        "blocks",
        "directory",
        "free",
        "sizes",
        "slot",
        "turn_us",
    )

    def __init__(
        self, arena: Arena, sizes: tuple[int, ...], forget_us: int, directory: Directory
    ) -> None:
        self._arena: Arena = weakref.proxy(arena)
        self.sizes, self._forget_us = sizes, forget_us
        self.blocks: dict[Hashable, int] = {}
        self.free: list[list[int]] = [[] for _ in sizes]
        self.turn_us = min(max(forget_us // 4, MINUTE_US), HOUR_US)
        self.directory, self.slot = directory, directory.join()

    def add(self, key: Hashable) -> int:
        """Allocate a block of zeros for a key, and return its address."""
        address = self._room(0)
        self.put(key, address)
        return address

    def grow(self, key: Hashable) -> None:
        """Move a key's block to one of the next size, with zeros after its content."""
        pool, old = self._arena.pool, self.blocks[key]
        grown = int(pool[old + 1])
        address, size = self._room(grown + 1), self.sizes[grown]
        pool = self._arena.pool
        pool[address : address + size] = pool[old : old + size]
        pool[address + 1] = grown + 1
        self.free[grown].append(old)
        self.put(key, address)

    def sizes_at(self, addresses: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of cells of the blocks at these addresses.

        Raises:
            ValueError: An address is outside the pool, or the block's size is invalid.
        """
        if len(self.sizes) == 1:
            return np.full(len(addresses), self.sizes[0])
        inside = (addresses < len(self._arena.pool) - 1).all()
        check(inside, "blocks must lie in the pool", addresses.max(initial=0))
        grown = self._arena.pool[addresses + 1]
        known = np.isin(grown, np.arange(len(self.sizes)))
        check(known.all(), f"blocks must be of {len(self.sizes)} sizes", grown[~known].tolist())
        return np.array(self.sizes)[grown.astype(np.int64)]

    def _room(self, grown: int) -> int:
        """Allocate zeros for a block that has grown `grown` times, and return the address."""
        free, size = self.free[grown], self.sizes[grown]
        if not free:
            return self._arena.take(size)
        address = free.pop()
        self._arena.pool[address : address + size] = 0.0
        return address

    def put(self, key: Hashable, address: int) -> None:
        """Set the address of a key's block."""
        self.blocks[key] = address
        self.directory.put(key, self.slot, address)

    def put_all(self, blocks: Sequence[tuple[Hashable, int]]) -> None:
        """Set the addresses of many keys' blocks."""
        self.blocks.update(blocks)
        self.directory.put_all(blocks, self.slot)

    def addresses(self) -> NDArray[np.int64]:
        """Addresses of the used blocks, in order of creation."""
        return np.fromiter(self.blocks.values(), np.int64, len(self.blocks))

    def clear(self) -> None:
        """Forget every key."""
        self.directory.drop(self.blocks, self.slot)
        self.blocks.clear()
        self.free = [[] for _ in self.sizes]

    def forget(self, now: int) -> None:
        """Free the blocks that were last used before `now - forget_us`."""
        if not self.blocks:
            return
        pool, addresses = self._arena.pool, self.addresses()
        old = (pool[addresses] < now - self._forget_us).nonzero()[0]
        if len(old) == 0:
            return
        keys = list(self.blocks)
        gone = [keys[index] for index in old]
        grown = pool[addresses[old] + 1].astype(np.int64) if len(self.sizes) > 1 else 0 * old
        for key, times in zip(gone, grown.tolist(), strict=True):
            self.free[times].append(self.blocks.pop(key))
        self.directory.drop(gone, self.slot)
