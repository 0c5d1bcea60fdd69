"""A file in a store is read only if a key holder wrote it, for that place."""

import hashlib
import hmac
import logging

import pytest

from state.checkpoints.keys import CheckpointKeys, SignatureError
from state.checkpoints.remote import SharedCheckpoints
from state.checkpoints.store import Checkpoint, CheckpointStore
from state.settings import settings_from
from state.storage.object_store import ObjectStore
from tests.waiting import until

OLD, NEW, ANOTHER = "o" * 32, "n" * 32, "x" * 40


def checkpoint(offset, partition=0):
    return Checkpoint("rides", partition, offset, {}, 0, False, shard=b"state %d" % offset)


@pytest.fixture
def place(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def machine(tmp_path, place):
    """Makes the store of a machine's home, with these keys."""

    def made(name, keys):
        keys = None if keys is None else CheckpointKeys.parse(keys)
        return CheckpointStore(
            tmp_path / name, SharedCheckpoints(ObjectStore(place.as_uri()), 3600, keys)
        )

    return made


def save(store, *checkpoints):
    for one in checkpoints:
        store.save(one)
    until(lambda: not store._shared._working)


def offsets(store, partition=0):
    return [one.offset for one in store.newest_first(partition)]


def files(place, partition=0):
    return sorted((place / str(partition)).iterdir())


def warned(caplog, path, why):
    (line,) = caplog.messages
    assert f"checkpoint {path.as_uri()} is damaged or of another version: passed over (" in line
    assert why in line


def test_who_has_the_key_reads_what_was_signed_with_it(machine, place, caplog):
    save(machine("flow", OLD), checkpoint(1), checkpoint(2))
    assert offsets(machine("scorer", OLD)) == [2, 1]
    assert not caplog.messages


def test_the_signature_is_that_of_rfc_2104_over_place_and_content(machine, place, tmp_path):
    save(machine("flow", OLD), checkpoint(1))
    (file,) = files(place)
    content = (tmp_path / "flow" / "0" / file.name).read_bytes()
    magic, name = b"headwater signed checkpoint 1\n", f"0/{file.name}".encode()
    said = magic + len(name).to_bytes(8, "little") + name + content
    block = OLD.encode().ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in block) + said).digest()
    outer = hashlib.sha256(bytes(b ^ 0x5C for b in block) + inner).digest()
    assert file.read_bytes() == magic + outer + content
    assert hmac.digest(OLD.encode(), said, "sha256") == outer


def test_a_checkpoint_signed_with_another_key_is_passed_over(machine, place, caplog):
    save(machine("flow", ANOTHER), checkpoint(1))
    assert offsets(machine("scorer", OLD)) == []
    warned(caplog, files(place)[0], "by a key of HEADWATER_CHECKPOINT_KEY and for this place")


def test_an_unsigned_checkpoint_is_passed_over(machine, place, caplog):
    save(machine("flow", None), checkpoint(1))
    assert offsets(machine("scorer", OLD)) == []
    warned(caplog, files(place)[0], "it must be signed; got no signature")


@pytest.mark.parametrize("at", [0, 29, 30, 61, 62, 90, -1])
def test_a_bit_flipped_anywhere_is_passed_over(machine, place, caplog, at):
    save(machine("flow", OLD), checkpoint(1), checkpoint(2))
    newest = files(place)[-1]
    content = bytearray(newest.read_bytes())
    content[at] ^= 1
    newest.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert offsets(machine("scorer", OLD)) == [1]
    warned(caplog, newest, "it")


def test_a_signed_file_cut_off_within_its_signature_is_passed_over(machine, place, caplog):
    save(machine("flow", OLD), checkpoint(1))
    (file,) = files(place)
    for size in (0, 20, 30, 45, 62):
        file.write_bytes(file.read_bytes()[:size])
        assert offsets(machine("scorer", OLD)) == []
    assert len(caplog.messages) == 5


def test_a_file_cannot_take_another_s_place(machine, place, caplog):
    save(machine("flow", OLD), checkpoint(1), checkpoint(2))
    save(machine("flow", OLD), checkpoint(2, partition=1))
    older, newer = files(place)
    newer.write_bytes(older.read_bytes())
    assert offsets(machine("scorer", OLD)) == [1]
    newer.write_bytes(files(place, 1)[0].read_bytes())
    assert offsets(machine("scorer", OLD)) == [1]
    assert len(caplog.messages) == 2


def test_a_new_key_signs_and_the_old_one_still_verifies(machine, place, tmp_path):
    save(machine("flow", OLD), checkpoint(1))
    save(machine("flow", f"{NEW}, {OLD}"), checkpoint(2))
    assert offsets(machine("scorer", f"{NEW},{OLD}")) == [2, 1]
    assert offsets(machine("scorer", f"{OLD},{NEW}")) == [2, 1]
    assert offsets(machine("scorer", NEW)) == [2]


def test_what_a_store_had_unsigned_is_signed_by_the_home_that_has_it(machine, place):
    save(machine("flow", None), checkpoint(1))
    flow = machine("flow", OLD)
    save(flow, checkpoint(2))
    assert offsets(machine("scorer", OLD)) == [2, 1]


def test_a_trusted_store_is_read_signed_or_not(machine, place):
    save(machine("flow", None), checkpoint(1))
    save(machine("other", OLD), checkpoint(2))
    assert offsets(machine("scorer", None)) == [2, 1]


@pytest.mark.parametrize("text", ["", "short", "x" * 31, f"{OLD},", f"{OLD},short"])
def test_a_short_key_is_refused(text):
    with pytest.raises(ValueError, match=r"KEY must be a key of 32 characters or more.*got one of"):
        CheckpointKeys.parse(text)


def test_the_key_is_nowhere_in_what_is_said():
    with pytest.raises(SignatureError) as raised:
        CheckpointKeys.parse(OLD).verified("0/a", CheckpointKeys.parse(NEW).signed("0/a", b""))
    assert OLD not in str(raised.value)
    with pytest.raises(ValueError, match="got one of 6") as short:
        CheckpointKeys.parse("secret")
    assert "secret" not in str(short.value)


def test_a_store_is_trusted_only_where_the_settings_say_so():
    assert not settings_from({"checkpoints": {"store": "file:///x"}}).checkpoints.trusted
    assert settings_from({"checkpoints": {"trusted": True}}).checkpoints.trusted
