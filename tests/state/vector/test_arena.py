"""Blocks are found again by their key, freed when old, and used again as zeros."""

import gc
import weakref

import numpy as np
import pytest

from state.events import HOUR_US, MINUTE_US
from state.vector.arena import LARGE, Arena


def test_blocks_do_not_overlap_however_the_pool_grows():
    arena = Arena()
    tables = [arena.table((size,), 10) for size in (3, 700, 1)]
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
    young, old = arena.table((2,), 5), arena.table((2,), 10)
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
    table = arena.table((4,), 5)
    for turn in range(1, 100):
        for key in range(10):
            address = table.add(key)
            assert not arena.pool[address : address + 4].any()
            arena.pool[address : address + 4] = turn * 100
        arena.forget((turn + 1) * 100)
    assert not table.blocks
    assert arena._end == 40


@pytest.mark.parametrize(
    ("remembers_us", "turn_us"),
    [(10 * MINUTE_US, 150_000_000), (MINUTE_US, MINUTE_US), (7 * 24 * HOUR_US, HOUR_US)],
)
def test_a_large_table_forgets_in_each_of_its_turns_and_a_small_one_waits(remembers_us, turn_us):
    for count, left in ((LARGE, 0), (LARGE - 1, LARGE - 1)):
        arena = Arena()
        table = arena.table((1,), remembers_us)
        for key in range(count):
            address = table.add(key)
            arena.pool[address] = 1
        now = 2 + remembers_us
        arena.forget_in_turn(5 * turn_us, 6 * turn_us - 1, now)
        assert len(table.blocks) == count
        arena.forget_in_turn(6 * turn_us - 1, 6 * turn_us, now)
        assert len(table.blocks) == left


def test_keys_of_one_directory_leave_it_with_their_last_block():
    arena = Arena()
    directory = arena.directory()
    young, old = (arena.table((1,), age, directory) for age in (5, 10))
    for key in range(6):
        arena.pool[young.add(key)] = 90
        if key % 2:
            arena.pool[old.add(key)] = 90
    arena.forget(96)
    assert list(directory.places) == [1, 3, 5]
    assert all(arena.slots[place + young.slot] == -1 for place in directory.places.values())
    arena.forget(101)
    assert not directory.places
    assert sorted(directory._free) == [0, 2, 4, 6, 8, 10]


KEYS = ["a", 7, ("a", 7), (), None, ("a", None), 1.5, True, ("b", False)]


@pytest.mark.parametrize("keys", [[], KEYS])
def test_a_restored_arena_is_the_same(keys):
    arena, other = Arena(), Arena()
    table, same = arena.table((3,), 5), other.table((3,), 5)
    same.add("to be gone")
    for number, key in enumerate([*keys, "freed", "freed too"]):
        arena.pool[table.add(key)] = number
    table.free[0].append(table.blocks.pop("freed"))
    other.restore(arena.snapshot())
    assert other.snapshot() == arena.snapshot()
    assert [(type(key), key) for key in same.blocks] == [(type(key), key) for key in table.blocks]
    for key in ("again", "more"):
        assert same.add(key) == table.add(key)
    assert np.array_equal(other.pool[: other._end], arena.pool[: arena._end])


def test_a_block_grows_with_all_that_it_holds_and_leaves_its_room_to_others():
    arena = Arena()
    table = arena.table((4, 7, 20), 5)
    for key in "ab":
        address = table.add(key)
        arena.pool[address : address + 4] = [90, 0, 8, ord(key)]
    small = dict(table.blocks)
    for size, grown in ((7, 1), (20, 2)):
        table.grow("a")
        address = table.blocks["a"]
        assert arena.slots[table.directory.places["a"] + table.slot] == address
        want = [90, grown, 8, ord("a"), *[0] * (size - 4)]
        assert arena.pool[address : address + size].tolist() == want
    assert table.free == [[small["a"]], [8], []]
    assert list(table.blocks) == ["a", "b"]
    assert table.add("c") == small["a"]
    assert not arena.pool[small["a"] : small["a"] + 4].any()
    table.grow("b")
    assert table.blocks["b"] == 8
    other = Arena()
    same = other.table((4, 7, 20), 5)
    other.restore(arena.snapshot())
    assert other.snapshot() == arena.snapshot()
    assert same.free == [[small["b"]], [], []]
    arena.forget(96)
    assert [len(free) for free in table.free] == [2, 1, 1]


@pytest.mark.parametrize("grown", [-1.0, 0.0, 0.5, 2.0, np.nan])
def test_a_block_that_says_another_size_is_refused(grown):
    arena, other = Arena(), Arena()
    table = arena.table((4, 7), 5)
    other.table((4, 7), 5)
    table.add("a")
    table.grow("a")
    arena.pool[table.blocks["a"] + 1] = grown
    with pytest.raises(ValueError, match="blocks must"):
        other.restore(arena.snapshot())


def test_an_arena_is_freed_with_its_last_reference():
    arena = Arena()
    for directory in (None, arena.directory()):
        arena.table((4,), 5, directory).add("a")
    freed = weakref.ref(arena)
    gc.disable()
    try:
        del arena
        assert freed() is None
    finally:
        gc.enable()
