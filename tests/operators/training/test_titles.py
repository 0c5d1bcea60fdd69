"""The title goes to the model that is proven better by the evidence of all partitions."""

from threading import Event

import msgspec
import pytest

from models.refit.fit_record import FitRecord
from operators.training.model_registry import ModelRegistry
from operators.training.titles import Titles, unfounded
from operators.training.trainer import Trainer
from operators.training.training_cuts import TrainingCut
from state.log import Entry
from state.log.sqlite import SqliteLog
from state.outputs.records import Alert, Metrics
from state.settings import Promotion

PARTITIONS = 2


@pytest.fixture
def log(tmp_path):
    log = SqliteLog(tmp_path / "log")
    topics = {"snapshots": 2, "metrics": PARTITIONS, "models": 1, "alerts": 3, "rollbacks": 1}
    for topic, partitions in topics.items():
        log.create(topic, partitions)
    yield log
    log.close()


def fit(boundary, status="promoted"):
    model = f"gbm-{boundary}" if status == "promoted" else ""
    return FitRecord(
        boundary=boundary, status=status, reason="", algorithm="gbm", model=model, sha256=model
    )


def evidence(log, *of, model="gbm-20", older="gbm-10", champion="gbm-10", gain=0.01):
    """Metrics of each partition with such evidence for and against its newest model."""
    for partition, (better, worse) in enumerate(of):
        metrics = Metrics(
            7 + partition, 0, 0, 0, {}, 0, model, {}, {}, {}, older=older, champion=champion,
            better=better, worse=worse, compared=500, gain=gain,
        )  # fmt: skip
        log.append("metrics", partition, [Entry(0, b"", msgspec.json.encode(metrics))])


def two_models(log):
    published = ModelRegistry(log)
    for boundary in (10, 20):
        published.publish(fit(boundary))
    return published


def titles(log, published, *, live=True, **promotion):
    return Titles(log, published, Promotion(**promotion), live=live)


def decide(log, published, **promotion):
    found = titles(log, published, **promotion).decide()
    if found is not None:
        published.publish(found)
    return found


def test_before_there_is_evidence_the_first_of_two_models_has_the_title(log):
    published = two_models(log)
    assert (published.newest_model(), published.title()) == ("gbm-20", "gbm-10")
    assert decide(log, published) is None


def test_a_model_is_proven_by_the_mean_over_the_partitions(log):
    published = two_models(log)
    evidence(log, (39.0, 0.1), (0.9, 0.3))
    assert decide(log, published) is None
    evidence(log, (39.2, 0.1), gain=0.004)
    found = decide(log, published)
    assert (found.status, found.model, found.champion) == ("proven", "gbm-20", "gbm-10")
    assert found.evidence.better == pytest.approx((39.2 + 0.9) / 2)
    assert (found.evidence.labels, found.evidence.metrics) == (1_000, [2, 1])
    assert found.reason == (
        "better than gbm-10, by evidence of 20.1 after 1,000 labels; log-loss lower by .0070"
    )
    assert (published.newest_model(), published.title()) == ("gbm-20", "gbm-20")
    assert decide(log, published) is None


def test_a_partition_without_metrics_counts_as_saying_nothing(log):
    published = two_models(log)
    evidence(log, (38.0, 0.1))
    assert decide(log, published) is None
    evidence(log, (39.0, 0.1))
    assert decide(log, published).evidence.better == (39.0 + 1.0) / 2


@pytest.mark.parametrize(
    "other", [{"model": "gbm-30"}, {"older": "gbm-5"}, {"champion": "gbm-20"}, {"older": None}]
)
def test_evidence_between_other_models_does_not_count(log, other):
    published = two_models(log)
    evidence(log, (1e9, 1e9), (1e9, 1e9), **other)
    assert decide(log, published) is None


def test_a_model_that_is_proven_worse_is_dismissed_and_answers_no_more(log):
    published = two_models(log)
    evidence(log, (0.1, 30.0), (0.1, 30.0))
    found = decide(log, published)
    assert (found.status, found.model, found.champion) == ("dismissed", "gbm-10", "gbm-20")
    assert (published.newest_model(), published.title()) == ("gbm-10", "gbm-10")
    assert published.model_at(20) == (True, "gbm-10")
    assert published.rollbacks() == 0
    published.publish(fit(30))
    assert (published.newest_model(), published.title()) == ("gbm-30", "gbm-10")


def test_the_former_champion_takes_the_title_back_if_the_evidence_turns(log):
    published = two_models(log)
    evidence(log, (50.0, 0.1), (50.0, 0.1))
    decide(log, published)
    evidence(log, (0.1, 50.0), (0.1, 50.0))  # from before the title was known
    assert decide(log, published) is None
    evidence(log, (0.1, 50.0), (0.1, 50.0), champion="gbm-20")
    found = decide(log, published)
    assert (found.status, found.model, found.champion) == ("returned", "gbm-10", "gbm-20")
    assert (published.newest_model(), published.title()) == ("gbm-10", "gbm-10")
    assert decide(log, published) is None


def test_a_model_that_came_alone_is_compared_with_none(log):
    published = ModelRegistry(log)
    published.publish(fit(20))
    evidence(log, (1e9, 1e9), (1e9, 1e9), champion="gbm-20")
    assert decide(log, published) is None


def test_undecided_the_newer_has_the_title_when_the_next_model_comes(log):
    published = two_models(log)
    published.publish(titles(log, published).with_title(fit(30)))
    assert (published.newest_model(), published.title()) == ("gbm-30", "gbm-20")


def test_undecided_the_older_keeps_the_title_if_the_settings_say_so(log):
    published = two_models(log)
    for boundary in (30, 40):
        one = titles(log, published, undecided="older")
        published.publish(one.with_title(fit(boundary)))
        assert (published.newest_model(), published.title()) == (f"gbm-{boundary}", "gbm-10")
    evidence(log, (50.0, 0.1), (50.0, 0.1), model="gbm-40")
    assert decide(log, published, undecided="older").model == "gbm-40"
    published.publish(titles(log, published, undecided="older").with_title(fit(50)))
    assert published.title() == "gbm-40"


def test_a_fit_that_gave_the_same_model_changes_no_title(log):
    published = two_models(log)
    published.publish(msgspec.structs.replace(fit(30), model="gbm-20"))
    assert published.title() == "gbm-10"


def test_a_rollback_without_a_name_goes_to_the_model_with_the_title(log):
    published = two_models(log)
    published.publish(titles(log, published, undecided="older").with_title(fit(30)))
    assert published.roll_back(None, 0) == "gbm-10"
    assert (published.newest_model(), published.title()) == ("gbm-10", "gbm-10")


def test_the_strictness_is_that_of_the_settings(log):
    published = two_models(log)
    evidence(log, (99.0, 0.1), (99.0, 0.1))
    assert decide(log, published, alpha=0.01) is None
    evidence(log, (101.0, 0.1), (101.0, 0.1))
    assert decide(log, published, alpha=0.01).status == "proven"


def test_a_recorded_decision_follows_from_its_metrics_and_a_forged_one_does_not(log):
    published = two_models(log)
    evidence(log, (50.0, 0.1), (50.0, 0.1))
    decide(log, published)
    evidence(log, (0.1, 50.0), (0.1, 50.0), champion="gbm-20")
    honest = decide(log, published)
    evidence(log, (7.0, 7.0), (7.0, 7.0))  # later ones change nothing
    assert unfounded(log, published) == []
    forged = msgspec.structs.replace(honest, status="proven", model="gbm-20", champion="gbm-10")
    published.publish(forged)
    assert unfounded(log, published) == [forged]


class Fits:
    """Fits that promote a model at each boundary."""

    def __call__(self, boundary, cuts, earlier):
        del cuts, earlier
        return fit(boundary)

    def abandon(self):
        pytest.fail("there is nothing to abandon")

    def close(self):
        pass


def commit(log, boundary):
    for partition in range(2):
        cut = TrainingCut(boundary, f"{partition}/{boundary}.parquet", "", 1, 0, boundary)
        log.append("snapshots", partition, [Entry(0, b"", msgspec.json.encode(cut))])


@pytest.mark.parametrize("live", [True, False])
def test_a_trainer_decides_at_each_boundary_and_in_between_if_it_is_live(log, live):
    published = two_models(log)
    evidence(log, (50.0, 0.1), (50.0, 0.1))
    now = [0.0]
    trainer = Trainer(
        log, published, Fits(), Event(), titles=titles(log, published, live=live),
        clock=lambda: now[0],
    )  # fmt: skip
    trainer.poll()
    assert published.title() == ("gbm-20" if live else "gbm-10")
    evidence(log, (0.1, 50.0), (0.1, 50.0), champion="gbm-20")
    trainer.poll()  # so soon it does not look again
    assert published.title() == ("gbm-20" if live else "gbm-10")
    commit(log, 30)
    trainer.finish()
    statuses = [one.status for one in published.records()]
    told = [msgspec.json.decode(r.value, type=Alert) for r in log.read("alerts", 2, 0)]
    if live:
        assert statuses == ["promoted", "promoted", "proven", "returned", "promoted"]
        assert published.title() == "gbm-10"
        assert [(one.kind, one.time) for one in told] == [("title_returned", 8)]
        assert told[0].message.startswith("gbm-10 is champion again: gbm-20 is worse, by evid")
    else:
        assert statuses == ["promoted", "promoted", "promoted"]
        assert told == []
