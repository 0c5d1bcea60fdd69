"""Copies of checkpoints serve machines that have none of their own, and nobody waits for them."""

import logging
import threading

import pytest

from state import shared_checkpoints
from state.checkpoints import Checkpoint, CheckpointStore
from state.object_store import ObjectStore
from state.settings import settings_from
from state.shared_checkpoints import SharedCheckpoints

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


def saved(machine, *checkpoints):
    """What a flow has saved and copied."""
    store, shared = machine("flow")
    for one in checkpoints:
        store.save(one)
        assert shared.flush(10)
    return store, shared


def test_what_one_machine_saves_another_reads(machine):
    one = checkpoint(7, shard=bytes(range(256)) * 50)
    saved(machine, one)
    store, _ = machine("scorer")
    assert list(store.newest_first(0)) == [one]
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


def test_what_was_saved_before_there_was_a_store_is_copied_too(machine, tmp_path):
    before = CheckpointStore(tmp_path / "flow")
    for n in range(5):
        before.save(checkpoint(n, at_boundary=n == 1))
    saved(machine, checkpoint(9))
    assert offsets(machine("scorer")[0]) == [9, 4, 3, 1]


def test_a_damaged_one_is_read_from_the_store(machine, caplog):
    store, _ = saved(machine, checkpoint(1), checkpoint(2))
    path = store.save(checkpoint(2))
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


def test_a_replica_sees_what_comes_later(machine):
    flow, copies = saved(machine, checkpoint(1))
    store, shared = machine("scorer", look_every_s=0.0)
    assert store.newest_offset(0) == 1
    flow.save(checkpoint(2))
    assert copies.flush(10)
    assert store.newest_offset(0) == 1  # it has somebody look, and does not wait
    assert shared.flush(10)
    assert store.newest_offset(0) == 2


def test_what_is_dropped_goes_from_the_store_and_its_name_can_be_used_again(machine):
    flow, shared = saved(machine, checkpoint(1), checkpoint(5), checkpoint(6, shape="other"))
    flow.drop_beyond(0, 1, "rides")
    assert offsets(flow) == [6, 1]
    again = checkpoint(5, shard=b"of another log")
    flow.save(again)
    assert shared.flush(10)
    assert list(machine("scorer")[0].newest_first(0))[1:] == [again, checkpoint(1)]


def test_saving_does_not_wait_for_a_store_that_does_not_answer(machine, monkeypatch):
    store, shared = machine("flow")
    answers, write = threading.Event(), ObjectStore.write

    def late(self, name, content):
        assert answers.wait(30)
        write(self, name, content)

    monkeypatch.setattr(ObjectStore, "write", late)
    for n in range(5):
        store.save(checkpoint(n))
    assert not shared.flush(0.05)
    answers.set()
    assert shared.flush(10)
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
            assert not shared.flush(0.05)
        place.unlink()
        assert shared.flush(10)
    assert offsets(machine("scorer")[0]) == [3, 2, 1, 0]
    told = [line for line in caplog.messages if line.startswith(place.as_uri())]
    assert "must be reached; it is tried again: " in told[0]
    assert told[1:] == [f"{place.as_uri()} is reached again"]


def test_who_begins_while_the_store_cannot_be_reached_is_told_so(machine, monkeypatch):
    def fail(self, folder):
        msg = f"no way to {self}/{folder}"
        raise OSError(msg)

    monkeypatch.setattr(ObjectStore, "names", fail)
    with pytest.raises(OSError, match=r"no way to file://.*/shared/0"):
        offsets(machine("scorer")[0])


def test_a_store_that_nothing_reaches_is_told_so():
    with pytest.raises(OSError, match=r"must be one that pyarrow reaches; got 's3x://b/c': Unrec"):
        ObjectStore("s3x://b/c").names("0")


def test_a_river_classifier_is_not_read_back_from_a_store():
    store = {"store": "s3://bucket/checkpoints"}
    river = {"river": {"class": "tree.HoeffdingTreeClassifier"}}
    assert settings_from({"checkpoints": store}).checkpoints.store == store["store"]
    with pytest.raises(ValueError, match=r"checkpoints\.store must be empty with online\.river"):
        settings_from({"checkpoints": store, "online": river})


@pytest.mark.parametrize("uri", ["checkpoints", "s3:", "/mnt/checkpoints"])
def test_a_setting_that_names_no_store_is_refused(uri):
    with pytest.raises(ValueError, match=r"checkpoints\.store must be like 's3://bucket/prefix'"):
        settings_from({"checkpoints": {"store": uri}})
