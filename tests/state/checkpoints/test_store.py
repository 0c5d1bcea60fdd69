"""A checkpoint is there whole or not at all, and the newest comes first."""

import logging

import pytest
from msgspec.structs import astuple

from state.checkpoints.store import Checkpoint, CheckpointStore


def checkpoint(offset, *, partition=0, boundary=0, at_boundary=False, shard=b"state" * 100):
    return Checkpoint(
        "rides", partition, offset, {"predictions": 5}, boundary, at_boundary, shard=shard
    )


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "checkpoints")


def offsets(store, partition=0):
    return [one.offset for one in store.newest_first(partition)]


def test_what_is_saved_is_read(store):
    one = checkpoint(7, shard=bytes(range(256)) * 50)
    store.save(one)
    assert list(store.newest_first(0)) == [one]


def test_heads_are_of_the_same_checkpoints(store):
    for n in range(4):
        store.save(checkpoint(10 * n, boundary=n, at_boundary=bool(n % 2)))
    for asked in ({}, {"before": 20}, {"at_boundary": True}):
        whole = [astuple(one)[:-1] for one in store.newest_first(0, **asked)]
        assert [astuple(one) for one in store.heads(0, **asked)] == whole


def test_nothing_saved_is_nothing_read(store):
    assert offsets(store) == []


def test_the_newest_comes_first(store):
    for offset in (900, 1_000_000_000_000, 10):
        store.save(checkpoint(offset))
    assert offsets(store) == [1_000_000_000_000, 900, 10]


def test_partitions_do_not_mix(store):
    store.save(checkpoint(1))
    store.save(checkpoint(2, partition=1))
    assert (offsets(store, 0), offsets(store, 1)) == ([1], [2])


def test_the_three_newest_and_all_made_at_a_boundary_are_kept(store):
    for n in range(10):
        store.save(checkpoint(10 * n))
        store.save(checkpoint(10 * n + 5, boundary=n + 1, at_boundary=True))
    periodic = [one.offset for one in store.newest_first(0) if not one.at_boundary]
    boundary = [one.offset for one in store.newest_first(0) if one.at_boundary]
    assert periodic == [90, 80, 70]
    assert boundary == [10 * n + 5 for n in range(9, -1, -1)]


def test_each_boundary_at_the_same_offset_has_a_checkpoint_of_its_own(store):
    store.save(checkpoint(5, boundary=900))
    store.save(checkpoint(5, boundary=1000, at_boundary=True))
    store.save(checkpoint(5, boundary=2000, at_boundary=True))
    store.save(checkpoint(5, boundary=2000))
    kept = [(one.boundary, one.at_boundary) for one in store.newest_first(0)]
    assert kept == [(2000, False), (2000, True), (1000, True), (900, False)]


def test_older_ones_and_those_at_boundaries_can_be_asked_for(store):
    for offset in (10, 20, 30):
        store.save(checkpoint(offset))
        store.save(checkpoint(offset + 5, boundary=offset, at_boundary=True))
    asked = store.newest_first(0, before=30)
    assert [one.offset for one in asked] == [30, 25, 20, 15, 10]
    asked = store.newest_first(0, before=30, at_boundary=True)
    assert [one.offset for one in asked] == [25, 15]


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes()[:30]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes().replace(b"point 1", b"point 2")),
        lambda path: path.write_bytes(path.read_bytes() + b"x"),
    ],
)
def test_a_damaged_one_is_skipped_with_a_warning_for_the_one_before(store, caplog, damage):
    store.save(checkpoint(1))
    path = store.save(checkpoint(2))
    damage(path)
    with caplog.at_level(logging.WARNING):
        assert offsets(store) == [1]
    assert f"checkpoint {path} is damaged" in caplog.text


def test_what_a_crash_left_half_written_is_not_looked_at(store, caplog):
    path = store.save(checkpoint(1))
    path.with_name(f".{path.name}.123.part").write_bytes(b"half")
    assert offsets(store) == [1]
    assert not caplog.text
