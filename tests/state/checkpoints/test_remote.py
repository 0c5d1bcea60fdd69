"""Copies of checkpoints serve machines that have none of their own, and nobody waits for them."""

import logging
import subprocess
import sys
import threading
from contextlib import suppress

import msgspec
import pytest

from state.checkpoints import remote as shared_checkpoints
from state.checkpoints.remote import SharedCheckpoints
from state.checkpoints.store import Checkpoint, CheckpointStore
from state.settings import settings_from
from state.storage.object_store import ObjectStore
from tests.waiting import until

NEVER_S = 3600.0


def checkpoint(offset, *, at_boundary=False, shape="rides", shard=b"state" * 100):
    return Checkpoint(shape, 0, offset, {}, 0, at_boundary, shard=shard)


@pytest.fixture
def place(tmp_path):
    return tmp_path / "shared"


@pytest.fixture
def machine(tmp_path, place):
    """Makes the store of a machine's home, and what shares it."""

    def made(name, look_every_s=NEVER_S):
        shared = SharedCheckpoints(ObjectStore(place.as_uri()), look_every_s)
        return CheckpointStore(tmp_path / name, shared), shared

    return made


def offsets(store):
    return [one.offset for one in store.newest_first(0)]


def flushed(shared, within_s):
    """Wait until all is copied that can be; whether it is."""
    with suppress(AssertionError):
        until(lambda: not shared._working, within_s)
    return not shared._working


def saved(machine, *checkpoints):
    """Checkpoints that a flow has saved and copied."""
    store, shared = machine("flow")
    for one in checkpoints:
        store.save(one)
        assert flushed(shared, 10)
    return store, shared


def test_what_one_machine_saves_another_reads(machine):
    one = checkpoint(7, shard=bytes(range(256)) * 50)
    saved(machine, one)
    store, _ = machine("scorer")
    assert list(store.newest_first(0)) == [msgspec.structs.replace(one, foreign=True)]
    assert store.newest_offset(0) == 7
    assert next(store.heads(0, before=7)).offset == 7
    assert next(store.heads(0, before=6), None) is None


def test_reading_leaves_nothing_behind(machine, tmp_path):
    saved(machine, checkpoint(7))
    assert offsets(machine("scorer")[0]) == [7]
    assert not (tmp_path / "scorer").exists()


def test_the_three_newest_and_all_at_a_boundary_are_there(machine, place):
    saved(machine, *(checkpoint(n, at_boundary=n % 3 == 0) for n in range(9)))
    assert offsets(machine("scorer")[0]) == [8, 7, 6, 5, 3, 0]
    assert len(list((place / "0").iterdir())) == 6


def test_one_machine_s_go_as_another_s_come(machine, tmp_path, place):
    saved(machine, *(checkpoint(n) for n in range(3)))
    store, shared = machine("other")
    assert offsets(store) == [2, 1, 0]
    for n in range(3, 7):
        CheckpointStore(tmp_path / "other").save(checkpoint(n))
    store.share(0)
    assert flushed(shared, 10)
    assert offsets(store) == offsets(machine("scorer")[0]) == [6, 5, 4]
    assert shared.names(0) == {path.name for path in (place / "0").iterdir()}


def test_what_was_saved_before_there_was_a_store_is_copied_too(machine, tmp_path):
    before = CheckpointStore(tmp_path / "flow")
    for n in range(5):
        before.save(checkpoint(n, at_boundary=n == 1))
    saved(machine, checkpoint(9))
    assert offsets(machine("scorer")[0]) == [9, 4, 3, 1]


def test_a_damaged_one_is_read_from_the_store(machine, caplog):
    store, shared = saved(machine, checkpoint(1), checkpoint(2))
    path = store.save(checkpoint(2))
    assert flushed(shared, 10)
    path.write_bytes(b"half")
    with caplog.at_level(logging.WARNING):
        assert offsets(store) == [2, 1]
    assert f"checkpoint {path} is damaged" in caplog.text


def test_a_damaged_copy_is_passed_over_and_other_files_are_not_looked_at(machine, place, caplog):
    saved(machine, checkpoint(1), checkpoint(2))
    newest = max((place / "0").iterdir())
    newest.write_bytes(newest.read_bytes()[:-1])
    (place / "0" / "z.ckpt").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        assert offsets(machine("scorer")[0]) == [1]
    assert f"checkpoint {place.as_uri()}/0/{newest.name} is damaged" in caplog.text


def test_one_that_was_removed_meanwhile_is_passed_over(machine, place):
    saved(machine, checkpoint(1), checkpoint(2))
    store, shared = machine("scorer")
    assert len(shared.names(0)) == 2
    max((place / "0").iterdir()).unlink()
    assert offsets(store) == [1]


def test_a_replica_sees_what_comes_later_and_does_not_wait_for_it(machine, monkeypatch):
    flow, copies = saved(machine, checkpoint(1))
    store, shared = machine("scorer", look_every_s=0.0)
    assert store.newest_offset(0) == 1
    flow.save(checkpoint(2))
    assert flushed(copies, 10)
    answers, sizes = threading.Event(), ObjectStore.sizes

    def late(self, folder):
        assert answers.wait(30)
        return sizes(self, folder)

    monkeypatch.setattr(ObjectStore, "sizes", late)
    assert store.newest_offset(0) == 1
    answers.set()
    assert flushed(shared, 10)
    assert store.newest_offset(0) == 2


def test_another_log_s_are_dropped_in_the_home_and_replaced_in_the_store(machine):
    flow, shared = saved(machine, checkpoint(1), checkpoint(5), checkpoint(6, shape="other"))
    flow.drop_beyond(0, 1, "rides")
    again = checkpoint(5, shard=b"of another log")
    flow.save(again)
    assert flushed(shared, 10)
    assert list(flow.newest_first(0))[1:] == [again, checkpoint(1)]
    there = list(machine("scorer")[0].newest_first(0))[1:]
    assert [one.shard for one in there] == [b"of another log", checkpoint(1).shard]


def test_what_new_code_keeps_is_there_beside_newer_ones_of_old_code(machine, tmp_path, place):
    saved(machine, *(checkpoint(n, at_boundary=n % 3 == 0, shape="old") for n in range(9)))
    for path in (tmp_path / "flow" / "0").iterdir():
        path.unlink()
    saved(machine, *(checkpoint(n, at_boundary=n % 3 == 0, shape="new") for n in range(5)))
    found = [(one.shape, one.offset) for one in machine("scorer")[0].newest_first(0)]
    new = [("new", n) for n in (4, 3, 2, 1, 0)]
    assert found == [("old", 8), ("old", 7), ("old", 6), ("old", 5), *new]


def test_what_is_cut_off_in_the_store_is_written_again(machine, place, tmp_path):
    saved(machine, checkpoint(1))
    (path,) = (place / "0").iterdir()
    path.write_bytes(b"half")
    store, shared = machine("flow")
    store.share(0)
    assert flushed(shared, 10)
    assert offsets(machine("scorer")[0]) == [1]


def test_saving_does_not_wait_for_a_store_that_does_not_answer(machine, monkeypatch):
    store, shared = machine("flow")
    answers, write = threading.Event(), ObjectStore.write

    def late(self, name, content):
        assert answers.wait(30)
        write(self, name, content)

    monkeypatch.setattr(ObjectStore, "write", late)
    for n in range(5):
        store.save(checkpoint(n))
    assert not flushed(shared, 0.05)
    answers.set()
    assert flushed(shared, 10)
    assert next(machine("scorer")[0].newest_first(0)).offset == 4


def test_a_store_that_cannot_be_reached_is_told_of_once_and_gets_all_later(
    machine, place, monkeypatch, caplog
):
    monkeypatch.setattr(shared_checkpoints, "_RETRY_S", 0.01)
    place.write_bytes(b"no folder")
    store, shared = machine("flow")
    with caplog.at_level(logging.WARNING):
        for n in range(4):
            store.save(checkpoint(n, at_boundary=n < 2))
            assert not flushed(shared, 0.05)
        place.unlink()
        assert flushed(shared, 10)
    assert offsets(machine("scorer")[0]) == [3, 2, 1, 0]
    told = [line for line in caplog.messages if line.startswith(place.as_uri())]
    assert "cannot be reached, retrying: " in told[0]
    assert told[1:] == [f"{place.as_uri()} can be reached again"]


def test_who_begins_while_the_store_cannot_be_reached_is_told_so(machine, monkeypatch):
    def fail(self, folder):
        msg = f"no way to {self}/{folder}"
        raise OSError(msg)

    monkeypatch.setattr(ObjectStore, "sizes", fail)
    with pytest.raises(OSError, match=r"no way to file://.*/shared/0"):
        offsets(machine("scorer")[0])


def test_a_store_that_nothing_reaches_is_told_so():
    with pytest.raises(OSError, match=r"must be one that pyarrow supports; got 'Unrec.*s3x://b/c'"):
        ObjectStore("s3x://b/c").sizes("0")


def test_a_home_with_checkpoints_does_without_the_store_and_is_copied_later(
    machine, tmp_path, monkeypatch, caplog
):
    def fail(self, folder):
        raise OSError("no way")  # noqa: EM101 - not for people

    monkeypatch.setattr(shared_checkpoints, "_RETRY_S", 0.01)
    CheckpointStore(tmp_path / "flow").save(checkpoint(3))
    sizes = ObjectStore.sizes
    monkeypatch.setattr(ObjectStore, "sizes", fail)
    store, shared = machine("flow")
    with caplog.at_level(logging.WARNING):
        assert offsets(store) == [3]
        assert store.newest_offset(0) == 3
        store.share(0)
        assert not flushed(shared, 0.05)
        monkeypatch.setattr(ObjectStore, "sizes", sizes)
        assert flushed(shared, 10)
    assert [line.partition(" cannot be reached")[2] for line in caplog.messages][:1] == [
        ", retrying: no way"
    ]
    assert len(caplog.messages) == 2
    assert offsets(machine("scorer")[0]) == [3]


def test_what_is_left_is_copied_after_the_main_thread_has_ended(machine, tmp_path, place):
    program = f"""
import time
from pathlib import Path
from state.checkpoints import remote as shared_checkpoints
from state.checkpoints.store import Checkpoint, CheckpointStore
from state.storage.object_store import ObjectStore

shared_checkpoints._AFTER_S = 2.5
write = ObjectStore.write
ObjectStore.write = lambda *of: (time.sleep(1), write(*of))
shared = shared_checkpoints.SharedCheckpoints(ObjectStore("{place.as_uri()}"), 1)
for partition in range(20):
    store = CheckpointStore(Path("{tmp_path}/flow"), shared)
    store.save(Checkpoint("rides", partition, 1, {{}}, 0, False, shard=b"state"))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert 2 <= len(list(place.iterdir())) < 20
    assert (
        done.stderr == f"{place.as_uri()} lacks the newest checkpoints: the next run copies them\n"
    )


@pytest.mark.parametrize("uri", ["checkpoints", "s3:", "/mnt/checkpoints"])
def test_a_setting_that_names_no_store_is_refused(uri):
    with pytest.raises(ValueError, match=r"checkpoints\.store must be like 's3://bucket/prefix'"):
        settings_from({"checkpoints": {"store": uri}})
