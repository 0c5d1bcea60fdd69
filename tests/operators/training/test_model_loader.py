"""A model is verified before it is used."""

import hashlib
from concurrent.futures import Future

import jpype
import numpy as np
import polars as pl
import pytest

from flows.runtime.kept_rows import LOADING
from models.mojo.java_scorer import start_java
from models.mojo.model import read_mojo
from models.refit.certificate import kept_rows
from models.refit.fit_record import FitRecord
from operators.shard.shard import Shard
from operators.training.model_loader import Loading, ModelError, ModelLoader, UnavailableModelError
from operators.training.model_registry import ModelRegistry
from state.log.sqlite import SqliteLog
from state.storage.artifact_store import ArtifactStore
from tests.golden.trips import stream
from tests.golden_log import GOLDEN, SETTINGS
from tests.models.judging.columns import evenly, profile
from tests.rides import stream as other_stream

CONTENT = (GOLDEN / "1/gbm-1.zip").read_bytes()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Failing(Future):
    """A load that is waited for, and then fails."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def result(self):
        raise self.error


OTHERS = profile({"x": np.arange(400.0)}, evenly(400, 7))


@pytest.fixture
def rows():
    mojo = read_mojo(CONTENT)
    frame = pl.DataFrame(
        {
            name: ["a", "b", None] if domain else [0.0, 1.5, None]
            for name, domain in zip(mojo.columns, mojo.domains, strict=True)
        }
    )
    return frame, mojo.score_many(mojo.encode(frame.to_dict()))


@pytest.fixture
def published(tmp_path, rows):
    """Gives the models of a stream, of which one is published with rows that are so far off."""
    log = SqliteLog(tmp_path / "log")
    log.create("models", 1)

    def publish(away=0.0, of=stream, sha256=None, kept=None, profile=None):
        artifacts = ArtifactStore(tmp_path / "artifacts")
        frame, predictions = rows
        models = ModelRegistry(log)
        models.publish(
            FitRecord(
                boundary=1, status="promoted", reason="", algorithm="gbm", model="gbm-1",
                sha256=sha256 or artifacts.put(CONTENT),
                rows_sha256=artifacts.put(kept or kept_rows(frame, predictions + away)),
                profile_sha256=artifacts.put(profile) if profile else "",
            )
        )  # fmt: skip
        return ModelLoader(of, models, artifacts, LOADING), Shard(of, SETTINGS, 0)

    yield publish
    log.close()


def test_a_model_that_scores_as_h2o_did_is_bound_to_the_shard(published):
    models, shard = published()
    row = np.full(len(stream.columns), np.nan)
    mojo = read_mojo(CONTENT)
    expected = mojo.score(np.full(len(mojo.columns), np.nan))
    assert models.offline("gbm-1", shard).predict(row) == expected


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"away": 1e-6}, "predictions must be H2O's within 1e-09; got 1e-06 away"),
        ({"of": other_stream}, "wants column 'zone' that the stream lacks"),
        ({"kept": b"no Parquet"}, "rows kept with a model must be readable; got .*parquet"),
        ({"profile": b"no profile"}, "profile must be readable; got "),
        ({"profile": OTHERS.encode()}, "columns of a profile must be the vector's; got 'x'"),
    ],
)
def test_any_other_is_refused_with_the_reason(published, wrong, words):
    models, shard = published(**wrong)
    with pytest.raises(ModelError, match=f"model gbm-1 must be usable: .*{words}") as raised:
        models.offline("gbm-1", shard)
    assert raised.type is ModelError


def test_the_profile_of_a_model_is_bound_to_the_vector_of_the_shard(published):
    own = profile({"distance": np.arange(400.0)}, evenly(400, 7))
    models, shard = published(profile=own.encode())
    reference = models.offline("gbm-1", shard).reference
    assert reference.profile == own
    assert [stream.columns[place].name for place in reference.places] == ["distance"]
    models, shard = published()
    assert models.offline("gbm-1", shard).reference is None


def test_so_is_one_whose_file_was_altered(published, tmp_path):
    models, shard = published()
    (tmp_path / "artifacts" / SHA256).write_bytes(CONTENT + b"x")
    with pytest.raises(ModelError, match=r"gbm-1 must be usable: .*must have sha256") as raised:
        models.offline("gbm-1", shard)
    assert raised.type is ModelError


def test_one_without_its_file_cannot_be_had_just_now(published):
    models, shard = published(sha256=hashlib.sha256(b"").hexdigest())
    with pytest.raises(UnavailableModelError, match=r"gbm-1 must be usable: .*must have its file"):
        models.offline("gbm-1", shard)


def test_one_that_is_not_published_is_refused(published):
    models, shard = published()
    with pytest.raises(UnavailableModelError, match=r"gbm-2 must be usable: .* in topic 'models'"):
        models.offline("gbm-2", shard)


def test_the_models_used_last_are_kept_and_the_others_forgotten(tmp_path, rows):
    log = SqliteLog(tmp_path / "log")
    log.create("models", 1)
    registry, artifacts = ModelRegistry(log), ArtifactStore(tmp_path / "artifacts")
    names = [f"gbm-{i}" for i in range(6)]
    for i, name in enumerate(names):
        registry.publish(
            FitRecord(
                boundary=i + 1, status="promoted", reason="", algorithm="gbm", model=name,
                sha256=artifacts.put(CONTENT),
            )
        )  # fmt: skip
    models = ModelLoader(stream, registry, artifacts, Loading(pytest.fail, kept=3))
    shard = Shard(stream, SETTINGS, 0)
    for name in ["gbm-0", "gbm-1", "gbm-2", "gbm-0", "gbm-3", "gbm-4"]:
        models.offline(name, shard)
    (tmp_path / "artifacts" / SHA256).unlink()
    for name in ["gbm-0", "gbm-3", "gbm-4"]:
        assert models.offline(name, shard).model == name
    with pytest.raises(UnavailableModelError, match="gbm-1 must be usable"):
        models.offline("gbm-1", shard)
    log.close()


def test_failures_are_forgotten_too(published):
    models, shard = published()
    for i in range(20):
        with pytest.raises(ModelError):
            models.offline(f"gbm-{i + 2}", shard)
    assert not models._loaded
    models.prepare()
    models.offline("gbm-1", shard)
    assert list(models._loaded) == ["gbm-1"]


def test_a_preload_that_failed_is_tried_again_once_the_model_is_wanted(published, tmp_path):
    models, shard = published()
    file = next(one for one in (tmp_path / "artifacts").rglob("*") if one.name == SHA256)
    file.unlink()
    models.prepare()
    assert models._loaded["gbm-1"].exception() is not None
    file.write_bytes(CONTENT)
    assert models.offline("gbm-1", shard).model == "gbm-1"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ModuleNotFoundError("no Java"), "no Java"),
        (TypeError("no array"), "no array"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_whatever_loading_raises_is_the_model_s_trouble(published, error, words):
    models, shard = published()
    models._loaded["gbm-1"] = Failing(error)
    with pytest.raises(ModelError, match=f"model gbm-1 must be usable: {words}"):
        models.offline("gbm-1", shard)


def test_so_is_what_java_throws(published):
    models, shard = published()
    start_java()
    models._loaded["gbm-1"] = Failing(jpype.JClass("java.lang.OutOfMemoryError")("heap space"))
    with pytest.raises(ModelError, match=r"gbm-1 must be usable: .*heap space"):
        models.offline("gbm-1", shard)


def test_so_is_a_panic_of_polars_which_is_no_exception(published, monkeypatch):
    models, shard = published()

    def panic(_):
        msg = "index out of bounds"
        raise pl.exceptions.PanicException(msg)

    monkeypatch.setattr(models._artifacts, "get", panic)
    with pytest.raises(ModelError, match="gbm-1 must be usable: PanicException: index out of"):
        models.offline("gbm-1", shard)


def test_what_was_published_of_a_loaded_model_is_told_without_the_log(published):
    models, shard = published()
    assert models.records == {}
    models.offline("gbm-1", shard)
    models._published._log.close()
    assert models.records["gbm-1"].sha256 == SHA256


def test_it_has_ended_once_what_was_begun_is_loaded(published):
    models, _ = published()
    models.prepare()
    future = models._future("gbm-1", again=False)
    assert models.ended(60)
    assert future.done()
    assert models.ended(0)
