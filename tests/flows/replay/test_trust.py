"""The thresholds of trust are journaled, so a replay marks the same answers alike."""

import json

import polars as pl
import pytest
from msgspec import structs

from flows.home.home import Home, create_topics
from flows.replay import audit
from flows.scorer import Scorer
from operators.partition.journal import Activated, Journal
from state.log import EVENTS, Entry
from state.settings import changed
from tests.flows.replay.conftest import run
from tests.rides import records, stream

RISK = {"risk": {"false_positives": 0.3, "false_negatives": 0.3}}


def made(settings, root):
    """A home whose flow has read some events with these settings."""
    home = Home(root)
    log = home.log()
    create_topics(log, 1)
    log.append(EVENTS, 0, [Entry(*record[1:]) for record in records(1_500, seed=3)])
    log.close()
    run(settings, home)
    return home


def values(home, topic):
    log = home.log()
    found = [record.value for record in log.read(topic, 0, 0, max_records=10**6)]
    log.close()
    return found


@pytest.fixture(scope="module")
def trusted(rides_settings, tmp_path_factory):
    return made(changed(rides_settings, RISK), tmp_path_factory.mktemp("trusted"))


def test_each_decision_has_thresholds_by_the_labels_so_far(trusted):
    log = trusted.log()
    found = [entry.trust for entry in Journal(log, 0).entries if isinstance(entry, Activated)]
    log.close()
    assert None not in found
    assert (found[0].act, found[0].negatives) == (None, 0)
    counts = [one.negatives + one.positives for one in found]
    assert counts == sorted(counts)
    assert 0 < found[-1].let_go < found[-1].act < 1


def test_predictions_are_marked_by_the_thresholds_in_the_journal(trusted):
    log = trusted.log()
    entries = [entry for entry in Journal(log, 0).entries if isinstance(entry, Activated)]
    log.close()
    words = set()
    for one in map(json.loads, values(trusted, "predictions")):
        newest = [entry.trust for entry in entries if entry.offset <= one["offset"]][-1:]
        p = one["probability"]
        for of in newest:
            acts, lets_go = of.act is not None and p >= of.act, of.let_go and p < of.let_go
            assert one["trust"] == ("act" if acts else "let_go" if lets_go else "unsure")
            words.add(one["trust"])
        assert newest or "trust" not in one
    assert words == {"act", "let_go", "unsure"}


def test_an_audit_agrees_whatever_risk_is_accepted_today(trusted, rides_settings):
    for today in (rides_settings, changed(rides_settings, {"risk": {"false_positives": 0.01}})):
        found = audit(home=trusted.root, settings=today)
        assert found["different"].sum() == 0
        assert found.filter(topic="predictions")["identical"].sum() > 100


def test_without_risk_all_other_bytes_are_the_same(trusted, rides_settings, tmp_path):
    plain = made(rides_settings, tmp_path / "plain")
    assert not any(b'"trust"' in value for value in values(plain, "predictions"))
    assert not any(b'"trust"' in value for value in values(plain, "activations"))
    for topic in ("outcomes", "metrics", "alerts"):
        assert values(plain, topic) == values(trusted, topic)
    both = zip(values(plain, "predictions"), values(trusted, "predictions"), strict=True)
    for one, other in both:
        assert json.loads(one) | {"chain": ""} == {
            name: of for name, of in json.loads(other).items() if name != "trust"
        } | {"chain": ""}


def test_the_scorer_marks_as_the_flow_does(trusted, rides_settings):
    settings = changed(rides_settings, RISK)
    log = trusted.log()
    asked = [
        stream.decoder().decode(record.value) for record in log.read(EVENTS, 0, 0, max_records=400)
    ]
    asked = [event for event in asked if isinstance(event, stream.request)]
    with Scorer(settings, stream, log, trusted, follow=False) as scorer:
        newest = max(scorer.as_of.values())[0]
        asked = [
            structs.replace(event, id=f"new-{i}", time=newest) for i, event in enumerate(asked)
        ]
        thresholds = Journal(log, 0).active.trust
        found = [scorer.score(event) for event in asked]
        for one in found:
            assert one.trust == thresholds.of(one.probability, decision=one.decision)
            assert one.as_dict()["trust"] == one.trust
        many = scorer.score_many(pl.DataFrame([structs.asdict(event) for event in asked]))
        assert many["trust"].to_list() == [one.trust for one in found]
        assert len({*many["trust"]}) > 1
    log.close()
