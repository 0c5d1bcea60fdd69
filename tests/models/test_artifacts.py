"""The artifact directory gives back what it was given, or says that it cannot."""

import os

import pytest

from models.artifacts import ArtifactError, ArtifactStore


def test_the_name_is_the_sha256_of_the_content(tmp_path):
    # sha256sum of "abc", from FIPS 180-2.
    name = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert ArtifactStore(tmp_path / "artifacts").put(b"abc") == name
    assert [path.name for path in (tmp_path / "artifacts").iterdir()] == [name]


def test_the_same_content_is_kept_once(tmp_path):
    store = ArtifactStore(tmp_path)
    assert store.put(b"abc") == store.put(b"abc")
    assert len(list(tmp_path.iterdir())) == 1


def test_a_missing_artifact_is_named(tmp_path):
    with pytest.raises(ArtifactError, match="artifact 00ff must be in"):
        ArtifactStore(tmp_path).get("00ff")


def test_a_changed_artifact_is_refused(tmp_path):
    store = ArtifactStore(tmp_path)
    name = store.put(b"abc")
    (tmp_path / name).write_bytes(b"abd")
    with pytest.raises(ArtifactError, match=f"must have sha256 {name}"):
        store.get(name)


def test_a_write_that_fails_leaves_no_file(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        ArtifactStore(tmp_path).put(b"abc")
    assert not list(tmp_path.iterdir())
