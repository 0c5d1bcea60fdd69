"""What readers go by: what training published, a pinned model, or nothing at all."""

import pytest

from models.registry import Published
from operators.decisions import Pinned, PublishedModels, Undecided
from state.sqlite_log import SqliteLog


@pytest.fixture
def published(tmp_path):
    log = SqliteLog(tmp_path / "log")
    log.create("models", 1)
    models = PublishedModels(log)
    for boundary, status, model in (
        (10, "skipped", ""),
        (20, "promoted", "gbm-a"),
        (30, "rejected", "gbm-b"),
        (40, "failed", ""),
    ):
        models.publish(
            Published(
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
    assert [pinned.champion_at(boundary) for boundary in (0, 20, 99)] == [(True, model)] * 3
    assert pinned.champion() == model
    assert published.of(model).sha256 == f"sha of {model}"


def test_a_pinned_model_must_have_been_published(published):
    with pytest.raises(ValueError, match="got 'gbm-c', it has gbm-a, gbm-b"):
        Pinned(published, "gbm-c")


def test_the_champion_is_the_promoted_one_and_not_the_rejected(published):
    assert published.champion() == "gbm-a"
    assert [published.champion_at(b) for b in (10, 20, 30, 50)] == [
        (True, None),
        (True, "gbm-a"),
        (True, "gbm-a"),
        (False, "gbm-a"),
    ]


def test_nothing_is_ever_decided_beyond_a_record(published):
    undecided = Undecided()
    assert undecided.champion_at(20) == (False, None)
    assert undecided.champion() is None
