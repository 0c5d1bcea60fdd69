"""Blocks are found again by their key, freed when old, and used again as zeros."""

import numpy as np
import pytest

from state.arena import Arena


def test_blocks_do_not_overlap_however_the_pool_grows():
    arena = Arena()
    tables = [arena.table(size, 10) for size in (3, 700, 1)]
    places = [
        (t.add(i), size) for i in range(50) for t, size in zip(tables, (3, 700, 1), strict=True)
    ]
    for number, (address, size) in enumerate(places, 1):
        assert not arena.pool[address : address + size].any()
        arena.pool[address : address + size] = number
    for number, (address, size) in enumerate(places, 1):
        assert (arena.pool[address : address + size] == number).all()


def test_what_is_older_than_the_table_remembers_is_freed_and_no_more():
    arena = Arena()
    young, old = arena.table(2, 5), arena.table(2, 10)
    for table in (young, old):
        for key, touched in (("a", 89), ("b", 90), ("c", 95), ("d", 96)):
            arena.pool[table.add(key)] = touched
    arena.forget(100)
    assert list(young.blocks) == ["c", "d"]
    assert list(old.blocks) == ["b", "c", "d"]
    arena.forget(10_000)
    assert not young.blocks
    assert not old.blocks


def test_freed_room_is_used_again_and_empty():
    arena = Arena()
    table = arena.table(4, 5)
    for turn in range(1, 100):
        for key in range(10):
            address = table.add(key)
            assert not arena.pool[address : address + 4].any()
            arena.pool[address : address + 4] = turn * 100
        arena.forget((turn + 1) * 100)
    assert not table.blocks
    assert arena._end == 40


KEYS = ["a", 7, ("a", 7), (), None, ("a", None), 1.5, True, ("b", False)]


@pytest.mark.parametrize("keys", [[], KEYS])
def test_a_restored_arena_is_the_same(keys):
    arena, other = Arena(), Arena()
    table, same = arena.table(3, 5), other.table(3, 5)
    same.add("to be gone")
    for number, key in enumerate([*keys, "freed", "freed too"]):
        arena.pool[table.add(key)] = number
    table.free.append(table.blocks.pop("freed"))
    other.restore(arena.snapshot())
    assert other.snapshot() == arena.snapshot()
    assert [(type(key), key) for key in same.blocks] == [(type(key), key) for key in table.blocks]
    for key in ("again", "more"):
        assert same.add(key) == table.add(key)
    assert np.array_equal(other.pool[: other._end], arena.pool[: arena._end])
