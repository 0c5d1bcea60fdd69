"""A model file that goes through the log comes out whole, or not at all."""

import hashlib

import pytest

from state.log import Entry
from state.log.sqlite import SqliteLog
from state.storage import artifact_chunks
from state.storage.artifact_chunks import CHUNK_BYTES, ArtifactChunks, chunks_of
from state.storage.artifact_store import ArtifactError, ArtifactStore

SIZES = [1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 5 * CHUNK_BYTES]


@pytest.fixture
def log(tmp_path):
    log = SqliteLog(tmp_path / "log")
    log.create("models", 1)
    yield log
    log.close()


def file(size, seed=0):
    content = hashlib.shake_256(bytes([seed])).digest(size)
    return hashlib.sha256(content).hexdigest(), content


def publish(log, sha256, content):
    log.append("models", 0, [*chunks_of(sha256, content, 7), Entry(7, b"", b"{}")])


def test_files_of_any_size_come_out_as_they_went_in(log):
    chunks = ArtifactChunks(log)
    for seed, size in enumerate(SIZES):
        publish(log, *file(size, seed))
    assert [chunks.find(file(size, seed)[0]) for seed, size in enumerate(SIZES)] == [
        file(size, seed)[1] for seed, size in enumerate(SIZES)
    ]


def test_a_file_that_comes_later_is_found_then(log):
    chunks = ArtifactChunks(log)
    sha256, content = file(CHUNK_BYTES + 5)
    assert chunks.find(sha256) is None
    publish(log, sha256, content)
    assert chunks.find(sha256) == content


def test_a_file_that_is_published_twice_is_one_file(log):
    sha256, content = file(2 * CHUNK_BYTES)
    for _ in range(2):
        publish(log, sha256, content)
    assert ArtifactChunks(log).find(sha256) == content


def test_chunks_that_lie_about_do_no_harm_to_a_file_that_is_whole(log):
    sha256, content = file(2 * CHUNK_BYTES)
    whole = chunks_of(sha256, content, 7)
    log.append("models", 0, whole[:1])
    publish(log, *file(10, 1))
    log.append("models", 0, whole)
    publish(log, *file(10, 2))
    log.append("models", 0, whole[1:])
    assert ArtifactChunks(log).find(sha256) == content


def test_each_record_is_looked_at_once(log):
    class Counting:
        def __init__(self):
            self.looked = []

        def read(self, topic, partition, offset, **limits):
            records = log.read(topic, partition, offset, **limits)
            self.looked += [record.offset for record in records]
            return records

    counting = Counting()
    chunks = ArtifactChunks(counting)
    publish(log, *file(3 * CHUNK_BYTES))
    for _ in range(3):
        assert chunks.find("0" * 64) is None
    publish(log, *file(10, 1))
    assert chunks.find("0" * 64) is None
    assert counting.looked == [*range(6)]


def test_a_store_that_lacks_a_file_fetches_it_once_and_verifies_it(log, tmp_path):
    sha256, content = file(CHUNK_BYTES + 1)
    publish(log, sha256, content)
    assert ArtifactStore(tmp_path / "here", [ArtifactChunks(log)]).get(sha256) == content
    assert ArtifactStore(tmp_path / "here").get(sha256) == content


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_file_that_lacks_a_chunk_is_refused_and_not_kept(log, tmp_path, missing):
    sha256, content = file(3 * CHUNK_BYTES)
    chunks = chunks_of(sha256, content, 7)
    del chunks[missing]
    log.append("models", 0, chunks)
    store = ArtifactStore(tmp_path / "here", [ArtifactChunks(log)])
    with pytest.raises(ArtifactError, match=rf"artifact (must have sha256 )?{sha256}.*'models'"):
        store.get(sha256)
    assert not (tmp_path / "here").exists()


def test_a_file_larger_than_any_model_is_refused(log, monkeypatch):
    sha256, content = file(2 * CHUNK_BYTES)
    publish(log, sha256, content)
    monkeypatch.setattr(artifact_chunks, "MAX_ARTIFACT_BYTES", CHUNK_BYTES)
    with pytest.raises(ArtifactError, match=rf"at most {CHUNK_BYTES} bytes; got more for {sha256}"):
        ArtifactChunks(log).find(sha256)


@pytest.mark.parametrize("key", [b"x", b"/0", b"\xff/0", b"00/1", b"/", b"00ff/00"])
def test_a_key_of_another_kind_is_no_chunk_of_anything(log, key):
    log.append("models", 0, [Entry(7, key, b"abc")])
    assert ArtifactChunks(log).find("00ff") is None
