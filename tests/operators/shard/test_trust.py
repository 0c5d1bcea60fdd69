"""Predictions say whether they can be trusted, by thresholds that come with the offline model."""

import json

from models.judging.histograms import column
from models.judging.trust_counts import Thresholds
from operators.shard.messages import Activation
from state.settings import Risk
from tests.operators.shard.test_learning import activation, nights
from tests.operators.shard_runs import Run, feed, rides_shard

NIGHTS = nights(1_500, seed=7)
GIVEN = Thresholds(act=0.55, let_go=0.3, negatives=900, positives=400)


def begun(trust):
    run = feed(Run(rides_shard()), NIGHTS[:200])
    run.take(activation(run.shard, "a", 0)._replace(trust=trust))
    return run


def predictions(run):
    return [json.loads(value) for value in run.values("predictions")]


def test_each_prediction_is_marked_from_the_activation_on_and_nothing_else_changes():
    run, other = (feed(begun(trust), NIGHTS) for trust in (GIVEN, None))
    found, plain = predictions(run), predictions(other)
    first = next(i for i, one in enumerate(found) if one["model"] == "a")
    for i, one in enumerate(found):
        p = one["probability"]
        word = "act" if p >= 0.55 else "let_go" if p < 0.3 else "unsure"
        assert one.pop("trust", None) == (word if i >= first else None)
        assert one | {"chain": ""} == plain[i] | {"chain": ""}
    assert run.values("outcomes") == other.values("outcomes")
    assert run.values("metrics") == other.values("metrics")


def test_an_activation_without_thresholds_ends_the_marks():
    run = feed(begun(GIVEN), NIGHTS[:600])
    before = len(predictions(run))
    run.take(Activation(1, "a", None))
    feed(run, NIGHTS[:900])
    assert "trust" in predictions(run)[before - 1]
    assert not any("trust" in one for one in predictions(run)[before:])


def test_thresholds_follow_from_the_answers_to_weighed_requests():
    run = feed(begun(None), NIGHTS)
    found = run.shard.thresholds(Risk())
    labels = [one["label"] for one in map(json.loads, run.values("outcomes")) if one["model"]]
    counts = run.shard._learning.trust._counts.sum(axis=(0, 2))
    assert (found.negatives, found.positives) == tuple(counts)
    assert 0.9 * len(labels) <= counts.sum() <= len(labels)
    assert found.positives > 100
    said = {
        column(one["probability"])
        for one in map(json.loads, run.values("outcomes"))
        if one["model"] and one["label"]
    }
    assert {*run.shard._learning.trust._counts[:, 1].sum(axis=0).nonzero()[0].tolist()} <= said


def test_a_restored_shard_marks_as_the_one_before():
    run = feed(begun(GIVEN), NIGHTS[:700])
    again, offline = Run(rides_shard()), run.shard.serving.newest
    again.shard.restore(run.shard.snapshot(), lambda _: offline)
    assert again.shard.snapshot() == run.shard.snapshot()
    assert again.shard.thresholds(Risk()) == run.shard.thresholds(Risk())
    again.written = {topic: [*entries] for topic, entries in run.written.items()}
    before = len(run.values("predictions"))
    for one in (run, again):
        feed(one, NIGHTS)
    assert again.values("predictions") == run.values("predictions")
    assert any(b'"trust":"act"' in value for value in again.values("predictions")[before:])
