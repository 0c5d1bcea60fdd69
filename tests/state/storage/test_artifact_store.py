"""The artifact directory gives back what it was given, or says that it cannot."""

import resource

import pytest

from state.storage.artifact_store import ArtifactError, ArtifactStore


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
    with pytest.raises(ArtifactError, match=f"artifact {'0' * 64} must be in"):
        ArtifactStore(tmp_path).get("0" * 64)


def test_a_file_larger_than_any_model_is_not_read(tmp_path):
    store = ArtifactStore(tmp_path)
    with (tmp_path / ("0" * 64)).open("wb") as file:
        file.truncate(2**28 + 1)
    with pytest.raises(ArtifactError, match="artifact must be at most 268435456 bytes; got"):
        store.get("0" * 64)


def test_parts_that_a_kill_left_are_swept_at_the_first_write(tmp_path):
    part = tmp_path / f".{'0' * 64}.4711.part"
    part.write_bytes(b"half")
    ArtifactStore(tmp_path).put(b"abc")
    assert not part.exists()


def test_a_changed_artifact_is_refused(tmp_path):
    store = ArtifactStore(tmp_path)
    name = store.put(b"abc")
    (tmp_path / name).write_bytes(b"abd")
    with pytest.raises(ArtifactError, match=f"must have sha256 {name}"):
        store.get(name)


def test_a_write_that_fails_leaves_no_file(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            ArtifactStore(tmp_path).put(bytes(1_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())
