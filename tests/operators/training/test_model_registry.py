"""A model registry shows published models, a pinned model, or nothing."""

import hashlib
from contextlib import closing

import pytest

from models.refit.fit_record import FitRecord
from models.refit.proposals import Proposals
from operators.training.model_registry import ModelRegistry, Pinned, file_of
from state.log import Entry, LogError
from state.log.sqlite import SqliteLog
from state.outputs.history import History
from state.storage.artifact_chunks import CHUNK_BYTES, ArtifactChunks
from state.storage.artifact_store import ArtifactError, ArtifactStore


@pytest.fixture
def published(tmp_path):
    log = SqliteLog(tmp_path / "log")
    log.create("models", 1)
    models = ModelRegistry(log)
    for boundary, status, model in (
        (10, "skipped", ""),
        (20, "promoted", "gbm-a"),
        (30, "rejected", "gbm-b"),
        (40, "failed", ""),
    ):
        models.publish(
            FitRecord(
                boundary=boundary,
                status=status,
                reason="it was",
                algorithm="gbm",
                model=model,
                sha256=model and f"sha of {model}",
            )
        )
    yield models
    log.close()


@pytest.mark.parametrize("model", ["gbm-a", "gbm-b"])
def test_a_pinned_model_is_the_answer_at_every_boundary(published, model):
    pinned = Pinned(published, model)
    assert [pinned.model_at(boundary) for boundary in (0, 20, 99)] == [(True, model)] * 3
    assert pinned.newest_model() == model
    assert published.of(model).sha256 == f"sha of {model}"


def test_a_pinned_model_must_have_been_published(published):
    with pytest.raises(ValueError, match="got 'gbm-c', it has gbm-a, gbm-b"):
        Pinned(published, "gbm-c")


def test_the_champion_is_the_promoted_one_and_not_the_rejected(published):
    assert published.newest_model() == "gbm-a"
    assert [published.model_at(b) for b in (10, 20, 30, 50)] == [
        (True, None),
        (True, "gbm-a"),
        (True, "gbm-a"),
        (False, "gbm-a"),
    ]


def test_one_rollback_after_another_goes_further_back(log):
    models = ModelRegistry(log)
    log.create("rollbacks", 1)
    for boundary in (1, 2, 3):
        models.publish(decision(boundary, b"trees"))
    assert [models.roll_back(None, 0) for _ in range(2)] == ["gbm-2", "gbm-1"]
    with pytest.raises(ValueError, match="none was in use before gbm-1; others are gbm-2, gbm-3"):
        models.roll_back(None, 0)
    assert models.roll_back("gbm-3", 0) == models.newest_model() == "gbm-3"
    assert models.roll_back(None, 0) == "gbm-2"


class AlteredLog(SqliteLog):
    """Its newest record is another than the one written, until it is restored from a copy."""

    is_restored = False

    def read(self, *given, **named):
        records = super().read(*given, **named)
        if records and not self.is_restored:
            records[-1] = records[-1]._replace(value=b"{}")
        return records


def test_no_decision_before_an_altered_one_is_counted_twice(tmp_path, log):
    writer = ModelRegistry(log)
    for boundary in (1, 2, 3):
        writer.publish(decision(boundary))
    with closing(AlteredLog(tmp_path / "log")) as altered:
        models = ModelRegistry(altered)
        for _ in range(2):
            with pytest.raises(LogError, match="models/0 at offset 2"):
                models.records()
        altered.is_restored = True
        assert [one.boundary for one in models.records()] == [1, 2, 3]


@pytest.fixture
def log(tmp_path):
    log = SqliteLog(tmp_path / "log")
    log.create("models", 1)
    yield log
    log.close()


def decision(boundary, content=b""):
    return FitRecord(
        boundary=boundary,
        status="promoted" if content else "skipped",
        reason="it was",
        algorithm="gbm",
        model=f"gbm-{boundary}" if content else "",
        sha256=hashlib.sha256(content).hexdigest() if content else "",
    )


TREES = bytes(range(256)) * 4096  # two chunks
DECISIONS = [decision(10), decision(20, TREES), decision(30), decision(40, b"small")]


@pytest.fixture
def trainer(log, tmp_path):
    """Publish a model from another machine, with its files."""
    artifacts = ArtifactStore(tmp_path / "far")
    models = ModelRegistry(log, artifacts)
    for one, content in zip(DECISIONS, (b"", TREES, b"", b"small"), strict=True):
        if content:
            artifacts.put(content)
        models.publish(one)
    return models


def test_files_go_with_the_decision_and_are_no_decisions(trainer, log):
    assert len(TREES) == 2 * CHUNK_BYTES
    keys = [bool(record.key) for record in log.read("models", 0, 0)]
    assert keys == [False, True, True, False, False, True, False]
    assert trainer.records() == ModelRegistry(log).records() == DECISIONS
    assert [trainer.end_of(count) for count in range(5)] == [0, 1, 4, 5, 7]


def test_a_model_is_found_by_its_record_where_only_the_log_is(trainer, log, tmp_path):
    here = ArtifactStore(tmp_path / "here", [ArtifactChunks(log)])
    assert file_of(ModelRegistry(log).of("gbm-20"), here) == TREES


def test_a_model_that_is_nowhere_is_named(published, tmp_path):
    with pytest.raises(ArtifactError, match=r"model gbm-a must have its file; .*`artifacts`"):
        file_of(published.of("gbm-a"), ArtifactStore(tmp_path / "here"))


def test_a_decision_and_its_files_are_published_together_or_not_at_all(log, tmp_path):
    models = ModelRegistry(log, ArtifactStore(tmp_path / "far"))
    with pytest.raises(ArtifactError, match="must be in"):
        models.publish(DECISIONS[1])
    assert log.end("models", 0) == 0


def test_a_decision_of_another_writer_is_not_published_over(log, tmp_path):
    one, other = ModelRegistry(log), ModelRegistry(log)
    one.publish(DECISIONS[0])
    assert other.records() == DECISIONS[:1]
    other.publish(DECISIONS[2])
    assert one.records() == [DECISIONS[0], DECISIONS[2]]


def test_history_leaves_out_the_pieces_of_files(trainer, log):
    assert [placed.record.offset for placed in History(log, "models")] == [0, 3, 4, 6]


def _proposals(boundary, *candidates):
    return Proposals(boundary=boundary, algorithm="gbm", trials=3, candidates=list(candidates))


def test_proposals_are_kept_beside_the_decisions_and_are_none(published, tmp_path):
    before = published.records()
    published.propose(_proposals(50, {"max_depth": 5, "learn_rate": 0.07, "hidden": "[1]"}))
    record = FitRecord(boundary=50, status="skipped", reason="it was", algorithm="gbm")
    published.publish(record)
    with closing(SqliteLog(tmp_path / "log")) as log:
        read = ModelRegistry(log)
        assert read.proposals(50) == published.proposals(50)
        assert read.proposals(50).candidates[0]["learn_rate"] == 0.07
        assert read.proposals(40) is None
        assert read.records() == [*before, record]
        assert [placed.record.offset for placed in History(log, "models")] == [0, 1, 2, 3, 5]
        assert ArtifactChunks(log).find("proposals") is None
        assert read.end_of(5) == 6


def test_the_newest_proposals_of_a_boundary_count(published):
    published.propose(_proposals(50, {"max_depth": 5}))
    published.propose(_proposals(50, {"max_depth": 6}))
    assert published.proposals(50).candidates == [{"max_depth": 6}]
    published.propose(_proposals(60, {"max_depth": 7}))
    assert published.proposals(50) is None


def test_broken_proposals_are_told_with_their_place_to_a_fit_only(published, tmp_path):
    with closing(SqliteLog(tmp_path / "log")) as log:
        log.append("models", 0, [Entry(0, b"proposals", b"{}")])
        assert ModelRegistry(log).newest_model() == "gbm-a"
        with pytest.raises(LogError, match=r"models.* 4"):
            ModelRegistry(log).proposals(50)
