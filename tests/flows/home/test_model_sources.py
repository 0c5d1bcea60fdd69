"""Which way model files go, by the settings."""

import hashlib

import pytest

from flows.home.home import Home
from flows.home.model_sources import published_models, reaching
from models.refit.fit_record import FitRecord
from operators.training.model_registry import file_of
from state.log.sqlite import SqliteLog
from state.settings import settings_from
from state.storage.artifact_store import ArtifactError

ROWS, TREES = b"rows", b"trees"
RECORD = FitRecord(
    boundary=7,
    status="promoted",
    reason="it was",
    algorithm="gbm",
    model="gbm-7",
    sha256=hashlib.sha256(TREES).hexdigest(),
    rows_sha256=hashlib.sha256(ROWS).hexdigest(),
)


@pytest.fixture
def log(tmp_path):
    log = SqliteLog(tmp_path / "log")
    log.create("models", 1)
    yield log
    log.close()


@pytest.fixture
def published(log, tmp_path):
    """Publishes a model in one home; the other home, and how many records that took."""

    def publish(**document):
        settings = settings_from(document)
        trainer = reaching(Home(tmp_path / "trainer"), settings, log)
        for content in (TREES, ROWS):
            trainer.artifacts().put(content)
        published_models(trainer, settings, log).publish(RECORD)
        return reaching(Home(tmp_path / "scorer"), settings, log), log.end("models", 0)

    return publish


def test_in_kafka_all_files_of_a_model_go_through_the_log(published):
    home, records = published(log="kafka")
    assert records == 3
    assert file_of(RECORD, home.artifacts()) == TREES
    assert home.artifacts().get(RECORD.rows_sha256) == ROWS


@pytest.mark.parametrize("log_is", ["kafka", "sqlite"])
def test_with_a_store_they_go_there(published, tmp_path, log_is):
    home, records = published(log=log_is, artifacts=(tmp_path / "store").as_uri())
    assert records == 1
    assert file_of(RECORD, home.artifacts()) == TREES
    assert len(list((tmp_path / "store").iterdir())) == 2


def test_what_was_published_before_there_was_a_store_is_still_found(published, log, tmp_path):
    published(log="kafka")
    settings = settings_from({"log": "kafka", "artifacts": (tmp_path / "store").as_uri()})
    home = reaching(Home(tmp_path / "third"), settings, log)
    assert file_of(RECORD, home.artifacts()) == TREES


def test_an_embedded_home_keeps_its_files_to_itself(published):
    home, records = published()
    assert records == 1
    with pytest.raises(ArtifactError, match=r"model gbm-7 must have its file; .*scorer/artifacts"):
        file_of(RECORD, home.artifacts())
