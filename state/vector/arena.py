"""Blocks of float64 in one growing pool, found by key: where the rolling features live.

A table maps the keys of one feature to their blocks. The first cell of a block is the event time
at which it was last touched; that is what `forget` goes by. A directory finds the blocks of one key
in all tables that go by the same fields with one look-up.
"""

from collections.abc import Hashable, Iterable

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.events import HOUR_US, MINUTE_US
from state.restored import MOST_US, Count, check, floats

NOWHERE = -1
"""The address of a key that has no block, and the place of one that has none in any table."""

LARGE = 2**16
"""From so many blocks on a table forgets more often than once an hour."""


class Arena:
    """The pool and its tables.

    Attributes:
        pool: All blocks; kernels read and write it by address. It moves when it grows.
        slots: Addresses of blocks; a directory says where those of a key are. It moves likewise.
    """

    def __init__(self) -> None:
        self.pool: NDArray[np.float64] = np.zeros(1024)
        self.slots: NDArray[np.int64] = np.full(256, NOWHERE)
        self.tables: list[Table] = []
        self._end = self._slots_end = 0

    def directory(self) -> "Directory":
        """A new directory; all its tables are made before its first key."""
        return Directory(self)

    def table(
        self, block_size: int, forget_us: int, directory: "Directory | None" = None
    ) -> "Table":
        """A new table of equal blocks whose keys are forgotten `forget_us` after their last use.

        Args:
            block_size: Cells of a block.
            forget_us: When to forget a key.
            directory: Where keys of this kind are looked up; one of its own unless given.
        """
        table = Table(self, block_size, forget_us, directory or self.directory())
        self.tables.append(table)
        return table

    def forget(self, now: int) -> None:
        """Free every block that was last touched longer ago than its table remembers."""
        for table in self.tables:
            table.forget(now)

    @property
    def turn_us(self) -> int:
        """How often some table has its turn to forget (µs)."""
        return min((table.turn_us for table in self.tables), default=HOUR_US)

    def forget_in_turn(self, since: int, until: int, now: int) -> None:
        """Do as `forget` in large tables that have their turn between two event times.

        Args:
            since: Event time (µs) up to which all had theirs.
            until: Event time (µs).
            now: As for `forget`.
        """
        for table in self.tables:
            has_turn = since // table.turn_us < until // table.turn_us
            if has_turn and len(table.blocks) >= LARGE:
                table.forget(now)

    def take(self, size: int) -> int:
        """The address of `size` fresh zeros at the end of the pool."""
        address, self._end = self._end, self._end + size
        if self._end > len(self.pool):
            grown = np.zeros(max(self._end, 2 * len(self.pool)))
            grown[:address] = self.pool[:address]
            self.pool = grown
        return address

    def take_slots(self, size: int) -> int:
        """The place of `size` empty slots at their end."""
        place, self._slots_end = self._slots_end, self._slots_end + size
        if self._slots_end > len(self.slots):
            grown = np.full(max(self._slots_end, 2 * len(self.slots)), NOWHERE)
            grown[:place] = self.slots[:place]
            self.slots = grown
        return place

    def snapshot(self) -> bytes:
        """All blocks, keys and free lists."""
        tables = [(list(t.blocks.items()), t.free) for t in self.tables]
        return msgspec.msgpack.encode((self.pool[: self._end].tobytes(), tables))

    def restore(self, state: bytes) -> None:
        """Take the state from `snapshot` of an arena with the same tables.

        Raises:
            ValueError: Kernels could not follow it: a block is not where one of its table can be.
            msgspec.DecodeError: It is of another form.
        """
        pool, tables = msgspec.msgpack.decode(
            state, type=tuple[bytes, list[tuple[list[tuple[_Key, Count]], list[Count]]]]
        )
        check(len(tables) == len(self.tables), f"tables must be {len(self.tables)}", len(tables))
        self.pool = floats(pool, "pool").copy()
        self._end = len(self.pool)
        for table in self.tables:
            table.clear()
        for table, (blocks, free) in zip(self.tables, tables, strict=True):
            for key, address in blocks:
                table.put(_hashable(key), address)
            check(len(table.blocks) == len(blocks), "keys must be unique", len(blocks))
            table.free[:] = free
        self._check_blocks()

    def _check_blocks(self) -> None:
        """See that the blocks fill the pool, in use or free, and none lies on another.

        That is how `take` makes them: so all are inside, aligned, and nobody's twice.

        Raises:
            ValueError: They do not, or the time of one is none.
        """
        own = [np.append(t.addresses(), np.array(t.free, np.int64)) for t in self.tables]
        sizes = [np.full(len(of), t.size) for of, t in zip(own, self.tables, strict=True)]
        begins = np.concatenate([np.empty(0, np.int64), *own])
        order = np.argsort(begins)
        begins = begins[order]
        ends = begins + np.concatenate([np.empty(0, np.int64), *sizes])[order]
        fill = np.array_equal(np.append(begins, self._end), np.insert(ends, 0, 0))
        check(fill, f"blocks must fill the pool of {self._end} cells side by side", len(begins))
        for table in self.tables:
            touched = self.pool[table.addresses()]
            check(
                ((touched >= 0.0) & (touched <= MOST_US)).all(),
                "blocks must begin with the time of their last touch",
                touched.min(initial=0.0),
            )


_Part = str | int | float | bool | None
_Key = _Part | list[_Part]


class Directory:
    """Where the slots of each key are: one for each table, in order, `NOWHERE` without a block.

    Attributes:
        places: Of a key's first slot in `Arena.slots`; of keys that some table has.
    """

    __slots__ = ("_arena", "_free", "places", "width")

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._free: list[int] = []
        self.width = 0
        self.places: dict[Hashable, int] = {}

    def join(self) -> int:
        """Which slot of a key is a new table's."""
        assert not self.places
        self.width += 1
        return self.width - 1

    def put(self, key: Hashable, slot: int, address: int) -> None:
        """Enter a block."""
        place = self.places.get(key)
        if place is None:
            place = self._free.pop() if self._free else self._arena.take_slots(self.width)
            self.places[key] = place
        self._arena.slots[place + slot] = address

    def drop(self, keys: Iterable[Hashable], slot: int) -> None:
        """Take blocks out, and the keys that have no other."""
        slots, keys = self._arena.slots, list(keys)
        places = np.fromiter((self.places[key] for key in keys), np.int64, len(keys))
        slots[places + slot] = NOWHERE
        empty = (slots[places[:, None] + np.arange(self.width)] == NOWHERE).all(axis=1)
        self._free.extend(self.places.pop(key) for key, one in zip(keys, empty, strict=True) if one)


class Table:
    """Blocks of one size, one for each key.

    Attributes:
        blocks: Address by key, in order of creation.
        free: Addresses to use again, last freed first.
        turn_us: How often to forget (µs): a key stays a quarter longer than it must, or a minute.
        directory: Where the keys are looked up.
        size: Cells of a block.
        slot: Which slot of a key is this table's.
    """

    __slots__ = (
        "_arena",
        "_forget_us",
        "blocks",
        "directory",
        "free",
        "size",
        "slot",
        "turn_us",
    )

    def __init__(self, arena: Arena, size: int, forget_us: int, directory: Directory) -> None:
        self._arena, self.size, self._forget_us = arena, size, forget_us
        self.blocks: dict[Hashable, int] = {}
        self.free: list[int] = []
        self.turn_us = min(max(forget_us // 4, MINUTE_US), HOUR_US)
        self.directory, self.slot = directory, directory.join()

    def add(self, key: Hashable) -> int:
        """The address of a new block of zeros for `key`."""
        if self.free:
            address = self.free.pop()
            self._arena.pool[address : address + self.size] = 0.0
        else:
            address = self._arena.take(self.size)
        self.put(key, address)
        return address

    def put(self, key: Hashable, address: int) -> None:
        """Enter the block of a key."""
        self.blocks[key] = address
        self.directory.put(key, self.slot, address)

    def addresses(self) -> NDArray[np.int64]:
        """Of the blocks in use, in order of creation."""
        return np.fromiter(self.blocks.values(), np.int64, len(self.blocks))

    def clear(self) -> None:
        """Forget every key."""
        self.directory.drop(self.blocks, self.slot)
        self.blocks.clear()

    def forget(self, now: int) -> None:
        """Free the blocks last touched before `now` less what this table remembers."""
        if not self.blocks:
            return
        touched = self._arena.pool[self.addresses()]
        old = (touched < now - self._forget_us).nonzero()[0]
        if len(old) == 0:
            return
        keys = list(self.blocks)
        gone = [keys[index] for index in old]
        self.free.extend(self.blocks.pop(key) for key in gone)
        self.directory.drop(gone, self.slot)


def _hashable(key: _Key) -> Hashable:
    return tuple(key) if isinstance(key, list) else key
