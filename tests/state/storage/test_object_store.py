"""Model files go through a store that several machines reach."""

import hashlib

import pytest

from state.settings import settings_from
from state.storage import object_store
from state.storage.artifact_store import ArtifactError, ArtifactStore
from state.storage.object_store import ObjectStore

# sha256sum of "abc", from FIPS 180-2.
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def shared(tmp_path):
    return tmp_path / "shared" / "models"


@pytest.fixture
def machine(tmp_path, shared):
    return lambda name: ArtifactStore(tmp_path / name, [ObjectStore(shared.as_uri())])


def test_what_one_machine_keeps_another_gets_and_has_from_then_on(machine, shared):
    assert machine("trainer").put(b"abc") == ABC
    assert [path.name for path in shared.iterdir()] == [ABC]
    assert machine("scorer").get(ABC) == b"abc"
    (shared / ABC).unlink()
    assert machine("scorer").get(ABC) == b"abc"


def test_the_same_file_is_written_once(machine, shared):
    machine("trainer").put(b"abc")
    written = (shared / ABC).stat().st_mtime_ns
    machine("other").put(b"abc")
    assert (shared / ABC).stat().st_mtime_ns == written


def test_what_a_crash_cut_off_is_written_again(machine, shared):
    shared.mkdir(parents=True)
    (shared / ABC).write_bytes(b"ab")
    machine("trainer").put(b"abc")
    assert machine("scorer").get(ABC) == b"abc"


def test_a_file_that_somebody_changed_is_refused_and_not_kept(machine, shared, tmp_path):
    machine("trainer").put(b"abc")
    (shared / ABC).write_bytes(b"abd")
    changed = hashlib.sha256(b"abd").hexdigest()
    with pytest.raises(ArtifactError, match=f"must have sha256 {ABC}; got {changed} in file://"):
        machine("scorer").get(ABC)
    assert not (tmp_path / "scorer").exists()


def test_where_a_file_was_looked_for_is_told(machine):
    with pytest.raises(ArtifactError, match=rf"{ABC} must be in /.*scorer nor in file:///.*models"):
        machine("scorer").get(ABC)


def test_a_file_larger_than_any_model_is_refused(machine, monkeypatch):
    machine("trainer").put(b"abc")
    monkeypatch.setattr(object_store, "MAX_ARTIFACT_BYTES", 2)
    with pytest.raises(ArtifactError, match=r"at most 2 bytes; got 3 in file://"):
        machine("scorer").get(ABC)


@pytest.mark.parametrize("name", ["../../etc/passwd", "00ff", "", ABC.upper(), f"{ABC}\n"])
def test_a_name_that_is_no_sha256_reaches_no_file(machine, name):
    with pytest.raises(ArtifactError, match="must be named by a sha256"):
        machine("scorer").get(name)


@pytest.mark.parametrize("uri", ["models", "/mnt/models", "s3:", "bucket/models"])
def test_a_setting_that_names_no_store_is_refused(uri):
    with pytest.raises(ValueError, match=r"artifacts must be like 's3://bucket/prefix'"):
        settings_from({"artifacts": uri})


def test_a_password_in_the_settings_is_refused():
    with pytest.raises(ValueError, match="must name no password; got one for 'bucket'") as refusal:
        settings_from({"artifacts": "s3://ada:secret@bucket/models"})
    assert "secret" not in str(refusal.value)
    assert settings_from({"artifacts": "abfss://models@account.dfs.core.windows.net/x"}).artifacts
